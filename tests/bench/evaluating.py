"""Scanners' expressions over a whole market: compiled to NumPy, beside a CEL library row by row."""

import statistics

from bench.expressions import (
    CONDITIONS,
    RANKING,
    SYMBOLS,
    make_market,
    median_microseconds,
    oracle_microseconds,
    oracle_rows,
)
from bench.report import Better, Comparison, Figure, PartResult
from scanplane.expressions import ValueType
from scanplane.expressions.program import compile_expression

__all__ = ["measure"]

RUNS = 3
SLOWEST_GOAL_US = 1000.0

_MEANING = (
    f"{len(CONDITIONS) + 1} expressions over {SYMBOLS:,} symbols, a tenth of all numbers unknown. cel-python evaluates a sample "
    "of 100 rows and its time is scaled; it is the oracle of our tests, not made for speed. The original has no expressions."
)


def measure() -> PartResult:
    """Evaluate all expressions, a few times."""
    columns = make_market()
    rows = oracle_rows(columns)
    programs = {name: compile_expression(source, ValueType.BOOL) for name, source in CONDITIONS.items()}
    programs["ranking"] = compile_expression(RANKING, ValueType.NUMBER)
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(RUNS):
        for name, program in programs.items():
            times[name].append(median_microseconds(program, columns))
    slowest = max(times, key=lambda name: statistics.median(times[name]))
    oracle = sum(oracle_microseconds(program.source, rows) for program in programs.values())
    unit = "µs for all"
    figure = Figure(
        name="ours", unit=unit, values=tuple(map(sum, zip(*times.values(), strict=True))), better=Better.LESS
    )
    other = Figure(name="cel-python", unit=unit, values=(oracle,), better=Better.LESS)
    return PartResult(
        title="Evaluating expressions",
        meaning=_MEANING,
        figures=(
            Figure(
                name="the slowest expression",
                unit="µs",
                values=tuple(times[slowest]),
                better=Better.LESS,
                goal=SLOWEST_GOAL_US,
                remark=slowest,
            ),
        ),
        comparisons=(Comparison(name="all expressions once", ours=figure, other=other),),
    )
