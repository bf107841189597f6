"""Event time: where in the stream the ticks stand.

The listener is the one place that sees every event of a market in one order, so it stamps the ticks, and every partition
evaluates the same instants. Which ticks there are follows from the events' own times and from nothing else: an
interval in which something happened is closed by a tick at its end, and an event that comes after a pause is preceded by
a tick at the last boundary before it. So the same recording gives the same ticks at any speed.

One wrong timestamp must not move the clock of a whole market. An event more than a minute ahead waits until another one
is as late as it, but for a minute; it is refused once three others have moved the old time on instead. Late events say
nothing about the present: after a quiet spell, and after the close, many a bar comes late or corrected between the first
event of the present and the second. What is more than a day ahead of the host's clock is refused at once.
Events more than an hour behind wait until a hundred in a row agree that the recording began again.
"""

from collections.abc import Sequence

from msgspec import Struct

from scanplane.marketdata.batches import Tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Event

__all__ = ["ClockCounts", "ClockState", "EventClock", "Run", "Step"]

MINUTE_NS = 60 * 10**9
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
REFUSE_AFTER = 3
MAX_AHEAD = 16
REWIND_AFTER = 100

Run = tuple[Channel, list[Event]]
"""Consecutive events of one channel."""

Step = Tick | Run
"""What goes into the stream next."""


class ClockState(Struct, frozen=True, kw_only=True):
    """What the next listener needs to go on; ``open_interval`` says that events wait for their closing tick."""

    last_tick_ns: int | None = None
    newest_ns: int = 0
    open_interval: bool = False


class ClockCounts(Struct, kw_only=True):
    """Totals for status and metrics."""

    ticks: int = 0
    late_events: int = 0
    refused_jumps: int = 0
    rewinds: int = 0


class EventClock:
    """The clock of one market. Pure: it is told the host's time where that matters."""

    def __init__(self, interval_ns: int, state: ClockState | None = None) -> None:
        state = state or ClockState()
        self._interval_ns = interval_ns
        self._last_tick_ns = state.last_tick_ns
        self._newest_ns = state.newest_ns
        self._open = state.open_interval
        self._ahead: list[tuple[Channel, Event]] = []
        self._doubts = 0
        self._behind: list[tuple[Channel, Event]] = []
        self.counts = ClockCounts()

    @property
    def state(self) -> ClockState:
        """What to hand over."""
        return ClockState(last_tick_ns=self._last_tick_ns, newest_ns=self._newest_ns, open_interval=self._open)

    @property
    def newest_ns(self) -> int:
        """The time of the newest event, 0 before the first."""
        return self._newest_ns

    def place(self, channel: Channel, events: list[Event], host_ns: int | None = None) -> list[Step]:
        """Return *events* with the ticks that belong before and between them.

        Those of more than a day ahead of the host's clock are refused, however many of them agree.
        """
        times = [event.exchange_ns for event in events]
        newest_ns = max(times)
        if host_ns is not None and newest_ns > host_ns + DAY_NS:
            return self._place_possible(channel, events, host_ns)
        if self._last_tick_ns is not None and not self._ahead and not self._behind:
            within = newest_ns < self._last_tick_ns + self._interval_ns
            if within and min(times) > self._newest_ns - HOUR_NS:
                self._newest_ns = max(self._newest_ns, newest_ns)
                self._open = True
                return [(channel, events)]
        return self._place_each(channel, events, times)

    def silence(self, host_ns: int) -> list[Step]:
        """Return what is due when nothing has come for a while: what waits, then the tick that closes the interval.

        An event from the future of the host's clock is refused even now.
        """
        steps = self.close(host_ns)
        if self._open and self._last_tick_ns is not None:
            steps.append(self._tick(self._last_tick_ns + self._interval_ns))
        return steps

    @property
    def waiting_events(self) -> int:
        """How many events wait for others to agree with their time."""
        return len(self._behind) + len(self._ahead)

    def close(self, host_ns: int) -> list[Step]:
        """Return what waits, since nothing more will come; an event from the future of the host's clock is refused."""
        waiting, self._ahead = self._ahead, []
        steps = self._release_behind()
        for channel, event in waiting:
            if event.exchange_ns <= host_ns + MINUTE_NS:
                steps += self._accept(channel, event)
            else:
                self.counts.refused_jumps += 1
        return steps

    def host_tick(self, event_ns: int) -> list[Step]:
        """Return the tick of a live market that is silent; *event_ns* is the host's clock less the feed's delay."""
        if self._last_tick_ns is None or event_ns < self._last_tick_ns + self._interval_ns:
            return []
        self._newest_ns = max(self._newest_ns, event_ns)
        return [self._tick(event_ns - event_ns % self._interval_ns)]

    def _place_possible(self, channel: Channel, events: list[Event], host_ns: int) -> list[Step]:
        possible = [event for event in events if event.exchange_ns <= host_ns + DAY_NS]
        self.counts.refused_jumps += len(events) - len(possible)
        return self.place(channel, possible) if possible else []

    def _place_each(self, channel: Channel, events: list[Event], times: Sequence[int]) -> list[Step]:
        steps: list[Step] = []
        run: list[Event] = []
        for event, time_ns in zip(events, times, strict=True):
            calm = not self._ahead and not self._behind and self._last_tick_ns is not None
            if calm and self._is_near(time_ns) and time_ns < (self._last_tick_ns or 0) + self._interval_ns:
                self._newest_ns = max(self._newest_ns, time_ns)
                self._open = True
                run.append(event)
                continue
            placed = self._place_one(channel, event)
            if run:
                steps.append((channel, run))
                run = []
            steps.extend(placed)
        if run:
            steps.append((channel, run))
        return steps

    def _is_near(self, time_ns: int) -> bool:
        return self._newest_ns - HOUR_NS < time_ns <= self._newest_ns + MINUTE_NS

    def _place_one(self, channel: Channel, event: Event) -> list[Step]:
        time_ns = event.exchange_ns
        if self._last_tick_ns is None:
            return self._accept(channel, event)
        if time_ns > self._newest_ns + MINUTE_NS:
            return self._judge_ahead(channel, event)
        if time_ns <= self._newest_ns - HOUR_NS:
            return self._judge_behind(channel, event)
        if self._ahead and time_ns > self._newest_ns:
            self._doubt()
        steps = self._release_behind() + self._accept(channel, event)
        return steps + self._believe(self._newest_ns)

    def _judge_ahead(self, channel: Channel, event: Event) -> list[Step]:
        steps = self._believe(event.exchange_ns)
        if steps:
            return steps + self._place_one(channel, event)
        self._ahead.append((channel, event))
        self._doubts = 0
        if len(self._ahead) > MAX_AHEAD:
            del self._ahead[0]
            self.counts.refused_jumps += 1
        return []

    def _believe(self, time_ns: int) -> list[Step]:
        """Let in, in the order of arrival, what waits and is at most a minute ahead of *time_ns*."""
        believed = [pair for pair in self._ahead if pair[1].exchange_ns <= time_ns + MINUTE_NS]
        if not believed:
            return []
        self._ahead = [pair for pair in self._ahead if pair[1].exchange_ns > time_ns + MINUTE_NS]
        steps = self._release_behind()
        for channel, event in believed:
            steps += self._accept(channel, event)
        return steps

    def _doubt(self) -> None:
        """One more event has moved the old time on."""
        self._doubts += 1
        if self._doubts >= REFUSE_AFTER:
            self.counts.refused_jumps += len(self._ahead)
            self._ahead = []

    def _judge_behind(self, channel: Channel, event: Event) -> list[Step]:
        self._behind.append((channel, event))
        if len(self._behind) < REWIND_AFTER:
            return []
        waiting, self._behind = self._behind, []
        self.counts.refused_jumps += len(self._ahead)
        self._ahead = []
        first_ns = min(each.exchange_ns for _, each in waiting)
        self.counts.rewinds += 1
        self._open = False
        self._newest_ns = first_ns
        steps: list[Step] = [self._tick(first_ns - first_ns % self._interval_ns, rewound=True)]
        for waiting_channel, each in waiting:
            steps.extend(self._place_one(waiting_channel, each))
        return steps

    def _release_behind(self) -> list[Step]:
        waiting, self._behind = self._behind, []
        self.counts.late_events += len(waiting)
        if waiting:
            self._open = True
        return [(channel, [event]) for channel, event in waiting]

    def _accept(self, channel: Channel, event: Event) -> list[Step]:
        """Let *event* in, with the ticks that its time calls for before it."""
        steps: list[Step] = []
        time_ns = event.exchange_ns
        boundary_ns = time_ns - time_ns % self._interval_ns
        if self._last_tick_ns is None:
            steps.append(self._tick(boundary_ns))
        elif time_ns >= self._last_tick_ns + self._interval_ns:
            if self._open:
                steps.append(self._tick(self._last_tick_ns + self._interval_ns))
            if boundary_ns > self._last_tick_ns:
                steps.append(self._tick(boundary_ns))
        self._newest_ns = max(self._newest_ns, time_ns)
        self._open = True
        steps.append((channel, [event]))
        return steps

    def _tick(self, tick_ns: int, *, rewound: bool = False) -> Tick:
        self._last_tick_ns = tick_ns
        self._open = False
        self.counts.ticks += 1
        return Tick(tick_ns, rewound)
