"""Scanners' expressions over a whole market: compiled to NumPy, beside a CEL library row by row."""

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

_MEANING = (
    f"{len(CONDITIONS) + 1} expressions over {SYMBOLS:,} symbols, a tenth of all numbers unknown. cel-python evaluates a sample "
    "of 100 rows and its time is scaled; it is the oracle of our tests, not made for speed. The original has no expressions."
)


def measure() -> PartResult:
    """Evaluate all expressions, a few times."""
    columns = make_market()
    rows = oracle_rows(columns)
    programs = [compile_expression(source, ValueType.BOOL) for source in CONDITIONS.values()]
    programs.append(compile_expression(RANKING, ValueType.NUMBER))
    ours = [sum(median_microseconds(program, columns) for program in programs) for _ in range(RUNS)]
    oracle = sum(oracle_microseconds(program.source, rows) for program in programs)
    unit = "µs for all"
    figure = Figure(name="ours", unit=unit, values=tuple(ours), better=Better.LESS)
    other = Figure(name="cel-python", unit=unit, values=(oracle,), better=Better.LESS)
    return PartResult(
        title="Evaluating expressions",
        meaning=_MEANING,
        comparisons=(Comparison(name="all expressions once", ours=figure, other=other),),
    )
