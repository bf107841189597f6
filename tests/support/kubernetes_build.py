"""Build Kubernetes' own binaries from Go modules, once, into a cache folder outside the checkout.

What is built and at which version stands in ``tests/cluster/go.mod``. The first build of kube-apiserver takes about five
minutes on two cores; every later use finds the binary in ``$XDG_CACHE_HOME/scanplane/kubernetes-<version>``.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1] / "cluster"

BUILD_SECONDS_AT_MOST = 45 * 60
PROGRESS_EVERY_SECONDS = 15.0


def kubernetes_version() -> str:
    """Return the version that ``go.mod`` names, such as ``v1.36.3``."""
    found = re.search(r"^(?:require)?\s+k8s\.io/kubernetes (v\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert found, "tests/cluster/go.mod names no version of k8s.io/kubernetes"
    return found.group(1)


def cache_folder() -> Path:
    """Return the folder of this version's binaries; it is made when something is built."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "scanplane" / f"kubernetes-{kubernetes_version()}"


def say(line: str) -> None:
    """Write a progress line where people see it, also while pytest captures output."""
    stream = sys.__stderr__ or sys.stderr
    stream.write(f"{line}\n")
    stream.flush()


def kubernetes_binary(name: str = "kube-apiserver", report: Callable[[str], None] = say) -> Path:
    """Return the path of one of Kubernetes' binaries, building it where it isn't there yet.

    Raises RuntimeError with the end of the compiler's output when the build fails, or when there is no ``go``.
    """
    binary = cache_folder() / name
    if binary.exists():
        return binary
    binary.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(binary.with_suffix(".lock")):
        if not binary.exists():
            _build(name, binary, report)
    return binary


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Wait for other sessions that build the same binary."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(name: str, binary: Path, report: Callable[[str], None]) -> None:
    go = shutil.which("go")
    if not go:
        raise RuntimeError(f"{name} is built with Go, and no `go` is on PATH: install Go 1.26 or newer")
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    package = "k8s.io/component-base/version"
    flags = f"-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    part = binary.with_suffix(".part")
    log = binary.with_suffix(".log")
    command = [go, "build", "-trimpath", "-ldflags", flags, "-o", str(part), f"k8s.io/kubernetes/cmd/{name}"]
    report(f"Building {name} {version} from source, once (about five minutes on two cores) ...")
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=MODULE, stdout=output, stderr=subprocess.STDOUT)
        while True:
            try:
                code = process.wait(PROGRESS_EVERY_SECONDS)
                break
            except subprocess.TimeoutExpired:
                elapsed = time.monotonic() - begun
                if elapsed > BUILD_SECONDS_AT_MOST:
                    process.kill()
                    process.wait()
                    raise RuntimeError(f"building {name} took more than {BUILD_SECONDS_AT_MOST} s; see {log}") from None
                report(f"  ... {elapsed:.0f} s")
    if code != 0:
        raise RuntimeError(f"building {name} failed:\n{log.read_text(errors='replace')[-2000:]}")
    part.rename(binary)
    report(f"Built {name} in {time.monotonic() - begun:.0f} s.")
