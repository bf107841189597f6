"""SIGTERM and Ctrl-C, from the first moment of a process to its last.

Imports nothing heavy, so that a command can install it before it imports the rest: a Ctrl-C while modules load is
remembered and ends the start cleanly instead of showing a traceback. The first signal asks to stop; the second ends
the process at once, for whoever does not want to wait.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType

__all__ = ["EXIT_INTERRUPTED", "StopSignals", "catch_stop_signals"]

EXIT_INTERRUPTED = 130
"""The exit code after a second signal: what shells show for a process that Ctrl-C ended."""

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Remembers that a stop was asked for and tells one listener."""

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._tell: Callable[[], object] | None = None

    @property
    def received(self) -> signal.Signals | None:
        """The signal that asked to stop, or None."""
        return self._received

    def install(self) -> None:
        """Handle the signals in this process from now on; only the main thread may."""
        for number in _NUMBERS:
            signal.signal(number, self._on_signal)

    def tell(self, listener: Callable[[], object]) -> None:
        """Call *listener* (from the main thread, between two byte codes) at the first signal; at once if it has come."""
        self._tell = listener
        if self._received is not None:
            listener()

    def forget(self) -> None:
        """Tell nobody any more; signals are still caught."""
        self._tell = None

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._received is not None:
            os._exit(EXIT_INTERRUPTED)
        self._received = signal.Signals(number)
        if self._tell is not None:
            self._tell()


_signals: StopSignals | None = None


def catch_stop_signals() -> StopSignals:
    """Catch SIGTERM and SIGINT in this process; called again, it returns what was installed first."""
    global _signals  # noqa: PLW0603  # a process has one set of signal handlers
    if _signals is None:
        _signals = StopSignals()
        _signals.install()
    return _signals
