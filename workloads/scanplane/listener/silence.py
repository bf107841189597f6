"""What a silent market means: an interval that is over, a clock that has to go on.

- A live market is silent when its event time stands still for two seconds, whatever comes to other markets of the Feed, and
  whatever comes late to this one. The host's clock, less the lag of the Feed, tells its time and ticks it from then on.
- Of a recording nothing tells the time, and nobody tells the listener how fast it runs. So its pace is measured, and when nothing
  comes at all, an open interval is closed once it is over *at the market's own pace*. At speed 1 an interval of a minute is
  not over after two seconds of silence: events that came later in the same minute would miss their tick, and the same
  recording would give other boards at another speed. While its connection is away, a recording is not silent: it waits.
- A clock that is ahead of its Feed, as after a change from a real-time feed to a delayed one, never goes back, and what comes
  does not move it. It goes on slowly, an interval at a time, so that boards show what comes, and the Feed catches up with it.
"""

from scanplane.listener.clock import EventClock
from scanplane.listener.routing import Router

__all__ = ["SILENCE_NS", "SilenceWatch"]

SILENCE_NS = 2 * 10**9
"""The shortest silence that means anything."""


class SilenceWatch:
    """Watches one market for silence since *host_ns*. Only a router that stamps ticks has anything to do in it."""

    def __init__(self, router: Router, host_ns: int) -> None:
        self._router = router
        self._since_ns = host_ns
        self._tick_ns: int | None = None
        self._ticked_ns = host_ns

    def excuse(self, host_ns: int) -> None:
        """What was not heard up to *host_ns* was not silence."""
        self._since_ns = host_ns

    def look(self, host_ns: int, heard_ns: int, *, is_streaming: bool, is_finished: bool = False) -> None:
        """Do what is due at *host_ns*, when everything that was received before is taken.

        The Feed was last heard of at *heard_ns*; *is_finished* says that nothing will ever come of it again.
        """
        clock = self._router.clock
        if clock is None:
            return
        self._note_tick(clock, host_ns)
        if clock.is_live:
            self._watch_live(clock, host_ns, is_streaming=is_streaming)
        elif is_streaming:
            self._watch_recorded(clock, host_ns, heard_ns, is_finished=is_finished)
        else:
            self.excuse(host_ns)

    def _note_tick(self, clock: EventClock, host_ns: int) -> None:
        if clock.last_tick_ns != self._tick_ns:
            self._tick_ns, self._ticked_ns = clock.last_tick_ns, host_ns

    def _watch_live(self, clock: EventClock, host_ns: int, *, is_streaming: bool) -> None:
        if not is_streaming and not self._router.route.ticks_while_away:
            return
        if host_ns - max(clock.received_ns, self._since_ns) >= SILENCE_NS:
            self._router.host_tick(host_ns)
        slow_ns = max(SILENCE_NS, 2 * self._router.route.evaluation_interval_ns)
        if clock.lead_ns > 0 and host_ns - self._ticked_ns >= slow_ns:
            self._router.end_interval()
            self._note_tick(clock, host_ns)

    def _watch_recorded(self, clock: EventClock, host_ns: int, heard_ns: int, *, is_finished: bool) -> None:
        interval_ns = self._router.route.evaluation_interval_ns / clock.speed
        if is_finished or host_ns - max(heard_ns, self._since_ns) >= max(SILENCE_NS, interval_ns):
            self._router.silence(host_ns)
