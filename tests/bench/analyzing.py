"""From the broker to boards in the cache: one analyzer process of the original, and one of ours.

Both take second aggregates of the same 8,000 symbols from a queue that was filled before, so that nothing but the analyzer decides
the rate. Ours gets the batches that a listener makes of them, with four evaluations of 20 scanners in every second of event
time: every 2,000 events, which at its rate is more than a hundred times in a second of the clock.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvloop

from bench.original import OriginalUnavailableError, measure_original_analyze
from bench.original.market import aggregate_frames
from bench.pipeline import ANALYZER, GATEWAY, LISTENER, MARKET, SYMBOLS, new_namespace, resources
from bench.report import Comparison, Figure, PartResult
from scanplane.broker.factory import open_broker
from scanplane.broker.interface import QueueLimits
from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.local.world import build_world
from scanplane.marketdata.batches import Batch, BatchHeader, Tick, encode_events, encode_tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Bar, Event
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.resources.documents import SourceText
from support.journeys import Deployment, wait_for
from support.servers import RabbitServer, RedisServer

__all__ = ["measure"]

GOAL = 200.0
RUNS = 3
SECONDS = 3.0
EVENT_SECONDS = 200
TICKS_A_SECOND = 4
BATCH_EVENTS = 1000
_SECOND_NS = 1_000_000_000
_WITHOUT = frozenset({LISTENER, GATEWAY})
_LOSSES = ("missing_batches_total", "repeated_batches_total", "malformed_batches_total", "stale_events_total")

_MEANING = (
    f"Second aggregates of {SYMBOLS:,} symbols a second, from RabbitMQ, by one analyzer process. The original: MassiveDataProcessor "
    "with LeaderboardAnalyzer as shipped (state and rankings in Redis, about eight round trips for an event), hiredis added, reference "
    f"data cached. Ours: 20 scanners evaluated {TICKS_A_SECOND} times in every second of event time, boards, quotes and state written to "
    "Redis. They do different work: ours keeps state in memory and saves it, so this is another architecture, not a faster loop."
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


def _batches() -> Iterator[Batch]:
    """Yield every batch of the recording: bars in batches, and a tick after each quarter of a second's bars."""
    first = _first_second()
    begin_ns = first[0].start_ns
    events_a_tick = len(first) // TICKS_A_SECOND
    sequence = 0

    def batch(channel: Channel | None, count: int, body: bytes) -> Batch:
        nonlocal sequence
        now_ns = time.time_ns()
        header = BatchHeader("simulated", MARKET, Partition(0, 1), channel, 1, sequence, count, now_ns, now_ns)
        sequence += 1
        return Batch(header, body)

    yield batch(None, 1, encode_tick(Tick(begin_ns)))
    for second in range(EVENT_SECONDS):
        bars: list[Event] = [_later(bar, second) for bar in first]
        for tick in range(1, TICKS_A_SECOND + 1):
            share = bars[(tick - 1) * events_a_tick : tick * events_a_tick]
            for start in range(0, len(share), BATCH_EVENTS):
                events = share[start : start + BATCH_EVENTS]
                yield batch(Channel.SECOND_AGGREGATES, len(events), encode_events(events))
            tick_ns = begin_ns + (second + 1) * _SECOND_NS + tick * _SECOND_NS // TICKS_A_SECOND
            yield batch(None, 1, encode_tick(Tick(tick_ns)))


async def _fill(broker_url: str, namespace: str, limits: QueueLimits, batches: list[Batch]) -> None:
    broker = open_broker(broker_url, namespace)
    await broker.prepare_market(MARKET, 1, limits)
    async with broker.publisher(MARKET, limits, confirms=True, max_waiting=len(batches)) as publisher:
        for batch in batches:
            publisher.publish(batch)
        await publisher.flush()
    await broker.close()


def _ours(broker_url: str, cache_url: str, batches: list[Batch]) -> float:
    """Fill a queue, start an analyzer, and return the rate between a tenth and nine tenths of it."""
    namespace = new_namespace()
    text = resources(broker_url, cache_url, channel="SecondAggregates", time_to_live="10m")
    planned = build_world([SourceText("resources.yaml", text)], {}, namespace=namespace).plan.configurations[ANALYZER]
    assert isinstance(planned, AnalyzerConfiguration)
    limits = QueueLimits(time_to_live_ns=planned.time_to_live_ns, max_bytes=planned.max_bytes)
    uvloop.run(_fill(broker_url, namespace, limits, batches))
    total = sum(batch.header.count for batch in batches if batch.header.channel is not None)
    with tempfile.TemporaryDirectory() as folder, Deployment(Path(folder), namespace) as deployment:
        deployment.apply(text, without=_WITHOUT)
        times: list[tuple[float, float]] = []

        def look() -> float:
            figure = deployment.figure(ANALYZER, "second_aggregates_total")
            times.append((time.perf_counter(), figure))
            return figure

        wait_for(lambda: look() >= 0.1 * total, "the first tenth")
        begun = times[-1]
        wait_for(lambda: look() >= 0.9 * total, "nine tenths")
        ended = times[-1]
        figures = deployment.status(ANALYZER)["figures"]
    if lost := {name: figures[name] for name in _LOSSES if figures[name]}:
        raise RuntimeError(f"the analyzer lost something while it was measured: {lost}")
    return (ended[1] - begun[1]) / (ended[0] - begun[0])


def measure() -> PartResult:
    """Measure both sides in turns, where the original can be installed."""
    ours: list[float] = []
    theirs: list[float] = []
    remarks: tuple[str, ...] = ()
    batches = list(_batches())
    with RabbitServer() as rabbit, RedisServer() as redis:
        for _ in range(RUNS):
            ours.append(_ours(rabbit.url, redis.url, batches))
            if not remarks:
                try:
                    theirs.append(measure_original_analyze(redis.url, SECONDS, rabbit.url))
                except OriginalUnavailableError as error:
                    remarks = (f"The original is not here to compare with: {error}",)
    figure = Figure(name="ours", unit="events/s", values=tuple(ours), goal=400_000.0)
    comparisons: tuple[Comparison, ...] = ()
    if theirs:
        other = Figure(name="original", unit="events/s", values=tuple(theirs))
        ungoaled = msgspec.structs.replace(figure, goal=None)
        comparisons = (Comparison(name="one analyzer process", ours=ungoaled, other=other, goal=GOAL),)
    return PartResult(title="Analyzing", meaning=_MEANING, figures=(figure,), comparisons=comparisons, remarks=remarks)
