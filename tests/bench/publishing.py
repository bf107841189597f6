"""From the provider's socket to a broker that has confirmed: the original's listener and ours, local and far away.

Both sides get second aggregates of 8,000 symbols over a loopback WebSocket, in frames of the same size, as fast as they take
them, and publish to the same RabbitMQ with confirms on. Ours is the listener process as it is deployed.
"""

import time
from collections.abc import Sequence

from bench.broker import ROUND_TRIP_MS, distant
from bench.original import OriginalUnavailableError, measure_original_publish
from bench.pipeline import ANALYZER, GATEWAY, LISTENER, Pipeline, running
from bench.report import Comparison, Figure, PartResult, Unmeasured
from support.servers import RabbitServer, RedisServer

__all__ = ["measure"]

SECONDS = 2.0
RUNS = 3
ORIGINAL_RUNS = 2
TYPICAL_FRAME = 100
LARGE_FRAME = 1000
_SIZES = (TYPICAL_FRAME, LARGE_FRAME)
RATIO_GOAL = 50.0
RATE_GOAL, FAR_RATE_GOAL = 400_000.0, 200_000.0
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


def _figure(name: str, values: Sequence[float], goal: float | None = None) -> Figure:
    return Figure(name=name, unit="events/s", values=tuple(values), goal=goal)


def _original(url: str, size: int, *, confirms: bool = True) -> list[float]:
    return [
        measure_original_publish(url, SECONDS, events_per_frame=size, confirms=confirms) for _ in range(ORIGINAL_RUNS)
    ]


def _name(place: str, size: int) -> str:
    return f"{place}: {size} a frame"


def _compare(place: str, url: str, cache_url: str, rate_goal: float) -> list[Comparison]:
    """Compare at equal sizes of frames, then ours at the usual size with the best that the original does in any way."""
    theirs, ours = {}, {}
    for size in _SIZES:
        theirs[f"{size} a frame"] = _figure("original", _original(url, size))
        goal = rate_goal if size == TYPICAL_FRAME else None
        ours[size] = _figure("ours", _ours(url, cache_url, size), goal)
    unsafe = f"{LARGE_FRAME} a frame, without confirms"
    candidates = theirs | {unsafe: _figure("original", _original(url, LARGE_FRAME, confirms=False))}
    best = max(candidates, key=lambda name: candidates[name].median)
    alike = zip(_SIZES, theirs.values(), strict=True)
    return [
        *(Comparison(name=_name(place, size), ours=ours[size], other=each, goal=RATIO_GOAL) for size, each in alike),
        Comparison(
            name=f"{place}: ours {TYPICAL_FRAME} a frame, the original at its best ({best})",
            ours=ours[TYPICAL_FRAME],
            other=candidates[best],
            goal=RATIO_GOAL,
        ),
    ]


def measure() -> PartResult:
    """Measure both sides in turns, where the original can be installed."""
    comparisons: list[Comparison] = []
    figures: list[Figure] = []
    unmeasured: list[Unmeasured] = []
    with RabbitServer() as rabbit, RedisServer() as redis, distant(rabbit.port) as proxy:
        far = f"at {ROUND_TRIP_MS:.0f} ms"
        for place, url, goal in (
            ("loopback", rabbit.url, RATE_GOAL),
            (far, rabbit.url_through(proxy), FAR_RATE_GOAL),
        ):
            try:
                comparisons += _compare(place, url, redis.url, goal)
            except OriginalUnavailableError as error:
                unmeasured += [
                    Unmeasured(name=_name(place, size), goal=RATIO_GOAL, reason=f"no original: {error}")
                    for size in _SIZES
                ]
                ours = _ours(url, redis.url, TYPICAL_FRAME)
                figures.append(_figure(f"our listener alone, {TYPICAL_FRAME} a frame, {place}", ours, goal))
    return PartResult(
        title="Publishing",
        meaning=_MEANING,
        figures=tuple(figures),
        comparisons=tuple(comparisons),
        unmeasured=tuple(unmeasured),
    )
