"""A real Kubernetes for tests, whichever is at hand, and what tests ask of it.

In this order: the cluster that SCANPLANE_TEST_CONTEXT names, and no other of the user's; kind, where it and a Docker engine are
there; a one-node cluster of our own (``cluster_node``). Every command is given a kubeconfig with one context in it, so that none
goes elsewhere by accident.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from support.images import Image, ImageNames
from support.kubernetes_build import program_on_hand

__all__ = ["CONTEXT_VARIABLE", "Cluster", "CommandFailedError", "ImageStore"]

CONTEXT_VARIABLE = "SCANPLANE_TEST_CONTEXT"
DELETED_WITHIN_SECONDS = 90.0


class CommandFailedError(Exception):
    """kubectl or helm refused; the text is what it said."""


class ImageStore(Protocol):
    """Where a cluster's node finds images."""

    def load_image(self, image: Image) -> None:
        """Make *image* known under all its names."""

    def tag_image(self, name: str, other: str) -> None:
        """Make the image *name* known as *other* too."""


class NoImageStore:
    """Of a cluster whose images come from a registry."""

    def load_image(self, image: Image) -> None:
        raise CommandFailedError(f"{image.names[0]} can't be loaded into this cluster: push it to its registry")

    def tag_image(self, name: str, other: str) -> None:
        raise CommandFailedError(f"{name} can't be named {other} in this cluster: push it to its registry")


@dataclass(frozen=True)
class Cluster:
    """A running cluster and its administrator."""

    kubeconfig: Path
    """Holds this cluster's context and no other."""
    node: str
    """Name of the (first) node."""
    images: ImageNames
    """What manifests write to get the project's image, RabbitMQ and Redis."""
    store: ImageStore

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

    def load_image(self, image: Image) -> None:
        """Make *image* known to the node under all its names."""
        self.store.load_image(image)

    def tag_image(self, name: str, other: str) -> str:
        """Make the image *name* known to the node as *other* too; return that."""
        self.store.tag_image(name, other)
        return other

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
