"""The session's clock: session time runs *speed* times as fast as the host's, and can be stopped."""

import time

__all__ = ["SessionClock"]


class SessionClock:
    """A clock that begins at *start_ns*; at speed 0 it stands where the last event put it."""

    def __init__(self, start_ns: int, speed: float) -> None:
        self._session_ns = start_ns
        self._speed = speed
        self._since: float | None = None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._since is not None

    @property
    def now_ns(self) -> int:
        """Session time, nanoseconds UTC."""
        if self._since is None:
            return self._session_ns
        return self._session_ns + int((time.monotonic() - self._since) * self._speed * 1e9)

    def run(self) -> None:
        """Let it run from where it stands."""
        if self._since is None:
            self._since = time.monotonic()

    def stop(self) -> None:
        """Stop it where it is."""
        self._session_ns = self.now_ns
        self._since = None

    def advance_to(self, session_ns: int) -> None:
        """Put a clock of speed 0 to the time of an event."""
        if self._speed == 0:
            self._session_ns = session_ns

    def seconds_until(self, session_ns: int) -> float:
        """Return how many host seconds remain until *session_ns*; 0 if it is past, or the speed is 0."""
        if self._speed == 0:
            return 0.0
        return max(0.0, (session_ns - self.now_ns) / 1e9 / self._speed)
