"""Scanners over a whole market: their expressions compiled to NumPy, beside a CEL library row by row, and each as a whole.

An expression is evaluated on columns that are there. A whole scanner is what the engine does for one at a tick: the features
that it reads, where, rank, the best rows, their cells, and its signals with their explanations.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from bench.engine import OPEN_NS, bodies, reference, scanners, trades
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
from scanplane.engine import ReferenceData
from scanplane.engine.frame import FeatureFrame
from scanplane.engine.scanners import CompiledScanner
from scanplane.expressions import ValueType
from scanplane.expressions.program import compile_expression
from scanplane.marketdata.batches import Tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.results import BoardPart, Signal
from scanplane.plan.configuration import ScannerConfiguration
from support.engine_market import SECOND_NS, an_engine

__all__ = ["measure"]

RUNS = 3
SLOWEST_GOAL_US = 1000.0
TICKS = 50
TRADES, BATCH = 100_000, 1000

_MEANING = (
    f"{len(CONDITIONS) + 1} expressions over {SYMBOLS:,} symbols, a tenth of all numbers unknown. cel-python evaluates a sample "
    "of 100 rows and its time is scaled; it is the oracle of our tests, not made for speed. The original has no expressions. "
    f"A whole scanner is one of fifteen boards and five signals, alone in an engine of {SYMBOLS:,} symbols that trade: the "
    "features that it reads, where, rank, the best 50 rows, their cells; processor time of the median tick. What fires pays "
    "for every signal and its explanation besides, so it has no goal: a cooldown makes that rare."
)


class Evaluations(NamedTuple):
    """What a scanner cost the processor at each tick of a run, in µs, and how many signals it fired."""

    taken_us: list[float]
    signals: list[int]


def whole_scanners() -> dict[str, list[Evaluations]]:
    """Evaluate each scanner as a whole, a few times."""
    known, encoded = reference(), bodies(trades(TRADES, OPEN_NS), BATCH)
    return {each.name: [_evaluate(each, known, encoded) for _ in range(RUNS)] for each in scanners()}


def _evaluate(scanner: ScannerConfiguration, known: ReferenceData, encoded: Sequence[bytes]) -> Evaluations:
    engine = an_engine(scanner, reference=known)
    engine.tick(Tick(OPEN_NS))
    for body in encoded[:-TICKS]:
        engine.apply(Channel.TRADES, body)
    with _noted_evaluations() as noted:
        for number, body in enumerate(encoded[-TICKS:], start=1):
            engine.apply(Channel.TRADES, body)
            engine.tick(Tick(OPEN_NS + number * SECOND_NS))
    assert engine.counts.symbols > 0.99 * SYMBOLS
    assert len(noted.taken_us) == TICKS
    return noted


@contextmanager
def _noted_evaluations() -> Iterator[Evaluations]:
    """Note how long the engine is with each scanner."""
    evaluate = CompiledScanner.evaluate
    noted = Evaluations([], [])

    def evaluate_noted(scanner: CompiledScanner, frame: FeatureFrame) -> tuple[BoardPart | None, list[Signal], int]:
        begin_ns = time.thread_time_ns()
        result = evaluate(scanner, frame)
        noted.taken_us.append((time.thread_time_ns() - begin_ns) / 1000)
        noted.signals.append(len(result[1]))
        return result

    CompiledScanner.evaluate = evaluate_noted  # type: ignore[method-assign]  # the engine asks it in the midst of a tick
    try:
        yield noted
    finally:
        CompiledScanner.evaluate = evaluate  # type: ignore[method-assign]  # as it was


def _figures_of(whole: Mapping[str, Sequence[Evaluations]]) -> tuple[Figure, ...]:
    """Tell of the slowest board, and of the slowest of those that fire signals."""
    medians = {name: tuple(statistics.median(run.taken_us) for run in runs) for name, runs in whole.items()}
    signals = {name: statistics.mean(count for run in runs for count in run.signals) for name, runs in whole.items()}
    board, firing = (
        max((name for name in whole if bool(signals[name]) is fires), key=lambda name: statistics.median(medians[name]))
        for fires in (False, True)
    )
    unit = "µs a tick"
    return (
        Figure(
            name="the slowest whole scanner",
            unit=unit,
            values=medians[board],
            better=Better.LESS,
            goal=SLOWEST_GOAL_US,
            remark=board,
        ),
        Figure(
            name="the slowest that fires",
            unit=unit,
            values=medians[firing],
            better=Better.LESS,
            remark=f"{firing}: {signals[firing]:.0f} signals a tick",
        ),
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
            *_figures_of(whole_scanners()),
        ),
        comparisons=(Comparison(name="all expressions once", ours=figure, other=other),),
    )
