"""How long to wait before the next connection.

A provider that counts connections punishes haste: a new connection while it still counts the old one is refused, and
the refusal may hit either of them. So lost connections are retried in jittered, growing steps; a refusal for too many
connections cools down for a minute at least; a refused key is tried again rarely, but for ever (a new key comes with a
new process). The steps start anew only after a connection that lived a while, not after a mere authentication.
"""

from collections.abc import Callable

from msgspec import Struct

from scanplane.feeds.massive.protocol import FailureKind

__all__ = ["Backoff", "BackoffTimes"]


class BackoffTimes(Struct, frozen=True, kw_only=True):
    """Waits in seconds. ``stable_after_s`` is the life after which a connection counts as a good one."""

    first_s: float = 0.5
    longest_s: float = 30.0
    stable_after_s: float = 10.0
    connection_limit_s: float = 60.0
    first_authentication_s: float = 60.0
    longest_authentication_s: float = 900.0


class Backoff:
    """Counts failures in a row and gives the wait after each. *random* returns numbers from 0 to 1."""

    def __init__(self, times: BackoffTimes, random: Callable[[], float]) -> None:
        self._times = times
        self._random = random
        self._losses = 0
        self._refused_keys = 0

    def wait_after(self, kind: FailureKind, lived_s: float) -> float:
        """Return the seconds to wait after a connection that lived *lived_s* and failed so.

        A step of n seconds is waited between n/2 and n, so that many clients don't come back at once; the cool-down
        after too many connections between n and 1.25 n, since less than n is of no use.
        """
        times = self._times
        if lived_s >= times.stable_after_s:
            self._losses = self._refused_keys = 0
        if kind is FailureKind.CONNECTION_LIMIT:
            return times.connection_limit_s * (1 + self._random() / 4)
        if kind is FailureKind.AUTHENTICATION:
            step = _doubled(times.first_authentication_s, self._refused_keys, times.longest_authentication_s)
            self._refused_keys += 1
        else:
            step = _doubled(times.first_s, self._losses, times.longest_s)
            self._losses += 1
        return step * (1 + self._random()) / 2


def _doubled(first: float, times: int, longest: float) -> float:
    return min(longest, first * 2.0 ** min(times, 64))
