"""Which cluster the tests run on: one that is named, else kind, else one of our own."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.cluster import CONTEXT_VARIABLE, Cluster, OutOfReach, Runtime
from support.cluster_components import NODE
from support.cluster_development import development_folder
from support.cluster_kind import kind_cluster, kind_is_usable
from support.cluster_node import OneNode, clear, running_node, start_node
from support.images import ImageNames, image_names, project_image
from support.kubernetes_build import program_on_hand, scanplane_cache

__all__ = ["CONTEXT_VARIABLE", "open_cluster"]

IMAGE_VARIABLE = "SCANPLANE_TEST_IMAGE"

OF_REGISTRIES = {
    "rabbitmq": "docker.io/library/rabbitmq:4-management-alpine",
    "redis": "docker.io/library/redis:8-alpine",
}
"""What a cluster pulls that can reach a registry."""


@contextmanager
def open_cluster() -> Iterator[Cluster]:
    """Give the cluster to test on; one that was started for this is ended afterwards.

    Raises RuntimeError with one line that says what is missing, or with the end of the log of what did not start.
    """
    with ExitStack() as stack:
        if context := os.environ.get(CONTEXT_VARIABLE):
            yield _named(context, os.environ, stack)
        elif kind_is_usable():
            yield stack.enter_context(kind_cluster(OF_REGISTRIES))
        else:
            yield stack.enter_context(_own())


@contextmanager
def _own() -> Iterator[Cluster]:
    clusters = scanplane_cache() / "clusters"
    for folder in clusters.glob("test-*"):
        if running_node(folder) is None and not Path(f"/proc/{folder.name.removeprefix('test-')}").exists():
            clear(folder)  # of a session that was killed
    node = start_node(clusters / f"test-{os.getpid()}")
    try:
        yield Cluster(node.kubeconfig, NODE, image_names(project_image()), node)
    finally:
        node.stop()


def _named(context: str, environment: Mapping[str, str], stack: ExitStack) -> Cluster:
    """Return the cluster that the user's kubeconfig calls *context*, by a kubeconfig that holds no other."""
    command = [str(program_on_hand("kubectl")), "config", "view", "--minify", "--flatten", "--context", context]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if completed.returncode:
        raise RuntimeError(f"{CONTEXT_VARIABLE}={context}: {completed.stderr.strip()}")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scanplane-context-")))
    kubeconfig = folder / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(completed.stdout)
    names, runtime = _images_of(context, environment)
    command = [command[0], "--kubeconfig", str(kubeconfig), "get", "nodes", "--output=json", "--request-timeout=20s"]
    nodes = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if nodes.returncode:
        raise RuntimeError(f"{CONTEXT_VARIABLE}={context} does not answer: {nodes.stderr.strip()[-500:]}")
    return Cluster(kubeconfig, json.loads(nodes.stdout)["items"][0]["metadata"]["name"], names, runtime)


def _images_of(context: str, environment: Mapping[str, str]) -> tuple[ImageNames, Runtime]:
    own: OneNode | None = running_node(development_folder())
    if own is not None and context == own.context:
        project = project_image()
        own.load_image(project)
        return image_names(project), own
    image = environment.get(IMAGE_VARIABLE)
    if not image:
        raise RuntimeError(f"{CONTEXT_VARIABLE} is set: name an image that this cluster can pull in {IMAGE_VARIABLE}")
    return ImageNames(scanplane=image, **OF_REGISTRIES), OutOfReach()
