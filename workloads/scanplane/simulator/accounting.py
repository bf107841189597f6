"""The provider's own book of connections: what a test asks when it wants to know that there were never two at once."""

import time
from collections import deque

from msgspec import Struct

__all__ = ["ConnectionBook", "ConnectionEntry", "ConnectionTotals"]

_REMEMBERED = 1000


class ConnectionEntry(Struct, rename="camel"):
    """One connection. Times are host nanoseconds UTC; ``closed_ns`` is 0 while it is open."""

    number: int
    path: str
    opened_ns: int
    authenticated_ns: int = 0
    closed_ns: int = 0
    close_code: int = 0
    ended_by: str = ""
    topics: int = 0
    events: int = 0
    frames: int = 0
    bytes: int = 0


class ConnectionTotals(Struct, frozen=True, rename="camel"):
    """Sums over all connections; ``seconds`` counts every connection's time."""

    now: int
    maximum: int
    total: int
    authenticated: int
    evicted: int
    slow_consumers: int
    authentication_failures: int
    seconds: float


class ConnectionBook:
    """Counts connections from the opening handshake to the loss of the TCP connection."""

    def __init__(self) -> None:
        self.entries: deque[ConnectionEntry] = deque(maxlen=_REMEMBERED)
        self.maximum = 0
        self.total = 0
        self.evicted = 0
        self.slow_consumers = 0
        self.authentication_failures = 0
        self._open: dict[int, ConnectionEntry] = {}
        self._closed_seconds = 0.0

    @property
    def now(self) -> int:
        """Connections open at this moment."""
        return len(self._open)

    @property
    def authenticated(self) -> int:
        """Of these, the ones whose key was accepted."""
        return sum(1 for entry in self._open.values() if entry.authenticated_ns)

    @property
    def seconds(self) -> float:
        """Time of all connections together."""
        now = self.clock_ns()
        return self._closed_seconds + sum((now - entry.opened_ns) / 1e9 for entry in self._open.values())

    @staticmethod
    def clock_ns() -> int:
        """The host's clock."""
        return time.time_ns()

    def opened(self, path: str) -> ConnectionEntry:
        """Enter a new connection."""
        self.total += 1
        entry = ConnectionEntry(number=self.total, path=path, opened_ns=self.clock_ns())
        self._open[entry.number] = entry
        self.entries.append(entry)
        self.maximum = max(self.maximum, len(self._open))
        return entry

    def closed(self, entry: ConnectionEntry, code: int | None) -> None:
        """Close the entry of a connection that is gone; *code* is None where it went without a word."""
        entry.closed_ns = self.clock_ns()
        entry.close_code = code or 0
        self._closed_seconds += (entry.closed_ns - entry.opened_ns) / 1e9
        del self._open[entry.number]

    def totals(self) -> ConnectionTotals:
        """The sums of this moment."""
        return ConnectionTotals(
            now=self.now,
            maximum=self.maximum,
            total=self.total,
            authenticated=self.authenticated,
            evicted=self.evicted,
            slow_consumers=self.slow_consumers,
            authentication_failures=self.authentication_failures,
            seconds=round(self.seconds, 3),
        )
