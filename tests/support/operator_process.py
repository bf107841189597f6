"""The operator as the real process: ``python -m scanplane_operator``, its log as records, its probes and metrics."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from support.servers import ChildProcess, free_port

__all__ = ["OperatorProcess", "wait_until"]

Value = TypeVar("Value")

STARTS_WITHIN_S = 60.0
_POLL_S = 0.03
_SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")


def wait_until(
    look: Callable[[], Value], what: str | Callable[[], str], within_s: float = 30.0, every_s: float = _POLL_S
) -> Value:
    """Look until there is something to see, and return it; fail with *what* was waited for, as it is then."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:.0f} s: {what if isinstance(what, str) else what()}")
        time.sleep(every_s)


class OperatorProcess:
    """One run of the operator; ``with`` starts it and ends it. *settings* are its variables without ``SCANPLANE_``."""

    def __init__(self, kubeconfig: Path, log: Path, **settings: object) -> None:
        self.log = log
        self.port = free_port()
        self._environment = _environment(kubeconfig, {"STATUS_PORT": self.port, **settings})
        self._child: ChildProcess | None = None

    def start(self) -> Self:
        """Start it and wait for nothing."""
        # Every warning is an error, but for what libraries say while they are imported, and kopf's watches that end with it.
        excepted = [part for each in ("DeprecationWarning", "ResourceWarning") for part in ("-W", f"ignore::{each}")]
        command = [sys.executable, "-W", "error", *excepted, "-m", "scanplane_operator"]
        self._child = ChildProcess(command, self._environment, self.log)
        return self

    def __enter__(self) -> Self:
        self.start()
        self.wait_started()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def child(self) -> ChildProcess:
        """The process that was started."""
        assert self._child is not None, "start it first"
        return self._child

    def wait_started(self) -> None:
        """Wait until its status port answers."""
        self.child.wait_until(lambda: self.probe("/healthz") != 0, "the operator", STARTS_WITHIN_S)

    def end(self, number: signal.Signals = signal.SIGTERM, patience_s: float = 20.0) -> int:
        """End it; return its exit code."""
        self.child.end(number, patience_s)
        return self.child.wait(patience_s)

    def get(self, path: str) -> httpx.Response | None:
        """Return what the status port says, None if nobody answers."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False)
        except httpx.TransportError:
            return None

    def probe(self, path: str) -> int:
        """Return the HTTP status of a probe; 0 if nobody answers."""
        response = self.get(path)
        return 0 if response is None else response.status_code

    def status(self) -> dict[str, dict[str, Any]]:
        """Return what ``/status`` says of each namespace."""
        response = self.get("/status")
        assert response is not None, "nobody answers on the status port"
        return {each["namespace"]: each for each in response.json()["namespaces"]}

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of *name* that bear these labels."""
        response = self.get("/metrics")
        assert response is not None, "nobody answers on the status port"
        return sum(value for found, value in _samples(response.text, name) if labels.items() <= found.items())

    def labels(self, name: str) -> list[dict[str, str]]:
        """Return the labels of every sample of *name*."""
        response = self.get("/metrics")
        assert response is not None, "nobody answers on the status port"
        return [found for found, _ in _samples(response.text, name)]

    def passes(self, namespace: str) -> int:
        """Return how many passes were made over *namespace*; -1 if nobody answers."""
        response = self.get("/status")
        if response is None:
            return -1
        found = (each["passes"] for each in response.json()["namespaces"] if each["namespace"] == namespace)
        return int(next(found, 0))

    def wait_passes(self, namespace: str, more: int, within_s: float = 60.0) -> None:
        """Wait for *more* whole passes over *namespace* from now on."""
        goal = self.passes(namespace) + more
        wait_until(lambda: self.passes(namespace) >= goal, f"{more} passes over {namespace}", within_s)

    def text(self) -> str:
        """Return the whole log."""
        return self.log.read_text(errors="replace")

    def records(self, *, level: str = "", containing: str = "", **fields: str) -> list[dict[str, Any]]:
        """Return the log's records of a level, with a text in the message, with these fields."""
        found: list[dict[str, Any]] = []
        for line in self.text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                record = {"level": "unstructured", "message": line}
            said = str(record.get("message", ""))
            is_asked = level in {"", str(record.get("level", "")).lower()} and containing in said
            if is_asked and all(str(record.get(name)) == value for name, value in fields.items()):
                found.append(record)
        return found

    def resident_mebibytes(self) -> float:
        """Return the memory that the process holds now."""
        pages = int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _environment(kubeconfig: Path, settings: Mapping[str, object]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SCANPLANE_", "KUBERNETES_"))}
    given = {"IMAGE": "registry.example/scanplane:1", **settings}
    return kept | {f"SCANPLANE_{name}": str(value) for name, value in given.items()} | {"KUBECONFIG": str(kubeconfig)}


def _samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    found = []
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample is not None and sample["name"] == name:
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', sample["labels"] or ""))
            found.append((labels, float(sample["value"])))
    return found
