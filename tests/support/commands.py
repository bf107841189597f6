"""The command ``scanplane`` as people start it: run to its end, or kept running as ``scanplane up``."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx

from support.servers import ChildProcess, free_port

__all__ = ["Outcome", "RecordProcess", "RoleProcess", "UpProcess", "members_of", "scanplane"]

SCANPLANE = (sys.executable, "-m", "scanplane.cli")
_LISTENS = re.compile(r"gateway listens on port (\d+)")


class Outcome(NamedTuple):
    """How a command ended: exit code, and the lines of its output and of its errors."""

    code: int
    out: list[str]
    err: list[str]


def scanplane(
    *arguments: str | Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    patience_s: float = 60.0,
) -> Outcome:
    """Run a command to its end, in *folder*, with *environment* added to this process's own."""
    completed = subprocess.run(
        [*SCANPLANE, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    return Outcome(completed.returncode, completed.stdout.splitlines(), completed.stderr.splitlines())


def members_of(session: int) -> list[int]:
    """Return the processes of a session that still live: its leader, and all that it has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


class _Logging:
    """A process that keeps running, with its log in a file. Leaving it ends it."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self.log = log
        self._process = ChildProcess([*SCANPLANE, *map(str, command)], os.environ, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def text(self) -> str:
        """Everything that it has written so far."""
        return self.log.read_text(errors="replace")

    @property
    def records(self) -> list[dict[str, Any]]:
        """Its log, record by record; what is no record (and should not be there) has only a message."""
        lines = self.text.split("\n")[:-1]  # the last may not be whole yet
        return [json.loads(line) if line.startswith("{") else {"level": "", "message": line} for line in lines]

    def messages(self, level: str | None = None) -> list[str]:
        """Return the messages of its log, all or those of one level."""
        return [str(record["message"]) for record in self.records if level in {None, record["level"]}]

    def mark(self) -> int:
        """Return a place in the log that ``wait_log`` can look behind."""
        return len(self.records)

    def wait_log(self, pattern: str, after: int = 0, patience_s: float = 60.0) -> str:
        """Wait until a message behind *after* matches *pattern*, and return it."""
        deadline = time.monotonic() + patience_s
        while True:
            ended = not self._process.running
            for message in self.messages()[after:]:
                if re.search(pattern, message):
                    return message
            if ended or time.monotonic() > deadline:
                reason = "it ended" if ended else f"not within {patience_s:.0f} s"
                raise AssertionError(f"nothing like {pattern!r} in the log ({reason}):\n{self.text[-4000:]}")
            time.sleep(0.02)

    def send(self, number: signal.Signals = signal.SIGINT) -> None:
        """Signal it, as Ctrl-C does."""
        self._process.send(number)

    def wait(self, patience_s: float = 30.0) -> int:
        """Wait for its end and return its exit code."""
        return self._process.wait(patience_s)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to end, wait, and return its exit code."""
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.end(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.end(signal.SIGINT)


def _ask(port: int, path: str) -> Any:
    """Return what is answered, or None where nothing or no success is."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5)
    except httpx.TransportError:
        return None
    return answer.json() if answer.is_success else None


class UpProcess(_Logging):
    """``scanplane up``; made, it runs, unless *wait* is False."""

    def __init__(self, log: Path, *paths: Path, wait: bool = True) -> None:
        super().__init__(["up", *paths], log)
        if wait:
            self.wait_log("Ctrl-C ends")

    def get(self, path: str) -> Any:
        """Return what the gateway answers, or None where it doesn't."""
        return _ask(self.port, path)

    @property
    def port(self) -> int:
        """The port that the gateway listens on now."""
        return int(_LISTENS.findall(self.text)[-1])

    def status(self, name: str) -> dict[str, Any]:
        """Return the status of an instance as the gateway shows it; empty where there is none yet."""
        answer = self.get("/v1/status") or {}
        status: dict[str, Any] = (answer.get("roles") or {}).get(name, {})
        return status


class RecordProcess(_Logging):
    """``scanplane record`` of the one Feed in *folder* to *output*, until it is told to end."""

    def __init__(self, log: Path, folder: Path, output: Path) -> None:
        super().__init__(["record", folder, "--output", output], log)


class RoleProcess(_Logging):
    """``scanplane run`` of the configuration *name* that ``scanplane plan --output`` has written into *folder*."""

    def __init__(self, folder: Path, name: str, log: Path) -> None:
        self.port = free_port()
        options = ("--secrets", folder / "secrets", "--status-host", "127.0.0.1", "--status-port", str(self.port))
        super().__init__(["run", folder / f"{name}.json", *options, "--logs", "json"], log)

    def status(self) -> dict[str, Any]:
        """Return its status; empty while it does not answer."""
        return _ask(self.port, "/status") or {}

    def figure(self, name: str) -> float:
        """Return one figure of its status; 0 while it has none."""
        return float(self.status().get("figures", {}).get(name, 0.0))

    @property
    def ready(self) -> bool:
        return _ask(self.port, "/readyz") is not None
