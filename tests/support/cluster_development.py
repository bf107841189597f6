"""The one-node cluster that a developer keeps: started in the background, found again by its folder, ended on request."""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from support.chart import previous_version
from support.cluster import CONTEXT_VARIABLE
from support.cluster_kind import kind_is_usable
from support.cluster_node import PROGRAMS_OF_THE_NODE, OneNode, all_images, clear, running_node, start_node, why_not
from support.images import REPOSITORY, ImageNames, image_names, previous_image, project_image, server_images
from support.kubernetes_build import kubernetes_binary, program_on_hand, scanplane_cache

__all__ = ["development_folder", "main"]


def development_folder() -> Path:
    """Return where the cluster keeps everything."""
    return scanplane_cache() / "clusters" / "development"


def main(arguments: Sequence[str]) -> int:
    """Do what is asked; return the exit code."""
    verbs = {"up": _up, "down": _down, "prepare": _prepare}
    if len(arguments) != 1 or arguments[0] not in verbs:
        sys.stderr.write("Usage: python tests/cluster up|down|prepare\n")
        return 2
    try:
        with _only_one():
            return verbs[arguments[0]]()
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def _only_one() -> Iterator[None]:
    folder = development_folder().parent
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _up() -> int:
    folder = development_folder()
    cluster = running_node(folder)
    if cluster is None:
        if folder.exists():
            clear(folder)
        cluster = start_node(folder, detached=True, report=_say)
    project = project_image(_say)
    for image in [*server_images(_say), project]:
        cluster.load_image(image)
    images = image_names(project)
    for name, other in _names_of_the_chart(images).items():
        cluster.tag_image(name, other)
    _say_next(cluster, images)
    return 0


def _prepare() -> int:
    """Make what takes minutes and is made once, where the tests will start a cluster of their own."""
    if os.environ.get(CONTEXT_VARIABLE) or kind_is_usable():
        return 0
    if reason := why_not():
        _say(f"The tests that need a cluster will fail: {reason}.")
        return 0
    for name in PROGRAMS_OF_THE_NODE:
        kubernetes_binary(name, _say)
    program_on_hand("kubectl", _say)
    program_on_hand("helm", _say)
    for _ in all_images(_say):
        pass
    with tempfile.TemporaryDirectory(prefix="scanplane-previous-") as folder:
        if source := previous_version(Path(folder)):
            previous_image(source, _say)
    return 0


def _names_of_the_chart(images: ImageNames) -> dict[str, str]:
    """Return each image's name and what the chart calls it by default: commands of the documentation work as they are."""
    chart = REPOSITORY / "charts/scanplane"
    values = yaml.safe_load((chart / "values.yaml").read_text())
    version = yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"]
    return {
        images.scanplane: f"{values['image']['repository']}:{values['image']['tag'] or version}",
        images.rabbitmq: values["bundled"]["rabbitmq"]["image"],
        images.redis: values["bundled"]["redis"]["image"],
    }


def _say_next(cluster: OneNode, images: ImageNames) -> None:
    programs = _programs()
    tag = images.scanplane.rpartition(":")[2]
    _say(f"""
The cluster is up. Its images, also under the names that the chart has for them:
  {images.scanplane} (and :test), {images.rabbitmq}, {images.redis}

  export KUBECONFIG={cluster.kubeconfig}{f" PATH={programs}:$PATH" if programs else ""}
  kubectl get nodes
  helm install scanplane charts/scanplane -n scanners --create-namespace --set simulator.enabled=true
  make cluster         # after an edit: loads its image; then: helm upgrade ... --set image.tag={tag}, as it prints
  make cluster-down""")


def _programs() -> Path | None:
    """Return a folder with kubectl and helm where they are not on PATH."""
    folder = scanplane_cache() / "bin"
    needed = {name: program_on_hand(name, _say) for name in ("kubectl", "helm")}
    if all(shutil.which(name) for name in needed):
        return None
    folder.mkdir(exist_ok=True)
    for name, program in needed.items():
        link = folder / f".{name}"
        link.unlink(missing_ok=True)
        link.symlink_to(program)
        link.replace(folder / name)
    return folder


def _down() -> int:
    folder = development_folder()
    cluster = running_node(folder)
    if cluster is not None:
        cluster.stop()
        _say("The cluster is gone.")
    elif folder.exists():
        clear(folder)
        _say("The cluster had ended already; what it left is removed.")
    else:
        _say("No cluster is up.")
    return 0
