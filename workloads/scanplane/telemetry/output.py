"""Log lines on their way to a pipe that may be slow: written by a thread of their own, bounded and counted.

A process whose log is read by nobody must go on: the event loop puts a finished line into a bounded queue and
never waits; when the queue is full the line is dropped and counted, and the count is written as soon as lines flow
again. The thread writes to the file descriptor itself, past Python's buffered streams, so that a stuck pipe holds no
lock that the end of the process would wait for.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable

__all__ = ["LineWriter"]

_END = None


class LineWriter:
    """Writes lines to a file descriptor, in order, from a daemon thread.

    ``announce`` makes the line that tells of dropped ones from their number.
    """

    def __init__(self, descriptor: int, announce: Callable[[int], str], *, max_waiting: int = 10_000) -> None:
        self._descriptor = descriptor
        self._announce = announce
        self._waiting: queue.Queue[bytes | None] = queue.Queue(max_waiting)
        self._dropped = 0
        self._announced = 0
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._write_all, name="scanplane-log", daemon=True)
        self._thread.start()

    @property
    def dropped_total(self) -> int:
        """Lines that were dropped because too many waited, or because the other end is gone."""
        return self._dropped

    def write(self, line: str) -> None:
        """Queue one line, without its line end; never waits."""
        if not self._closed:
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(line.encode(errors="backslashreplace") + b"\n")
                return
        with self._lock:
            self._dropped += 1

    def close(self, timeout_seconds: float) -> bool:
        """Write what waits, at most for *timeout_seconds*; return whether all of it was written."""
        self._closed = True
        with contextlib.suppress(queue.Full):
            self._waiting.put(_END, timeout=timeout_seconds)
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive() and self._dropped == 0

    def _write_all(self) -> None:
        while (line := self._waiting.get()) is not _END:
            missed = self._dropped - self._announced
            if missed and self._waiting.empty():
                self._announced += missed
                line += self._announce(missed).encode() + b"\n"
            if not self._write_out(line):
                return

    def _write_out(self, data: bytes) -> bool:
        """Write every byte; return False when nobody can read them any more."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                time.sleep(0.01)  # a terminal set to non-blocking by another process: try again
            except OSError:
                with self._lock:
                    self._dropped += 1 + self._waiting.qsize()
                self._closed = True
                return False
        return True
