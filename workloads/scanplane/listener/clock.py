"""Event time: where in the stream the ticks stand.

The listener is the one place that sees every event of a market in one order, so it stamps the ticks, and every partition
evaluates the same instants. Which ticks there are follows from the events' own times and from nothing else: an
interval in which something happened is closed by a tick at its end, and an event that comes after a pause is preceded by
a tick at the last boundary before it. So the same recording gives the same ticks at any speed. Only a market whose event
time follows the host's clock is ticked by that clock as well: when it falls silent, the host's clock less the lag of its Feed is
its time.

One wrong timestamp must not move the clock of a whole market. An event more than a minute ahead waits until another one
is as late as it, but for a minute; it is refused once three others have moved the old time on instead. Late events say
nothing about the present: after a quiet spell, and after the close, many a bar comes late or corrected between the first
event of the present and the second. What is more than a day ahead of the host's clock is refused at once.
Events more than an hour behind wait until a hundred in a row agree that the recording began again.

Of a live market, whose event time follows the host's clock, more is known. An event that is more than a minute ahead of the
host's clock as well is wrong, however many agree with it; and the day goes on, however many old events come: they are late. A
session of other times follows nothing, and a recording that is opened again begins again.
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
LIVE_LAG_NS = 20 * MINUTE_NS
"""Event time that is further behind the host's clock is that of a recording."""
REFUSE_AFTER = 3
MAX_AHEAD = 16
REWIND_AFTER = 100

Run = tuple[Channel, list[Event]]
"""Consecutive events of one channel."""

Step = Tick | Run
"""What goes into the stream next."""


class ClockState(Struct, frozen=True, kw_only=True):
    """What the next listener needs to go on.

    ``open_interval`` says that events wait for their closing tick, ``lag_ns`` how far the newest event was behind the host's
    clock when it was received.
    """

    last_tick_ns: int | None = None
    newest_ns: int = 0
    open_interval: bool = False
    lag_ns: int | None = None


class ClockCounts(Struct, kw_only=True):
    """Totals for status and metrics.

    ``late_events`` are older than the last tick before them, which did not see them. ``refused_jumps`` are events that nobody
    agreed with, or that cannot be: they are left out.
    """

    ticks: int = 0
    late_events: int = 0
    refused_jumps: int = 0
    rewinds: int = 0


class EventClock:
    """The clock of one market. Pure: it is told the host's time where that matters.

    *is_recording* says that event time has nothing to do with the host's clock, however close they are.
    """

    def __init__(self, interval_ns: int, state: ClockState | None = None, *, is_recording: bool = False) -> None:
        self.counts = ClockCounts()
        self._interval_ns = interval_ns
        self._inherited = state = state or ClockState()
        self._is_recording = is_recording
        self._begins_again = is_recording and state.last_tick_ns is not None
        if self._begins_again:
            state = ClockState()
        self._last_tick_ns = state.last_tick_ns
        self._open = state.open_interval
        self._now_ns = max(state.newest_ns, state.last_tick_ns or 0)
        self._newest_ns = 0
        self._received_ns = 0
        self._first_ns = (0, 0)
        self._host_ns = 0
        self._ahead: list[tuple[Channel, Event]] = []
        self._doubts = 0
        self._behind: list[tuple[Channel, Event]] = []

    @property
    def state(self) -> ClockState:
        """What to hand over."""
        if self._begins_again:
            return self._inherited
        return ClockState(
            last_tick_ns=self._last_tick_ns,
            newest_ns=self.newest_ns,
            open_interval=self._open,
            lag_ns=self.lag_ns,
        )

    @property
    def newest_ns(self) -> int:
        """The time of the newest event, 0 before the first."""
        return self._newest_ns or self._inherited.newest_ns

    @property
    def received_ns(self) -> int:
        """When the newest event was received, by the host's clock; 0 if this clock has not seen one itself."""
        return self._received_ns

    @property
    def last_tick_ns(self) -> int | None:
        """The last tick, None before the first."""
        return self._last_tick_ns

    @property
    def lag_ns(self) -> int | None:
        """How far the newest event was behind the host's clock; less than 0 if that is behind, None if it is not known."""
        if self._newest_ns:
            return self._received_ns - self._newest_ns
        state = self._inherited
        if state.lag_ns is None and state.newest_ns and self._host_ns:
            return self._host_ns - state.newest_ns  # handed over by a version that did not tell
        return state.lag_ns

    @property
    def is_live(self) -> bool:
        """Whether event time follows the host's clock, delayed or not."""
        lag_ns = self.lag_ns
        return not self._is_recording and lag_ns is not None and -MINUTE_NS <= lag_ns < LIVE_LAG_NS

    @property
    def speed(self) -> float:
        """Event time over the host's time since the first event; 1 as long as there is nothing to measure."""
        event_ns, received_ns = self._newest_ns - self._first_ns[0], self._received_ns - self._first_ns[1]
        return event_ns / received_ns if event_ns > 0 and received_ns > 0 else 1.0

    @property
    def lead_ns(self) -> int:
        """How far the last tick is ahead of every event that this clock has seen itself; 0 before the first."""
        return (self._last_tick_ns or 0) - self._newest_ns if self._newest_ns else 0

    def place(self, channel: Channel, events: list[Event], host_ns: int) -> list[Step]:
        """Return *events*, received at *host_ns*, with the ticks that belong before and between them.

        Those of more than a day ahead of the host's clock are refused, however many of them agree.
        """
        times = [event.exchange_ns for event in events]
        newest_ns, oldest_ns = max(times), min(times)
        if newest_ns > host_ns + DAY_NS:
            return self._place_possible(channel, events, host_ns)
        self._host_ns = host_ns
        last_ns = self._last_tick_ns
        if last_ns is None or self._ahead or self._behind:
            return self._place_each(channel, events, times)
        if newest_ns < last_ns + self._interval_ns and self._is_near(newest_ns) and self._is_near(oldest_ns):
            if newest_ns > self._newest_ns:
                self._advance(newest_ns)
            if oldest_ns < last_ns:
                self.counts.late_events += sum(map(last_ns.__gt__, times)) if newest_ns >= last_ns else len(times)
            self._open = True
            return [(channel, events)]
        return self._place_each(channel, events, times)

    def silence(self, host_ns: int) -> list[Step]:
        """Return what is due when nothing has come for a while: what waits, then the tick that closes the interval.

        An event from the future of the host's clock is refused even now.
        """
        return self.close(host_ns) + self.end_interval()

    def end_interval(self) -> list[Step]:
        """Return the tick that closes the interval, if something happened in it."""
        if not self._open or self._last_tick_ns is None:
            return []
        return [self._tick(self._last_tick_ns + self._interval_ns)]

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

    def host_tick(self, host_ns: int) -> list[Step]:
        """Return what waits, and the ticks that are due in a live market whose events tell no time at *host_ns*."""
        steps = self.close(host_ns)
        if not self.is_live or self._last_tick_ns is None:
            return steps
        event_ns = host_ns - max(self.lag_ns or 0, 0)
        if event_ns >= self._last_tick_ns + self._interval_ns:
            steps += self.end_interval()
            if event_ns >= self._last_tick_ns + self._interval_ns:
                steps.append(self._tick(event_ns - event_ns % self._interval_ns))
        return steps

    def _place_possible(self, channel: Channel, events: list[Event], host_ns: int) -> list[Step]:
        possible = [event for event in events if event.exchange_ns <= host_ns + DAY_NS]
        self.counts.refused_jumps += len(events) - len(possible)
        return self.place(channel, possible, host_ns) if possible else []

    def _place_each(self, channel: Channel, events: list[Event], times: Sequence[int]) -> list[Step]:
        steps: list[Step] = []
        run: list[Event] = []
        for event, time_ns in zip(events, times, strict=True):
            last_ns = self._last_tick_ns
            calm = last_ns is not None and not self._ahead and not self._behind
            if last_ns is not None and calm and self._is_near(time_ns) and time_ns < last_ns + self._interval_ns:
                if time_ns > self._newest_ns:
                    self._advance(time_ns)
                self.counts.late_events += time_ns < last_ns
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
        return self._now_ns - HOUR_NS < time_ns <= self._now_ns + MINUTE_NS

    def _advance(self, time_ns: int) -> None:
        """Take notice of the newest event."""
        if not self._newest_ns:
            self._first_ns = time_ns, self._host_ns
        self._newest_ns, self._received_ns = time_ns, self._host_ns
        self._now_ns = max(self._now_ns, time_ns)

    def _place_one(self, channel: Channel, event: Event) -> list[Step]:
        time_ns = event.exchange_ns
        if self._last_tick_ns is None:
            is_future = not self._is_recording and time_ns > self._host_ns + MINUTE_NS
            return self._judge_ahead(channel, event) if is_future else self._accept(channel, event)
        if time_ns > self._now_ns + MINUTE_NS:
            return self._judge_ahead(channel, event)
        if time_ns <= self._now_ns - HOUR_NS:
            return self._judge_behind(channel, event)
        if self._ahead and time_ns > self._now_ns:
            self._doubt()
        steps = self._release_behind() + self._accept(channel, event)
        return steps + self._believe(self._now_ns)

    def _judge_ahead(self, channel: Channel, event: Event) -> list[Step]:
        if self.is_live and event.exchange_ns > self._host_ns + MINUTE_NS:
            self.counts.refused_jumps += 1
            return []
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
        if self.is_live and self._newest_ns:
            return self._release_behind()
        waiting, self._behind = self._behind, []
        self.counts.refused_jumps += len(self._ahead)
        self._ahead = []
        first_ns = min(each.exchange_ns for _, each in waiting)
        self._open = False
        self._now_ns = first_ns
        self._newest_ns = 0
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
            steps.append(self._tick(boundary_ns, rewound=self._begins_again))
            self._begins_again = False
        elif time_ns >= self._last_tick_ns + self._interval_ns:
            if self._open:
                steps.append(self._tick(self._last_tick_ns + self._interval_ns))
            if boundary_ns > self._last_tick_ns:
                steps.append(self._tick(boundary_ns))
        elif time_ns < self._last_tick_ns:
            self.counts.late_events += 1
        if time_ns > self._newest_ns:
            self._advance(time_ns)
        self._open = True
        steps.append((channel, [event]))
        return steps

    def _tick(self, tick_ns: int, *, rewound: bool = False) -> Tick:
        self._last_tick_ns = tick_ns
        self._now_ns = max(self._now_ns, tick_ns)
        self._open = False
        self.counts.ticks += 1
        self.counts.rewinds += rewound
        return Tick(tick_ns, rewound)
