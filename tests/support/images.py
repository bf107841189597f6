"""Images for the one-node cluster, built without a registry: the project's own, and what stands for RabbitMQ and Redis.

The project's image is made from ``images/Containerfile`` as users make it, on a base of Debian packages, with wheels that were
downloaded beforehand. Its layers are ordered by how often they change, so that an edit of the source costs seconds. buildah keeps
everything in a store of its own below the cache folder; a store of the user's is left alone.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.kubernetes_build import kubernetes_binary, say, scanplane_cache
from support.wheels import wheelhouse

__all__ = ["Image", "ImageNames", "image_names", "made_anew", "previous_image", "project_image", "server_images"]

Report = Callable[[str], None]

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = REPOSITORY / "tests/cluster/images"
SUITE = "trixie"
PYTHON = "3.13"
ARCHIVES_KEPT = 3
CACHED_STEPS_KEPT = 200
BUILD_SECONDS_AT_MOST = 900

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "base": ("python3", "python3-venv", "ca-certificates", "tzdata"),
    "rabbitmq": ("rabbitmq-server",),
    "redis": ("redis-server",),
}
"""Image → the Debian packages that it is made of."""

UNWANTED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
CONTEXT = (
    *("LICENSE", "NOTICE", "README.md", "examples", "images", "operator", "pyproject.toml", "requirements.lock"),
    "workloads",
)


@dataclass(frozen=True)
class Image:
    """An image in an archive that containerd and docker can load."""

    names: tuple[str, ...]
    """The first one changes with the content, the others do not."""
    archive: Path


@dataclass(frozen=True)
class ImageNames:
    """What manifests write to get these images; they are in the cluster already, nothing is pulled."""

    scanplane: str
    rabbitmq: str
    redis: str


def image_names(project: Image) -> ImageNames:
    """Return the names in a cluster that has loaded *project* and ``server_images()``."""
    return ImageNames(scanplane=project.names[0], rabbitmq="localhost/rabbitmq:test", redis="localhost/redis:test")


def server_images(report: Report = say) -> list[Image]:
    """Return pause, RabbitMQ and Redis, made where they are not in the cache yet.

    Raises RuntimeError with the end of a program's output when one can't be made.
    """
    return [_pause(report), _from_packages("rabbitmq", report), _from_packages("redis", report)]


def project_image(report: Report = say) -> Image:
    """Return the image of this checkout as it is now; its layers are cached, so an edit of the source takes seconds.

    Raises RuntimeError with the end of a program's output when it can't be made.
    """
    return _image_of(REPOSITORY, "scanplane", report)


def made_anew(*, cached: bool, report: Report = say) -> tuple[str, int]:
    """Make the image of this checkout, from *cached* steps or from none; return its id and its size unpacked, in bytes.

    Raises RuntimeError with the end of a program's output when it can't be made.
    """
    with _only_one(), tempfile.TemporaryDirectory(prefix="scanplane-image-") as temporary:
        folder = Path(temporary)
        image = Image((f"localhost/scanplane-anew:{folder.name.rpartition('-')[2]}",), folder / "anew.tar")
        _copy_context(REPOSITORY, folder / "context", wheelhouse(REPOSITORY, PYTHON, report))
        recipe, options = str(folder / "context/images/Containerfile"), [] if cached else ["--no-cache"]
        _build(recipe, folder / "context", {"BASE": _base(report)}, image, *options)
        found = _buildah("images", "--no-trunc", "--quiet", image.names[0]).strip()
        _buildah("rmi", image.names[0])
        return found, image.archive.stat().st_size


def previous_image(source: Path, report: Report = say) -> Image:
    """Return the image of another version of this project, made by its own Containerfile from its own *source*.

    Raises RuntimeError with the end of a program's output when it can't be made.
    """
    return _image_of(source, "scanplane-previous", report)


def _image_of(source: Path, name: str, report: Report) -> Image:
    with _only_one():
        digest = _digest("base", *_contents(source))
        image = Image((f"localhost/{name}:{digest}", f"localhost/{name}:test"), _archive_of(name, digest))
        if not image.archive.exists():
            base = _base(report)
            wheels = wheelhouse(source, PYTHON, report)
            report(f"Building the image {name} ...")
            begun = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="scanplane-image-") as temporary:
                _copy_context(source, Path(temporary), wheels)
                _build(str(Path(temporary) / "images/Containerfile"), Path(temporary), {"BASE": base}, image)
            _keep_newest(name, image.archive.parent)
            _prune()
            size = image.archive.stat().st_size / 1e6
            report(f"Built {image.names[0]} in {time.monotonic() - begun:.1f} s ({size:.0f} MB unpacked).")
    return image


def _contents(source: Path) -> Iterator[str]:
    """Give path and digest of every file that an image of *source* is made of."""
    for name in CONTEXT:
        top = source / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(source))
                yield hashlib.sha256(path.read_bytes()).hexdigest()


def _folder() -> Path:
    folder = scanplane_cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _only_one() -> Iterator[None]:
    """Wait for other sessions that build images."""
    with (_folder() / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _recipe(name: str) -> Path:
    return RECIPES / f"{name}.containerfile"


def _digest(name: str, *more: str) -> str:
    """Return what changes when the image *name* must be made anew."""
    content = "\0".join([SUITE, *PACKAGES.get(name, ()), *UNWANTED, _recipe(name).read_text(), *more])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _base(report: Report) -> str:
    """Return the name of the base image in buildah's store."""
    tag = f"localhost/python-base:{_digest('base')}"
    if not _buildah("images", "--quiet", "--filter", f"reference={tag}").strip():
        with _root_file_system("base", report) as context:
            _build(str(_recipe("base")), context, {}, Image((tag,), _archive_of("base", _digest("base"))))
    return tag


def _archive_of(name: str, digest: str) -> Path:
    return _folder() / f"{name}-{digest}.tar"


def _from_packages(name: str, report: Report) -> Image:
    digest = _digest(name)
    image = Image((f"localhost/{name}:{digest}", f"localhost/{name}:test"), _archive_of(name, digest))
    with _only_one():
        if not image.archive.exists():
            with _root_file_system(name, report) as context:
                _build(str(_recipe(name)), context, {}, image)
    return image


def _pause(report: Report) -> Image:
    binary = kubernetes_binary("pause", report)
    digest = _digest("pause", hashlib.sha256(binary.read_bytes()).hexdigest())
    image = Image((f"localhost/pause:{digest}", "localhost/pause:test"), _archive_of("pause", digest))
    with _only_one():
        if not image.archive.exists():
            _build(str(_recipe("pause")), binary.parent, {}, image)
    return image


@contextmanager
def _root_file_system(name: str, report: Report) -> Iterator[Path]:
    """Give a folder with ``rootfs.tar``, a Debian with the packages of *name*."""
    report(f"Making the image {name} from Debian packages, once (under a minute) ...")
    with tempfile.TemporaryDirectory(prefix="scanplane-rootfs-") as temporary:
        options = [f"--dpkgopt=path-exclude={path}" for path in UNWANTED]
        options.append('--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin')
        packages = f"--include={','.join(PACKAGES[name])}"
        archive = str(Path(temporary) / "rootfs.tar")
        _run(["mmdebstrap", "--quiet", "--variant=apt", packages, *options, SUITE, archive])
        yield Path(temporary)


def _copy_context(source: Path, context: Path, wheels: Path) -> None:
    """Copy what the Containerfile needs; wheels are linked where the file system allows it."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    context.mkdir(exist_ok=True)
    for name in CONTEXT:
        part = source / name
        if part.is_dir():
            shutil.copytree(part, context / name, ignore=ignored)
        else:
            shutil.copy2(part, context / name)
    shutil.copytree(wheels, context / "wheels", copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _build(recipe: str, context: Path, arguments: Mapping[str, str], image: Image, *more: str) -> None:
    """Build *recipe* in *context* under the first of the image's names, and write its archive."""
    name = image.names[0]
    options = [option for key, value in arguments.items() for option in ("--build-arg", f"{key}={value}")]
    # The same time for every file, so that layers which hold the same are the same.
    options += ["--isolation", "chroot", "--network", "host", "--layers", "--timestamp", "0", "--quiet", *more]
    _buildah("build", *options, "--file", recipe, "--tag", name, str(context))
    part = image.archive.with_suffix(".part")
    part.unlink(missing_ok=True)
    # Uncompressed: it never leaves this machine, and compressing costs more than all the rest.
    _buildah("push", "--quiet", name, f"docker-archive:{part}:{name}")
    part.rename(image.archive)


def _keep_newest(name: str, folder: Path) -> None:
    archives = [path for path in folder.glob(f"{name}-*.tar") if path.stem.rpartition("-")[0] == name]
    for old in sorted(archives, key=lambda path: path.stat().st_mtime, reverse=True)[ARCHIVES_KEPT:]:
        old.unlink(missing_ok=True)
        with contextlib.suppress(RuntimeError):  # buildah's store was emptied meanwhile
            _buildah("rmi", f"localhost/{name}:{old.stem.rpartition('-')[2]}")


def _prune() -> None:
    """Keep buildah's store bounded: without its cached steps the next build takes half a minute, once."""
    if len(_buildah("images", "--quiet", "--filter", "dangling=true").split()) > CACHED_STEPS_KEPT:
        _buildah("rmi", "--prune")


def _buildah(verb: str, *arguments: str) -> str:
    store = scanplane_cache() / "buildah"
    options = ["--root", str(store / "root"), "--runroot", str(store / "run"), "--storage-driver", "overlay"]
    return _run(["buildah", *options, verb, *arguments])


def _run(command: list[str]) -> str:
    """Run *command* and return its output. Raises RuntimeError with the end of what it said."""
    if os.geteuid() != 0:
        raise RuntimeError("images for the one-node cluster are built as root")
    if shutil.which(command[0]) is None:
        raise RuntimeError(f"{command[0]} is not installed; run `{Path(sys.executable).name} tests/servers.py install`")
    completed = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, timeout=BUILD_SECONDS_AT_MOST, check=False
    )
    if completed.returncode:
        said = (completed.stderr or completed.stdout).strip()[-2000:]
        raise RuntimeError(f"`{command[0]} {command[-1]}` failed:\n{said}")
    return completed.stdout
