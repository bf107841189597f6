"""From the provider's socket to a broker that has confirmed: the original's listener and ours, local and far away.

Both sides get second aggregates of 8,000 symbols over a loopback WebSocket, in frames of the same size, as fast as they take
them, and publish to the same RabbitMQ with confirms on. Ours is the listener process as it is deployed.
"""

import time
from collections.abc import Sequence

from bench.broker import ROUND_TRIP_MS, distant
from bench.original import OriginalUnavailableError, measure_original_publish
from bench.pipeline import ANALYZER, GATEWAY, LISTENER, Pipeline, running
from bench.report import Comparison, Figure, PartResult
from support.servers import RabbitServer, RedisServer

__all__ = ["measure"]

SECONDS = 2.0
RUNS = 3
OTHER_RUNS = 2
TYPICAL_FRAME = 100
LARGE_FRAME = 1000
_LOSSES = ("dropped_frames_total", "dropped_batches_total", "disconnects_total", "rejected_total")

_MEANING = (
    "Events a second that RabbitMQ has confirmed, from a loopback WebSocket on: the original's listener process (one message for "
    "an event, a gather for a frame) and ours (decoded, coalesced to batches of up to 1,000 events, 64 of them on their way). "
    f"A proxy adds {ROUND_TRIP_MS:.0f} ms to a round trip. The gain is batching and a window of confirms, not a faster client."
)


def _ours(broker_url: str, cache_url: str, events_per_frame: int) -> tuple[float, ...]:
    arguments = (
        "--rate",
        "0",
        "--speed",
        "0",
        "--channel",
        "SecondAggregates",
        "--frame-events",
        str(events_per_frame),
    )
    choices = {"channel": "SecondAggregates", "time_to_live": "5s"}
    with running(broker_url, cache_url, *arguments, without=frozenset({ANALYZER, GATEWAY}), **choices) as pipeline:
        pipeline.wait_for_figure(LISTENER, "published_events_total", 200_000)
        rates = tuple(_rate(pipeline) for _ in range(RUNS))
        figures = pipeline.figures(LISTENER)
    if lost := {name: figures[name] for name in _LOSSES if figures[name]}:
        raise RuntimeError(f"the listener lost something while it was measured: {lost}")
    return rates


def _rate(pipeline: Pipeline) -> float:
    """Return events a second handed to the broker; all but those of the last 64 batches are confirmed."""
    begun, before = pipeline.look(LISTENER)
    time.sleep(SECONDS)
    ended, after = pipeline.look(LISTENER)
    return (after["published_events_total"] - before["published_events_total"]) / (ended - begun)


def _figure(name: str, values: Sequence[float], remark: str = "") -> Figure:
    return Figure(name=name, unit="events/s", values=tuple(values), remark=remark)


def measure() -> PartResult:
    """Measure both sides in turns, where the original can be installed."""
    comparisons: list[Comparison] = []
    figures: list[Figure] = []
    remarks: list[str] = []
    with RabbitServer() as rabbit, RedisServer() as redis, distant(rabbit.port) as proxy:
        places = {"on loopback": rabbit.url, f"at {ROUND_TRIP_MS:.0f} ms": rabbit.url_through(proxy)}
        for place, url in places.items():
            goal = 50.0 if url != rabbit.url else None
            for size, runs in ((TYPICAL_FRAME, RUNS), (LARGE_FRAME, OTHER_RUNS)):
                try:
                    theirs = [measure_original_publish(url, SECONDS, events_per_frame=size) for _ in range(runs - 1)]
                    ours = _ours(url, redis.url, size)
                    theirs.append(measure_original_publish(url, SECONDS, events_per_frame=size))
                except OriginalUnavailableError as error:
                    remarks = [f"The original is not here to compare with: {error}"]
                    figures.append(_figure(f"our listener, {size} a frame, {place}", _ours(url, redis.url, size)))
                    continue
                name = f"{size} events a frame, {place}"
                comparisons.append(
                    Comparison(name=name, ours=_figure("ours", ours), other=_figure("original", theirs), goal=goal)
                )
        if comparisons:
            url = places[f"at {ROUND_TRIP_MS:.0f} ms"]
            unsafe = [
                measure_original_publish(url, SECONDS, events_per_frame=LARGE_FRAME, confirms=False)
                for _ in range(OTHER_RUNS)
            ]
            other = _figure("original without confirms", unsafe)
            name = f"{LARGE_FRAME} events a frame, at {ROUND_TRIP_MS:.0f} ms, the original without confirms, ours with"
            comparisons.append(Comparison(name=name, ours=comparisons[-1].ours, other=other))
    return PartResult(
        title="Publishing",
        meaning=_MEANING,
        figures=tuple(figures),
        comparisons=tuple(comparisons),
        remarks=tuple(remarks),
    )
