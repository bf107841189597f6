"""What a silent market means: an interval that is over, a clock that has to go on.

An interval that is open when nothing comes any more is closed once its time is over *at the market's own pace*. A live
market runs at 1, a recording at any speed, and nobody tells the listener which; so the pace is measured. At speed 1 an
interval of a minute is not over after two seconds of silence: events that came later in the same minute would miss
their tick, and the same recording would give other boards at another speed. From then on a live market is ticked by the
host's clock, less the feed's lag.
"""

from scanplane.listener.routing import Router

__all__ = ["SILENCE_S", "Pace", "SilenceWatch"]

SILENCE_S = 2.0
"""The shortest silence that means anything."""

LIVE_LAG_NS = 20 * 60 * 10**9
"""Event time that is further behind the host's clock is that of a recording."""


class Pace:
    """How fast event time runs against the host's clock, from a market's first event to its newest. Pure."""

    def __init__(self) -> None:
        self._first: tuple[int, int] | None = None
        self._newest = (0, 0)

    def observe(self, event_ns: int, received_ns: int) -> None:
        """Take notice of the newest event's time and of the host's clock at its receipt."""
        if self._first is None or event_ns < self._first[0]:
            self._first = event_ns, received_ns
        self._newest = event_ns, received_ns

    @property
    def speed(self) -> float:
        """Event time over host time; 1 as long as there is nothing to measure."""
        first_event_ns, first_received_ns = self._first or self._newest
        event_ns, received_ns = self._newest
        if event_ns <= first_event_ns or received_ns <= first_received_ns:
            return 1.0
        return (event_ns - first_event_ns) / (received_ns - first_received_ns)

    def silence_s(self, interval_ns: int) -> float:
        """Return after how many seconds of silence an interval is over."""
        return max(SILENCE_S, interval_ns / 1e9 / self.speed)


class SilenceWatch:
    """Watches one market for silence. Only a router that stamps ticks has anything to do in it."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._pace = Pace()
        self._received_ns = 0
        self._lag_ns: int | None = None

    def hear(self, received_ns: int) -> None:
        """Take notice that something was received."""
        self._received_ns = received_ns
        self._lag_ns = None
        if self._router.clock is not None and self._router.clock.newest_ns:
            self._pace.observe(self._router.clock.newest_ns, received_ns)

    def look(self, silent_s: float, host_ns: int) -> None:
        """Do what is due when nothing has been received for *silent_s* seconds; infinite if nothing will ever come."""
        clock = self._router.clock
        if clock is None or silent_s < self._pace.silence_s(self._router.route.evaluation_interval_ns):
            return
        if self._lag_ns is None:
            self._router.silence(host_ns)
            self._lag_ns = self._received_ns - clock.newest_ns
        if 0 <= self._lag_ns < LIVE_LAG_NS:
            self._router.host_tick(host_ns - self._lag_ns, host_ns)
