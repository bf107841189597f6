"""From decoded events to batches: each market's share, by partition and channel, in one numbered stream each.

Pure but for the lists it fills. Events are held for a few milliseconds to share a batch, because the size of a
broker's message decides the rate of everything behind it; a tick sends out what is held before it.
"""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from scanplane.listener.clock import ClockState, EventClock, Step
from scanplane.marketdata.batches import Batch, BatchHeader, Tick, encode_events, encode_tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Event
from scanplane.marketdata.layouts import Path
from scanplane.marketdata.partitions import Partition, partition_of
from scanplane.plan.configuration import Route

__all__ = ["RouteCounts", "RouteState", "Router"]

MAX_BATCH_EVENTS = 1000
MAX_REMEMBERED_SYMBOLS = 200_000
"""Of so many symbols the partition is remembered; then all are forgotten, and found out anew."""


class RouteState(Struct, frozen=True, kw_only=True):
    """What the next listener needs to go on: the clock, each partition's next number, and which layouts the feed went through."""

    clock: ClockState | None = None
    sequences: tuple[int, ...] = ()
    numbered_since: int = 0
    path: Path = ()


class RouteCounts(Struct, kw_only=True):
    """Totals of one route."""

    events: int = 0
    batches: int = 0
    ticks: int = 0
    not_subscribed: int = 0


class _Held(Struct):
    """Events of one partition and channel that wait for their batch."""

    events: list[Event] = []
    first_received_ns: int = 0
    last_received_ns: int = 0


def _untraced(_first_received_ns: int) -> str:
    return ""


class Router:
    """The batches of one route. ``publish`` takes each batch as soon as it is full or due; it must not block.

    They belong to the last stay of *path*. *traceparent* returns the trace context of a batch, given when its first event was
    received (0 if never: the host's clock ticks a market that has not begun).
    """

    def __init__(
        self,
        feed: str,
        route: Route,
        epoch: int,
        publish: Callable[[Batch], None],
        *,
        state: RouteState | None = None,
        path: Path = (),
        traceparent: Callable[[int], str] = _untraced,
        is_recording: bool = False,
    ) -> None:
        self.route = route
        self.counts = RouteCounts()
        state = state or RouteState()
        self.clock = (
            EventClock(route.evaluation_interval_ns, state.clock, is_recording=is_recording)
            if route.stamps_ticks
            else None
        )
        self._feed = feed
        self._epoch = epoch
        self._publish = publish
        self._traceparent = traceparent
        self._path = path
        self._layout_since = path[-1].since if path else 0
        self._partitions = [Partition(index, route.partitions) for index in range(route.partitions)]
        goes_on = len(state.sequences) == route.partitions
        self._numbered_since = state.numbered_since if goes_on else epoch
        self._first_sequences = state.sequences if goes_on else (0,) * route.partitions
        self._sequences = list(self._first_sequences)
        self._held: dict[tuple[int, Channel], _Held] = {}
        self._symbols = {
            channel: None if symbols is None else frozenset(symbols) for channel, symbols in route.channels.items()
        }
        self._partition_of: dict[str, int] = {}
        self._received_ns = 0

    @property
    def state(self) -> RouteState:
        """What to hand over."""
        return RouteState(
            clock=None if self.clock is None else self.clock.state,
            sequences=tuple(self._sequences),
            numbered_since=self._numbered_since,
            path=self._path,
        )

    @property
    def holds_events(self) -> bool:
        """Whether something waits for its batch."""
        return bool(self._held)

    @property
    def held_events(self) -> int:
        """How many events wait, for their batch or for the clock."""
        waiting = 0 if self.clock is None else self.clock.waiting_events
        return waiting + sum(len(held.events) for held in self._held.values())

    def take(self, channel: Channel, events: list[Event], received_ns: int) -> None:
        """Take a run of events of one channel, received at *received_ns*; what is not subscribed is counted and left."""
        if channel not in self._symbols:
            self.counts.not_subscribed += len(events)
            return
        symbols = self._symbols[channel]
        if symbols is not None:
            kept = [event for event in events if event.symbol in symbols]
            self.counts.not_subscribed += len(events) - len(kept)
            events = kept
        if not events:
            return
        self._received_ns = received_ns
        if self.clock is None:
            self._hold(channel, events)
        else:
            self._follow(self.clock.place(channel, events, received_ns))

    def silence(self, host_ns: int) -> None:
        """Close what is open, since nothing has come for a while."""
        if self.clock is not None:
            self._follow(self.clock.silence(host_ns))

    def end_interval(self) -> None:
        """Tick at the end of the interval, if something happened in it."""
        if self.clock is not None:
            self._follow(self.clock.end_interval())

    def host_tick(self, host_ns: int) -> None:
        """Tick a live market that is silent. The tick is news of *host_ns*: the last event says nothing of its age."""
        if self.clock is not None:
            self._received_ns = host_ns
            steps = self.clock.host_tick(host_ns)
            self._follow([replace(step, by_host=True) if isinstance(step, Tick) else step for step in steps])

    def close(self, host_ns: int) -> None:
        """Send out everything that waits, since nothing will follow."""
        if self.clock is not None:
            self._follow(self.clock.close(host_ns))
        self.flush()

    def flush(self) -> None:
        """Send out everything that is held, in the order of partitions and channels."""
        for index, channel in sorted(self._held):
            self._send(index, channel, self._held[index, channel])
        self._held.clear()

    def _follow(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, Tick):
                self.flush()
                self._send_tick(step)
            else:
                self._hold(*step)

    def _hold(self, channel: Channel, events: list[Event]) -> None:
        self.counts.events += len(events)
        if self.route.partitions == 1:
            self._hold_share(0, channel, events)
            return
        shares: dict[int, list[Event]] = {}
        known, count = self._partition_of, self.route.partitions
        for event in events:
            index = known.get(event.symbol)
            if index is None:
                if len(known) >= MAX_REMEMBERED_SYMBOLS:
                    known.clear()
                index = known[event.symbol] = partition_of(event.symbol, count)
            shares.setdefault(index, []).append(event)
        for index, share in shares.items():
            self._hold_share(index, channel, share)

    def _hold_share(self, index: int, channel: Channel, events: list[Event]) -> None:
        held = self._held.get((index, channel))
        if held is None:
            held = self._held[index, channel] = _Held([], self._received_ns, 0)
        held.last_received_ns = self._received_ns
        held.events.extend(events)
        if len(held.events) >= MAX_BATCH_EVENTS:
            self._send(index, channel, held)
            del self._held[index, channel]

    def _send(self, index: int, channel: Channel, held: _Held) -> None:
        for start in range(0, len(held.events), MAX_BATCH_EVENTS):
            events = held.events[start : start + MAX_BATCH_EVENTS]
            header = self._header(index, channel, len(events), held.first_received_ns, held.last_received_ns)
            self.counts.batches += 1
            self._publish(Batch(header, encode_events(events)))

    def _send_tick(self, tick: Tick) -> None:
        self.counts.ticks += 1
        body = encode_tick(tick)
        for index in range(self.route.partitions):
            self._publish(Batch(self._header(index, None, 1, self._received_ns, self._received_ns), body))

    def _header(
        self, index: int, channel: Channel | None, count: int, first_received_ns: int, last_received_ns: int
    ) -> BatchHeader:
        sequence = self._sequences[index]
        self._sequences[index] += 1
        return BatchHeader(
            feed=self._feed,
            market=self.route.market,
            partition=self._partitions[index],
            channel=channel,
            epoch=self._epoch,
            sequence=sequence,
            count=count,
            first_received_ns=first_received_ns,
            last_received_ns=last_received_ns,
            traceparent=self._traceparent(first_received_ns),
            numbered_since=self._numbered_since,
            first_sequence=self._first_sequences[index],
            layout_since=self._layout_since,
        )
