"""Latencies as counts in buckets: cheap to record, exact enough to read, the same numbers everywhere.

A histogram keeps two sets of buckets. The fine ones are 16 to each doubling (as in HdrHistogram), so that a
percentile is at most 6.25 % above the true value at any magnitude; they serve ``/status`` and the live page.
The coarse ones stand at round numbers and serve Prometheus and OTLP. Recording touches two counters
(about 0.4 µs), once per batch, never per event.

Recording is done by one thread, reading by any: a reader may miss the last record, never see a broken state.
"""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable

from msgspec import Struct

__all__ = ["BOUNDS_NS", "LatencyHistogram", "LatencySnapshot"]

_MILLISECOND = 1_000_000

BOUNDS_NS: tuple[int, ...] = tuple(
    round(milliseconds * _MILLISECOND)
    for milliseconds in (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 60_000)
)
"""Upper bounds of the coarse buckets, in nanoseconds; one more bucket holds what is above the last."""

_SUB_BITS = 4
_SUB_BUCKETS = 1 << _SUB_BITS
_MAX_BITS = 40  # 2**40 ns are 18 minutes: longer is not latency but an outage, and is counted there
_LONGEST = (1 << _MAX_BITS) - 1
_FINE_BUCKETS = (_MAX_BITS - _SUB_BITS - 1) * _SUB_BUCKETS + 2 * _SUB_BUCKETS


def _fine_index(value: int) -> int:
    shift = value.bit_length() - _SUB_BITS - 1
    return value if shift <= 0 else shift * _SUB_BUCKETS + (value >> shift)


def _fine_upper(index: int) -> int:
    """Return the largest value that falls into a fine bucket."""
    if index < 2 * _SUB_BUCKETS:
        return index
    shift = index // _SUB_BUCKETS - 1
    return ((index % _SUB_BUCKETS + _SUB_BUCKETS + 1) << shift) - 1


class LatencySnapshot(Struct, frozen=True, kw_only=True):
    """The counts of one moment, or of the time between two moments. All values in nanoseconds."""

    count: int
    sum_ns: int
    max_ns: int
    fine: tuple[int, ...]
    coarse: tuple[int, ...]

    def since(self, earlier: "LatencySnapshot") -> "LatencySnapshot":
        """Return what was recorded after *earlier*; its maximum is known to 6.25 %."""
        fine = tuple(now - before for now, before in zip(self.fine, earlier.fine, strict=True))
        highest = max((index for index, count in enumerate(fine) if count), default=0)
        return LatencySnapshot(
            count=self.count - earlier.count,
            sum_ns=self.sum_ns - earlier.sum_ns,
            max_ns=min(self.max_ns, _fine_upper(highest)),
            fine=fine,
            coarse=tuple(now - before for now, before in zip(self.coarse, earlier.coarse, strict=True)),
        )

    def percentile_ns(self, share: float) -> int:
        """Return the latency that *share* (0 to 1) of the records did not exceed; 0 where nothing was recorded."""
        if self.count <= 0:
            return 0
        remaining = max(1, -(-self.count * share // 1))
        for index, count in enumerate(self.fine):
            remaining -= count
            if remaining <= 0:
                return min(_fine_upper(index), self.max_ns)
        return self.max_ns


class LatencyHistogram:
    """Counts latencies of one kind.

    ``name`` has no unit (``tick_to_board``); Prometheus and OTLP show ``scanplane_<name>_seconds``.
    """

    def __init__(
        self,
        name: str,
        description: str,
        *,
        window_ns: int = 10_000_000_000,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.description = description
        self._fine = [0] * _FINE_BUCKETS
        self._coarse = [0] * (len(BOUNDS_NS) + 1)
        self._sum = 0
        self._max = 0
        self._window_ns = window_ns
        self._clock_ns = clock_ns
        self._marks: deque[tuple[int, LatencySnapshot]] = deque([(clock_ns(), self.snapshot())])

    def record_ns(self, value: int, count: int = 1) -> None:
        """Record *count* latencies of *value* nanoseconds; a negative one (clocks that disagree) counts as 0."""
        value = min(max(value, 0), _LONGEST)
        self._fine[_fine_index(value)] += count
        self._coarse[bisect_left(BOUNDS_NS, value)] += count
        self._sum += value * count
        self._max = max(self._max, value)

    def snapshot(self) -> LatencySnapshot:
        """Return everything recorded so far."""
        fine = tuple(self._fine)
        return LatencySnapshot(
            count=sum(fine), sum_ns=self._sum, max_ns=self._max, fine=fine, coarse=tuple(self._coarse)
        )

    def recent(self) -> LatencySnapshot:
        """Return what was recorded within about the last window (10 s, if not told otherwise)."""
        now = self._clock_ns()
        current = self.snapshot()
        while len(self._marks) > 1 and now - self._marks[1][0] >= self._window_ns:
            self._marks.popleft()
        baseline = self._marks[0][1]
        if now - self._marks[-1][0] >= self._window_ns // 10:
            self._marks.append((now, current))
        return current.since(baseline)

    def figures(self) -> dict[str, float]:
        """Return the recent median, 99th percentile and maximum in milliseconds, named for a RoleStatus."""
        recent = self.recent()
        return {
            f"{self.name}_p50_ms": round(recent.percentile_ns(0.50) / _MILLISECOND, 3),
            f"{self.name}_p99_ms": round(recent.percentile_ns(0.99) / _MILLISECOND, 3),
            f"{self.name}_max_ms": round(recent.max_ns / _MILLISECOND, 3),
        }
