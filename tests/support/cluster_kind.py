"""A cluster made by kind, where it and a Docker engine are there."""

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.cluster import Cluster
from support.images import REPOSITORY, ImageNames

__all__ = ["kind_cluster", "kind_is_usable"]

_STARTED_WITHIN = "180s"
_PATIENCE_SECONDS = 900


def kind_is_usable() -> bool:
    """Tell whether kind is installed and a Docker engine answers."""
    if shutil.which("kind") is None or shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    return asked.returncode == 0


@dataclass(frozen=True)
class KindNode:
    """A node that is a container of the Docker engine, which its images are copied from."""

    cluster: str
    is_in_reach: bool = True

    def build(self, source: Path) -> str:
        name = f"localhost/scanplane-previous:{self.cluster}"
        _run("docker", "build", "--file", str(source / "images/Containerfile"), "--tag", name, str(source))
        self.load_name(name)
        return name

    def kill(self, container: str) -> None:
        node = f"{self.cluster}-control-plane"
        _run("docker", "exec", node, "ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", container)

    def load_name(self, name: str) -> None:
        """Copy the engine's image *name*."""
        _run("kind", "load", "docker-image", name, "--name", self.cluster)


@contextmanager
def kind_cluster(servers: Mapping[str, str]) -> Iterator[Cluster]:
    """Make a cluster with this checkout's image and those of *servers*, and delete it afterwards. Raises RuntimeError."""
    name = f"scanplane-test-{secrets.token_hex(3)}"
    project = f"localhost/scanplane:{name}"
    node = KindNode(name)
    with tempfile.TemporaryDirectory(prefix="scanplane-kind-") as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        try:
            _run(
                "kind", "create", "cluster", "--name", name, "--kubeconfig", str(kubeconfig), "--wait", _STARTED_WITHIN
            )
            _run("docker", "build", "--file", "images/Containerfile", "--tag", project, ".")
            node.load_name(project)
            for image in servers.values():
                _run("docker", "pull", "--quiet", image)
                node.load_name(image)
            yield Cluster(kubeconfig, f"{name}-control-plane", ImageNames(scanplane=project, **servers), node)
        finally:
            _run("kind", "delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig))


def _run(*command: str) -> None:
    completed = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
    )
    if completed.returncode:
        raise RuntimeError(f"`{' '.join(command[:4])} ...` failed:\n{completed.stderr.strip()[-2000:]}")
