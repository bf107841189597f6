"""A real Kubernetes for tests, whichever is at hand, and what tests ask of it.

In this order: the cluster that SCANPLANE_TEST_CONTEXT names, and no other of the user's; kind, where it and a Docker engine are
there; a one-node cluster of our own (``cluster_node``). Every command is given a kubeconfig with one context in it, so that none
goes elsewhere by accident.
"""

import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from support.images import ImageNames
from support.kubernetes_build import program_on_hand
from support.servers import ChildProcess

__all__ = ["CONTEXT_VARIABLE", "Cluster", "CommandFailedError", "Runtime"]

CONTEXT_VARIABLE = "SCANPLANE_TEST_CONTEXT"
DELETED_WITHIN_SECONDS = 90.0
ANSWERED_WITHIN_SECONDS = 30.0


class CommandFailedError(Exception):
    """kubectl or helm refused; the text is what it said."""


class Runtime(Protocol):
    """What runs containers on a cluster's node: where images are, and who can end a process from outside."""

    @property
    def is_in_reach(self) -> bool:
        """Whether it can be told anything at all."""

    def build(self, source: Path) -> str:
        """Make the image of another version of this project from its *source*, known to the node; return its name."""

    def kill(self, container: str) -> None:
        """End the first process of a container with SIGKILL, which nobody inside can: it is the first of its namespace."""


class OutOfReach:
    """The runtime of a cluster that is only reached through its API server."""

    is_in_reach = False

    def build(self, source: Path) -> str:
        raise CommandFailedError(f"the image of {source} can't be loaded into this cluster")

    def kill(self, container: str) -> None:
        raise CommandFailedError(f"no process of container {container} can be killed from here")


@dataclass(frozen=True)
class Cluster:
    """A running cluster and its administrator."""

    kubeconfig: Path
    """Holds this cluster's context and no other."""
    node: str
    """Name of the (first) node."""
    images: ImageNames
    """What manifests write to get the project's image, RabbitMQ and Redis."""
    runtime: Runtime

    def try_kubectl(
        self, *arguments: str, document: str | None = None, patience_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl with *document* as its input; the caller judges the exit code. Raises TimeoutExpired."""
        return self._run("kubectl", arguments, document, patience_s)

    def kubectl(self, *arguments: str, document: str | None = None, patience_s: float = 60) -> str:
        """Run kubectl with *document* as its input; return its output. Raises CommandFailedError, TimeoutExpired."""
        return _output(self.try_kubectl(*arguments, document=document, patience_s=patience_s))

    def try_helm(self, *arguments: str, patience_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run helm; the caller judges the exit code. Raises TimeoutExpired."""
        return self._run("helm", arguments, None, patience_s)

    def helm(self, *arguments: str, patience_s: float = 300) -> str:
        """Run helm; return its output. Raises CommandFailedError, TimeoutExpired."""
        return _output(self.try_helm(*arguments, patience_s=patience_s))

    @contextmanager
    def api(self) -> Iterator[httpx.Client]:
        """Give a client of the API server: who asks again and again should not start a kubectl each time."""
        command = [str(program_on_hand("kubectl")), "--kubeconfig", str(self.kubeconfig), "proxy", "--port=0"]
        with tempfile.TemporaryDirectory(prefix="scanplane-proxy-") as folder:
            proxy = ChildProcess(command, os.environ, Path(folder) / "log")
            try:
                proxy.wait_until(
                    lambda: b"Starting to serve on" in proxy.log.read_bytes(), "kubectl proxy", ANSWERED_WITHIN_SECONDS
                )
                (address,) = re.findall(r"Starting to serve on (\S+)", proxy.log.read_text())
                with httpx.Client(base_url=f"http://{address}", timeout=ANSWERED_WITHIN_SECONDS) as client:
                    yield client
            finally:
                proxy.end()

    @contextmanager
    def namespace(self, prefix: str = "test", labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """Make a namespace that nobody else uses, and delete it with all that is in it.

        Where the block fails, what its pods said last goes to standard error. Raises CommandFailedError when the namespace
        can't be deleted, which is a finding about what was in it.
        """
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        try:
            for key, value in (labels or {}).items():
                self.kubectl("label", "namespace", name, f"{key}={value}")
            self.kubectl("wait", "--for=create", "serviceaccount/default", "--namespace", name, "--timeout=30s")
            yield name
        except BaseException:
            sys.stderr.write(self.describe(name))
            raise
        finally:
            self._delete_namespace(name)

    def describe(self, namespace: str) -> str:
        """Return what one wants to see of *namespace* when something in it went wrong."""
        questions = (
            ("get", "all", "--output=wide"),
            ("get", "events", "--field-selector=type=Warning", "--sort-by=.lastTimestamp"),
        )
        parts = [self.try_kubectl(*question, "--namespace", namespace).stdout[-4000:] for question in questions]
        pods = self.try_kubectl("get", "pods", "--namespace", namespace, "--output=name").stdout.split()
        for pod in pods[:12]:
            said = self.try_kubectl("logs", pod, "--namespace", namespace, "--all-containers", "--tail=15").stdout
            parts.append(f"--- {pod}\n{said[-3000:]}")
        return "\n".join(parts) + "\n"

    def _delete_namespace(self, name: str) -> None:
        options = ["--ignore-not-found", f"--timeout={DELETED_WITHIN_SECONDS:.0f}s"]
        self.kubectl("delete", "namespace", name, *options, patience_s=DELETED_WITHIN_SECONDS + 10)

    def _run(
        self, program: str, arguments: tuple[str, ...], document: str | None, patience_s: float
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program_on_hand(program)), *arguments],
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig)},
            input=document,
            stdin=subprocess.DEVNULL if document is None else None,
            capture_output=True,
            text=True,
            timeout=patience_s,
            check=False,
        )


def _output(completed: subprocess.CompletedProcess[str]) -> str:
    if completed.returncode:
        command = " ".join([Path(completed.args[0]).name, *completed.args[1:8]])
        raise CommandFailedError(f"`{command}`: {(completed.stderr or completed.stdout).strip()[-2000:]}")
    return completed.stdout
