"""From the gateway to many clients, and what a client that never reads does to the others: ours beside the original's pattern."""

from collections.abc import Sequence
from typing import Any

import uvloop

from bench.gateway import measure_stall, measure_throughput
from bench.report import TIMES, Better, Comparison, Figure, PartResult, Unmeasured

__all__ = ["measure"]

RUNS = 2
STALL_RUNS = 3
SECONDS = 2.0
STALL_SECONDS = 3.0
CLIENTS = 200
BOARDS_AT_ONCE = 10
GOAL = 100_000.0
SHARE_GOAL = 99.0
P99_GOAL = 1.5
OURS, ORIGINAL = "gateway", "original pattern"

_Round = tuple[dict[str, Any], dict[str, Any]]
"""What clients saw without a client that stalls, and beside it."""
_P99 = f"{OURS}: p99 beside a stalled client, of that without"

_MEANING = (
    f"{CLIENTS} clients take boards of about 1 kB, {BOARDS_AT_ONCE} at a tick. The original's pattern, on the same server "
    "library: await send_text to one client after the other. Then 50 boards of 50 rows a second, and one further client that "
    "subscribes and never reads: latency from write to the other clients."
)


async def _throughputs() -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {OURS: [], ORIGINAL: []}
    for _ in range(RUNS):
        for name, values in rates.items():
            values.append((await measure_throughput(name, CLIENTS, BOARDS_AT_ONCE, SECONDS))["per_second"])
    return rates


def measure() -> PartResult:
    """Measure both in turns."""
    rates = uvloop.run(_throughputs())
    ours = Figure(name="ours", unit="deliveries/s", values=tuple(rates[OURS]), goal=GOAL)
    other = Figure(name="the original's pattern", unit="deliveries/s", values=tuple(rates[ORIGINAL]))
    rounds = [uvloop.run(measure_stall(OURS, CLIENTS, STALL_SECONDS)) for _ in range(STALL_RUNS)]
    figures = [ours, *_stalled(OURS, rounds, SHARE_GOAL)]
    if all(found["samples"] for pair in rounds for found in pair):
        ratios = tuple(stalled["p99"] / calm["p99"] for calm, stalled in rounds)
        figures.append(Figure(name=_P99, unit=TIMES, values=ratios, better=Better.LESS, goal=P99_GOAL))
        unmeasured: tuple[Unmeasured, ...] = ()
    else:
        unmeasured = (Unmeasured(name=_P99, goal=P99_GOAL, better=Better.LESS, reason="nothing arrived"),)
    figures += _stalled(ORIGINAL, [uvloop.run(measure_stall(ORIGINAL, CLIENTS, STALL_SECONDS))])
    comparison = Comparison(name="deliveries", ours=ours, other=other)
    return PartResult(
        title="Delivering",
        meaning=_MEANING,
        figures=tuple(figures),
        comparisons=(comparison,),
        unmeasured=unmeasured,
        remarks=("a p99 beside a stalled client is that of what still arrived",),
    )


def _stalled(name: str, rounds: Sequence[_Round], goal: float | None = None) -> list[Figure]:
    """Return what a client that never reads does to the others' deliveries, and how late they are without and beside it."""
    shares = tuple(stalled["deliveries"] / calm["deliveries"] * 100.0 for calm, stalled in rounds)
    found = [
        Figure(name=f"{name}: deliveries beside a stalled client", unit="% of those without", values=shares, goal=goal)
    ]
    for place, title in enumerate(("without", "beside")):
        latencies = tuple(each[place]["p99"] for each in rounds if each[place]["samples"])
        if latencies:
            label = f"{name}: p99 {title} a stalled client"
            found.append(Figure(name=label, unit="ms", values=latencies, better=Better.LESS))
    return found
