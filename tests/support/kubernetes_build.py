"""Build the programs of a Kubernetes cluster from Go modules, once, into a cache folder outside the checkout.

What is built and at which version stands in the ``go.mod`` files below ``tests/cluster``; a program whose dependencies contradict
those of Kubernetes has a module of its own. The first build of all takes about fifteen minutes on two cores; every later
use finds them in ``$XDG_CACHE_HOME/scanplane/<name>-<version>``.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

MODULES = Path(__file__).resolve().parents[1] / "cluster"

BUILD_SECONDS_AT_MOST = 45 * 60
PROGRESS_EVERY_SECONDS = 15.0


class Program(NamedTuple):
    """What ``go build`` is told of one program."""

    folder: str
    """Below ``tests/cluster``; holds the ``go.mod``."""
    package: str
    versioned: str
    """The module whose version in ``go.mod`` is the program's."""
    version_variables: tuple[str, ...] = ()
    """What the linker sets: ``{version}``, ``{major}`` and ``{minor}`` of the program, ``{kubernetes_minor}`` of the cluster."""
    static: bool = False
    """Runs in an image that holds nothing else."""


def _of_kubernetes(name: str) -> Program:
    version = "k8s.io/component-base/version"
    variables = (f"{version}.gitVersion={{version}}", f"{version}.gitMajor={{major}}", f"{version}.gitMinor={{minor}}")
    return Program(".", f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes", variables)


_ETCD = "go.etcd.io/etcd/server/v3"
_HELM = "helm.sh/helm/v3"
_OF_KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kubelet",
    "kube-scheduler",
    "kube-proxy",
    "kubectl",
)

PROGRAMS: Mapping[str, Program] = MappingProxyType(
    {name: _of_kubernetes(name) for name in _OF_KUBERNETES}
    | {
        "etcd": Program(".", _ETCD, _ETCD),
        "coredns": Program("coredns", ".", "github.com/coredns/coredns"),
        "helm": Program(
            "helm",
            f"{_HELM}/cmd/helm",
            _HELM,
            (
                f"{_HELM}/internal/version.version={{version}}",
                f"{_HELM}/pkg/chartutil.k8sVersionMajor=1",
                f"{_HELM}/pkg/chartutil.k8sVersionMinor={{kubernetes_minor}}",
                f"{_HELM}/pkg/lint/rules.k8sVersionMajor=1",
                f"{_HELM}/pkg/lint/rules.k8sVersionMinor={{kubernetes_minor}}",
            ),
        ),
        "kwok": Program("kwok", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok"),
        "pause": Program("pause", ".", "", static=True),
    }
)
"""Every program that can be built, the slowest first."""


def kubernetes_version() -> str:
    """Return the version that ``go.mod`` names, such as ``v1.36.3``."""
    return _version(PROGRAMS["kube-apiserver"])


def _version(program: Program) -> str:
    if not program.versioned:
        return "v1"
    text = (MODULES / program.folder / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s+{re.escape(program.versioned)} (v\S+)", text, re.MULTILINE)
    assert found, f"tests/cluster/{program.folder}/go.mod names no version of {program.versioned}"
    return found.group(1)


def scanplane_cache() -> Path:
    """Return the folder outside the checkout where everything is kept that is made once."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "scanplane"


def cache_folder(name: str = "kube-apiserver") -> Path:
    """Return the folder of the program *name* at its version; it is made when something is built."""
    program = PROGRAMS[name]
    label = "kubernetes" if name in _OF_KUBERNETES else name
    main = MODULES / program.folder / "main.go"
    own = f"-{hashlib.sha256(main.read_bytes()).hexdigest()[:8]}" if main.exists() else ""
    return scanplane_cache() / f"{label}-{_version(program)}{own}"


def say(line: str) -> None:
    """Write a progress line where people see it, also while pytest captures output."""
    stream = sys.__stderr__ or sys.stderr
    stream.write(f"{line}\n")
    stream.flush()


def kubernetes_binary(name: str = "kube-apiserver", report: Callable[[str], None] = say) -> Path:
    """Return the path of one of the programs, building it where it isn't there yet.

    Raises RuntimeError with the end of the compiler's output when the build fails, or when there is no ``go``.
    """
    binary = cache_folder(name) / name
    if binary.exists():
        return binary
    binary.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(binary.with_suffix(".lock")):
        if not binary.exists():
            _build(name, binary, report)
    return binary


def program_on_hand(name: str, report: Callable[[str], None] = say) -> Path:
    """Return the program *name* of PATH, or else the one that is built."""
    found = shutil.which(name)
    return Path(found) if found else kubernetes_binary(name, report)


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
    program = PROGRAMS[name]
    part = binary.with_suffix(".part")
    log = binary.with_suffix(".log")
    command = [go, "build", "-trimpath", "-ldflags", _linker_flags(program), "-o", str(part), program.package]
    environment = dict(os.environ, CGO_ENABLED="0") if program.static else None
    report(f"Building {name} {_version(program)} from source, once (up to five minutes on two cores) ...")
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=MODULES / program.folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        while (code := _ended(process)) is None:
            elapsed = time.monotonic() - begun
            if elapsed > BUILD_SECONDS_AT_MOST:
                process.kill()
                process.wait()
                raise RuntimeError(f"building {name} took more than {BUILD_SECONDS_AT_MOST} s; see {log}")
            report(f"  ... {elapsed:.0f} s")
    if code != 0:
        raise RuntimeError(f"building {name} failed:\n{log.read_text(errors='replace')[-2000:]}")
    part.rename(binary)
    report(f"Built {name} in {time.monotonic() - begun:.0f} s.")


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """Wait for *process* as long as nothing has to be said; return its exit code, or None if it still runs."""
    try:
        return process.wait(PROGRESS_EVERY_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _linker_flags(program: Program) -> str:
    """Return ``-ldflags``: no symbols, and the versions where the program looks for them."""
    version = _version(program)
    major, minor = version.removeprefix("v").split(".")[:2] if "." in version else (version, "0")
    values = {
        "version": version,
        "major": major,
        "minor": minor,
        "kubernetes_minor": kubernetes_version().split(".")[1],
    }
    return " ".join(["-s -w", *(f"-X {variable.format(**values)}" for variable in program.version_variables)])
