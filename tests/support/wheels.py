"""A folder of every wheel that the project's image is made of, for a build that reaches no package index."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from packaging.markers import Marker

from support.kubernetes_build import say, scanplane_cache

__all__ = ["requirements_for", "wheelhouse"]

LOCKS = ("requirements.lock", "images/requirements-build.lock")
FOLDERS_KEPT = 2


def wheelhouse(repository: Path, python: str, report: Callable[[str], None] = say) -> Path:
    """Return a folder with the wheels of the lock files for *python*, such as ``3.13``; kept by the locks' content.

    Raises RuntimeError with the end of pip's output when a wheel can't be downloaded.
    """
    locks = [(repository / lock).read_text() for lock in LOCKS]
    digest = hashlib.sha256("\0".join([python, *locks]).encode()).hexdigest()[:12]
    folders = scanplane_cache() / "wheels"
    folder = folders / digest
    if not folder.is_dir():
        report("Downloading the wheels of the lock files, once ...")
        folders.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folders) as temporary:
            for lock in locks:
                _download(requirements_for(lock, python), python, Path(temporary))
            Path(temporary).rename(folder)
            Path(temporary).mkdir()  # its context manager removes it
        _keep_newest(folders)
    return folder


def requirements_for(lock: str, python: str) -> str:
    """Return the requirements of *lock* that hold for *python* on Linux, without their conditions.

    pip judges conditions by the Python that it runs on, whatever ``--python-version`` says.
    """
    environment = {"python_version": python, "python_full_version": f"{python}.0", "implementation_name": "cpython"}
    environment |= {"sys_platform": "linux", "platform_system": "Linux", "platform_python_implementation": "CPython"}
    kept = []
    for requirement in _requirements(lock):
        name, _, rest = requirement.partition(" ")
        condition, _, hashes = rest.partition("--hash")
        marker = condition.strip().lstrip(";").strip()
        if marker and not Marker(marker).evaluate(environment):
            continue
        kept.append(f"{name} --hash{hashes}\n")
    return "".join(kept)


def _requirements(lock: str) -> Iterator[str]:
    """Give each requirement with its condition and hashes as one line."""
    for line in lock.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield " ".join(line.partition(" #")[0].split())


def _download(requirements: str, python: str, folder: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        command = [sys.executable, "-m", "pip", "download", *options, "--python-version", python]
        completed = subprocess.run(
            [*command, "--dest", str(folder), "--requirement", file.name],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    if completed.returncode:
        raise RuntimeError(f"downloading wheels for Python {python} failed:\n{completed.stderr.strip()[-2000:]}")


def _keep_newest(folders: Path) -> None:
    found = sorted(folders.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for old in found[FOLDERS_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
