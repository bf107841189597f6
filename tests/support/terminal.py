"""A command as a person sees it: on a terminal of its own that takes key strokes, or through a pipe."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import uuid
from pathlib import Path
from typing import Self

__all__ = ["ALTERNATE_SCREEN", "CTRL_C", "MAIN_SCREEN", "ShownCommand"]

CTRL_C = b"\x03"
ALTERNATE_SCREEN, MAIN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
"""What a program writes that draws over everything, and that gives back what was there before."""

_SCANPLANE = (sys.executable, "-m", "scanplane.cli")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_MARK = "SCANPLANE_TEST_COMMAND"


class ShownCommand:
    """``scanplane`` with *arguments*; with *terminal* on a pseudo-terminal of 160 columns and 50 lines, else into a pipe.

    Its errors are kept apart; ``took_s`` is how many seconds passed until it was seen to end. Leaving it ends it, and
    whatever it has started.
    """

    def __init__(self, *arguments: str | Path, terminal: bool) -> None:
        self.took_s = 0.0
        self._began_s = time.monotonic()
        self._mark = uuid.uuid4().hex
        self._output = bytearray()
        self._errors = bytearray()
        self._typed_into: int | None = None
        ours, its = pty.openpty() if terminal else os.pipe()
        if terminal:
            fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
            self._typed_into = ours
        self._process = subprocess.Popen(
            [*_SCANPLANE, *map(str, arguments)],
            env={**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "50", "NO_COLOR": "1", _MARK: self._mark},
            stdin=its if terminal else subprocess.DEVNULL,
            stdout=its,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_take_terminal if terminal else None,  # noqa: PLW1509  # calls one system call and no lock
        )
        os.close(its)
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=_read, args=source, daemon=True)
            for source in ((ours, self._output), (self._process.stderr.fileno(), self._errors))
        ]
        self._ours = ours
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything that it has written so far, escape sequences included."""
        return self._output.decode(errors="replace").replace("\r\n", "\n")

    @property
    def text(self) -> str:
        """The same, as it reads."""
        return readable(self.output)

    @property
    def errors(self) -> str:
        """Everything that it has written to standard error."""
        return self._errors.decode(errors="replace")

    def wait_text(self, pattern: str, patience_s: float = 240.0) -> re.Match[str]:
        """Wait until something that it has written matches *pattern*."""
        deadline = time.monotonic() + patience_s
        while True:
            ended = self._process.poll() is not None
            if (found := re.search(pattern, self.text)) is not None:
                return found
            if ended or time.monotonic() > deadline:
                reason = "it ended" if ended else f"not within {patience_s:.0f} s"
                raise AssertionError(
                    f"nothing like {pattern!r} ({reason}):\n{self.text[-3000:]}\n{self.errors[-3000:]}"
                )
            time.sleep(0.05)

    def interrupt(self) -> None:
        """Press Ctrl-C; without a terminal, what that does: SIGINT to the foreground."""
        if self._typed_into is not None:
            os.write(self._typed_into, CTRL_C)
        else:
            os.killpg(self.pid, signal.SIGINT)

    def wait(self, patience_s: float = 240.0) -> int:
        """Wait for its end, take the rest of what it wrote, and return its exit code."""
        code = self._process.wait(patience_s)
        self.took_s = self.took_s or time.monotonic() - self._began_s
        for reader in self._readers:
            reader.join(patience_s)
        return code

    def living(self) -> list[int]:
        """Return every process that lives and was started by it, or by one that it started; itself included."""
        mark = f"{_MARK}={self._mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()
        os.close(self._ours)
        assert self._process.stderr is not None
        self._process.stderr.close()


def readable(output: str) -> str:
    """Return *output* without escape sequences."""
    return _ESCAPES.sub("", output)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(source: int, into: bytearray) -> None:
    """Take everything, so that nobody waits for room; a terminal whose last writer has gone is an error, not an end."""
    with contextlib.suppress(OSError):
        while chunk := os.read(source, 65_536):
            into += chunk
