"""From the gateway to many clients, and what a client that never reads does to the others: ours beside the original's pattern."""

import uvloop

from bench.gateway import measure_stall, measure_throughput
from bench.report import Better, Comparison, Figure, PartResult

__all__ = ["measure"]

RUNS = 2
SECONDS = 2.0
STALL_SECONDS = 3.0
CLIENTS = 200
BOARDS_AT_ONCE = 10
GOAL = 100_000.0
OURS, ORIGINAL = "gateway", "original pattern"

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
    figures = [ours]
    for name in (OURS, ORIGINAL):
        calm, stalled = uvloop.run(measure_stall(name, CLIENTS, STALL_SECONDS))
        share = stalled["deliveries"] / calm["deliveries"] * 100.0
        figures.append(
            Figure(name=f"{name}: deliveries beside a stalled client", unit="% of those without", values=(share,))
        )
        for title, found in (("without", calm), ("beside", stalled)):
            if found["samples"]:
                label = f"{name}: p99 {title} a stalled client"
                figures.append(Figure(name=label, unit="ms", values=(found["p99"],), better=Better.LESS))
    comparison = Comparison(name="deliveries", ours=ours, other=other)
    return PartResult(
        title="Delivering",
        meaning=_MEANING,
        figures=tuple(figures),
        comparisons=(comparison,),
        remarks=("a p99 beside a stalled client is that of what still arrived",),
    )
