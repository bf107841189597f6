"""From the broker to boards in the cache: one analyzer process of the original, and one of ours.

Both take events of the same 8,000 symbols from a queue that was filled before, so that nothing but the analyzer decides the rate.
Ours is measured in two ways, both with 20 scanners evaluated four times in every second of event time:

- second aggregates, as the original gets them: 8,000 in a second of event time, so an evaluation after every 2,000 events, more
  than a hundred in a second of the clock. This is what a recording that is played fast asks for.
- trades, 400,000 in a second of event time, so an evaluation after every 100,000: what a market in real time would ask for.

The second aggregates are measured on both sides once more with broker and cache behind proxies that add 20 ms to a round trip.
"""

import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop
from msgspec import Struct

from bench.broker import ROUND_TRIP_MS, distant
from bench.original import OriginalUnavailableError, measure_original_analyze
from bench.original.market import aggregate_frames
from bench.pipeline import (
    ANALYZER,
    GATEWAY,
    LISTENER,
    MARKET,
    SYMBOLS,
    hear_since_ever,
    look,
    new_namespace,
    resources,
)
from bench.report import Comparison, Figure, PartResult, Unmeasured
from scanplane.broker.factory import open_broker
from scanplane.broker.interface import QueueLimits
from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.local.world import build_world
from scanplane.marketdata.batches import Batch, BatchHeader, Tick, encode_events, encode_tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Bar, Event, Trade
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.resources.documents import SourceText
from support.journeys import Deployment, wait_for
from support.servers import RabbitServer, RedisServer

__all__ = ["measure"]

RATIO_GOAL = 200.0
RATE_GOAL = 400_000.0
RUNS, FAR_RUNS = 3, 2
SECONDS = 3.0
BAR_SECONDS = 200
TRADE_SECONDS = 5
TRADES_A_SECOND = 400_000
TICKS_A_SECOND = 4
BATCH_EVENTS = 1000
_SECOND_NS = 1_000_000_000
_WITHOUT = frozenset({LISTENER, GATEWAY})
_LOSSES = ("missing_batches_total", "repeated_batches_total", "malformed_batches_total", "stale_events_total")

_MEANING = (
    f"Events of {SYMBOLS:,} symbols from RabbitMQ, through one analyzer process, to Redis. The original: MassiveDataProcessor "
    "with LeaderboardAnalyzer as shipped (state and rankings in Redis, about eight round trips for an event), hiredis added, "
    f"reference data cached. Ours: 20 scanners evaluated {TICKS_A_SECOND} times in a second of event time; boards, quotes and "
    f"state go to Redis. Proxies add {ROUND_TRIP_MS:.0f} ms to the round trips of both to RabbitMQ and Redis. Not the same work: "
    "ours keeps state in memory and saves it, another architecture, not a faster loop."
)


def _first_second() -> list[Bar]:
    """Return what the original's market has in its first second, as our listener decodes it."""
    decode = MassiveDecoder().decode
    runs = [run for frame in aggregate_frames(BATCH_EVENTS) for _, run in decode(frame.encode()).runs]
    return [event for run in runs for event in run if isinstance(event, Bar)]


def _later(bar: Bar, seconds: int) -> Bar:
    """Return a bar of the same symbol some seconds later; its price moves a little, its volume grows."""
    after_ns = seconds * _SECOND_NS
    factor = 1.0 + 0.0001 * ((seconds * 7) % 11 - 5)
    return Bar(
        bar.symbol, bar.exchange_ns + after_ns, bar.start_ns + after_ns, bar.open * factor, bar.high * factor,
        bar.low * factor, bar.close * factor, bar.volume, bar.vwap, bar.accumulated_volume + seconds * bar.volume,
        bar.official_open, bar.session_vwap,
    )  # fmt: skip


class _Stream:
    """Numbers batches as a listener does."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sequence = 0

    def tick(self, tick_ns: int) -> Batch:
        return self._batch(None, 1, encode_tick(Tick(tick_ns)))

    def events(self, events: Sequence[Event]) -> Iterator[Batch]:
        """Yield *events* in batches."""
        for start in range(0, len(events), BATCH_EVENTS):
            share = events[start : start + BATCH_EVENTS]
            yield self._batch(self._channel, len(share), encode_events(share))

    def _batch(self, channel: Channel | None, count: int, body: bytes) -> Batch:
        now_ns = time.time_ns()
        header = BatchHeader("simulated", MARKET, Partition(0, 1), channel, 1, self._sequence, count, now_ns, now_ns)
        self._sequence += 1
        return Batch(header, body)


def bar_batches() -> Iterator[Batch]:
    """Yield second aggregates: every second each symbol's bar, and a tick after each quarter of them."""
    first, stream = _first_second(), _Stream(Channel.SECOND_AGGREGATES)
    begin_ns, share = first[0].start_ns, len(first) // TICKS_A_SECOND
    yield stream.tick(begin_ns)
    for second in range(BAR_SECONDS):
        bars: list[Event] = [_later(bar, second) for bar in first]
        for tick in range(TICKS_A_SECOND):
            yield from stream.events(bars[tick * share : (tick + 1) * share])
            yield stream.tick(begin_ns + (second + 1) * _SECOND_NS + (tick + 1) * _SECOND_NS // TICKS_A_SECOND)


def trade_batches() -> Iterator[Batch]:
    """Yield trades of random symbols, evenly over time, and a tick after each quarter of a second."""
    first, stream, chance = _first_second(), _Stream(Channel.TRADES), random.Random(8)
    begin_ns, interval_ns = first[0].start_ns, _SECOND_NS // TICKS_A_SECOND
    events_a_tick = TRADES_A_SECOND // TICKS_A_SECOND
    yield stream.tick(begin_ns)
    for tick in range(TRADE_SECONDS * TICKS_A_SECOND):
        chosen = chance.choices(first, k=events_a_tick)
        from_ns, factor = begin_ns + tick * interval_ns, 1.0 + 0.0001 * (tick * 7 % 11 - 5)
        step_ns = interval_ns // events_a_tick
        trades: list[Event] = [
            Trade(bar.symbol, from_ns + number * step_ns, bar.close * factor, 100.0, (), 4, number)
            for number, bar in enumerate(chosen)
        ]
        yield from stream.events(trades)
        yield stream.tick(from_ns + interval_ns)


async def _fill(broker_url: str, namespace: str, limits: QueueLimits, batches: list[Batch]) -> None:
    broker = open_broker(broker_url, namespace)
    await broker.prepare_market(MARKET, 1, limits)
    async with broker.publisher(MARKET, limits, confirms=True, max_waiting=len(batches)) as publisher:
        for batch in batches:
            publisher.publish(batch)
        await publisher.flush()
    await broker.close()


class _Place(Struct, frozen=True):
    """Where broker and cache are for an analyzer; queues are always filled at *filling_url*, which is near."""

    name: str
    filling_url: str
    broker_url: str
    cache_url: str


def _ours(place: _Place, channel: Channel, batches: list[Batch]) -> float:
    """Fill a queue, start an analyzer, and return the rate between a tenth and nine tenths of it."""
    namespace = new_namespace()
    hear_since_ever(place.cache_url, namespace)
    text = resources(place.broker_url, place.cache_url, channel=channel.value, time_to_live="10m")
    planned = build_world([SourceText("resources.yaml", text)], {}, namespace=namespace).plan.configurations[ANALYZER]
    assert isinstance(planned, AnalyzerConfiguration)
    limits = QueueLimits(time_to_live_ns=planned.time_to_live_ns, max_bytes=planned.max_bytes)
    uvloop.run(_fill(place.filling_url, namespace, limits, batches))
    name = {Channel.TRADES: "trades_total", Channel.SECOND_AGGREGATES: "second_aggregates_total"}[channel]
    total = sum(batch.header.count for batch in batches if batch.header.channel is not None)
    with tempfile.TemporaryDirectory() as folder, Deployment(Path(folder), namespace) as deployment:
        deployment.apply(text, without=_WITHOUT)
        found: list[tuple[float, dict[str, float]]] = []

        def reached(share: float) -> bool:
            found.append(look(deployment, ANALYZER))
            return found[-1][1].get(name, 0.0) >= share * total

        wait_for(lambda: reached(0.1), "the first tenth")
        begun, before = found[-1]
        wait_for(lambda: reached(0.9), "nine tenths")
        ended, figures = found[-1]
    if lost := {each: figures[each] for each in _LOSSES if figures[each]}:
        raise RuntimeError(f"the analyzer lost something while it was measured: {lost}")
    return (figures[name] - before[name]) / (ended - begun)


class _Sides(Struct):
    """What was measured at one place, in turns; ``missing`` says why there is nothing of the original."""

    ours: list[float] = []
    theirs: list[float] = []
    missing: str = ""

    def measure(self, place: _Place, batches: list[Batch]) -> None:
        """Measure both once."""
        self.ours.append(_ours(place, Channel.SECOND_AGGREGATES, batches))
        if not self.missing:
            try:
                self.theirs.append(measure_original_analyze(place.cache_url, SECONDS, place.broker_url))
            except OriginalUnavailableError as error:
                self.missing = f"no original: {error}"


def measure() -> PartResult:
    """Measure both sides in turns, where the original can be installed."""
    live: list[float] = []
    bars, trades = list(bar_batches()), list(trade_batches())
    with ExitStack() as stack:
        rabbit, redis = stack.enter_context(RabbitServer()), stack.enter_context(RedisServer())
        far_rabbit, far_redis = (stack.enter_context(distant(server.port)) for server in (rabbit, redis))
        near = _Place("loopback", rabbit.url, rabbit.url, redis.url)
        far = _Place(
            f"at {ROUND_TRIP_MS:.0f} ms", rabbit.url, rabbit.url_through(far_rabbit), redis.url_through(far_redis)
        )
        found = {near.name: _Sides(), far.name: _Sides()}
        for _ in range(RUNS):
            found[near.name].measure(near, bars)
            live.append(_ours(near, Channel.TRADES, trades))
        for _ in range(FAR_RUNS):
            found[far.name].measure(far, bars)
    return _result(found, live)


def _result(found: Mapping[str, _Sides], live: Sequence[float]) -> PartResult:
    figures: list[Figure] = []
    comparisons: list[Comparison] = []
    unmeasured: list[Unmeasured] = []
    for place, sides in found.items():
        name, recorded = f"{place}: second aggregates", "second aggregates, an evaluation after every 2,000"
        ours = Figure(name=f"{place}: {recorded}", unit="events/s", values=tuple(sides.ours))
        figures.append(ours)
        if sides.missing:
            unmeasured.append(Unmeasured(name=name, goal=RATIO_GOAL, reason=sides.missing))
        else:
            other = Figure(name="original", unit="events/s", values=tuple(sides.theirs))
            comparisons.append(Comparison(name=name, ours=ours, other=other, goal=RATIO_GOAL))
    name = "loopback: trades, an evaluation after every 100,000"
    figures.append(Figure(name=name, unit="events/s", values=tuple(live), goal=RATE_GOAL))
    return PartResult(
        title="Analyzing",
        meaning=_MEANING,
        figures=tuple(figures),
        comparisons=tuple(comparisons),
        unmeasured=tuple(unmeasured),
    )
