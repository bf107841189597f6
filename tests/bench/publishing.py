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
ORIGINAL_RUNS = 2
TYPICAL_FRAME = 100
LARGE_FRAME = 1000
GOAL_FAR = 50.0
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


def _figure(name: str, values: Sequence[float]) -> Figure:
    return Figure(name=name, unit="events/s", values=tuple(values))


def _original(url: str, size: int, *, confirms: bool = True) -> list[float]:
    return [
        measure_original_publish(url, SECONDS, events_per_frame=size, confirms=confirms) for _ in range(ORIGINAL_RUNS)
    ]


def _compare(place: str, url: str, cache_url: str, goal: float | None) -> list[Comparison]:
    """Compare at equal sizes of frames, then ours at the usual size with the best that the original does in any way."""
    theirs, ours = {}, {}
    for size in (TYPICAL_FRAME, LARGE_FRAME):
        theirs[f"{size} a frame"] = _figure("original", _original(url, size))
        ours[f"{size} a frame"] = _figure("ours", _ours(url, cache_url, size))
    unsafe = f"{LARGE_FRAME} a frame, without confirms"
    candidates = theirs | {unsafe: _figure("original", _original(url, LARGE_FRAME, confirms=False))}
    best = max(candidates, key=lambda name: candidates[name].median)
    usual = ours[f"{TYPICAL_FRAME} a frame"]
    return [
        *(Comparison(name=f"{place}: {size}", ours=ours[size], other=each, goal=goal) for size, each in theirs.items()),
        Comparison(
            name=f"{place}: ours {TYPICAL_FRAME} a frame, the original at its best ({best})",
            ours=usual,
            other=candidates[best],
            goal=goal,
        ),
    ]


def measure() -> PartResult:
    """Measure both sides in turns, where the original can be installed."""
    comparisons: list[Comparison] = []
    figures: list[Figure] = []
    remarks: list[str] = []
    with RabbitServer() as rabbit, RedisServer() as redis, distant(rabbit.port) as proxy:
        far = f"at {ROUND_TRIP_MS:.0f} ms"
        for place, url, goal in (("loopback", rabbit.url, None), (far, rabbit.url_through(proxy), GOAL_FAR)):
            try:
                comparisons += _compare(place, url, redis.url, goal)
            except OriginalUnavailableError:
                remarks = ["measured alone, without the original"]
                ours = _ours(url, redis.url, TYPICAL_FRAME)
                figures.append(_figure(f"our listener, {TYPICAL_FRAME} a frame, {place}", ours))
    return PartResult(
        title="Publishing",
        meaning=_MEANING,
        figures=tuple(figures),
        comparisons=tuple(comparisons),
        remarks=tuple(remarks),
    )
