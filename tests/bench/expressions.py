"""How long one evaluation of a scanner's expression takes for a whole market, and how long cel-python takes for it.

Run it with ``python tests/bench/expressions.py``; it takes some seconds. A tenth of the values of a number is unknown, as in a
market where not every symbol has traded. Each figure is the median over many evaluations. cel-python evaluates a sample of
rows, already converted to its types, and its time is scaled to all of them.
"""

import statistics
import sys
import time
from collections.abc import Callable

import celpy
import numpy as np
from celpy.celtypes import BoolType, DoubleType, StringType
from numpy.typing import NDArray

from scanplane.expressions import ValueType
from scanplane.expressions.program import Program, compile_expression
from scanplane.features.catalogue import CATALOGUE, FeatureType

SYMBOLS = 8_000
ORACLE_ROWS = 100
SECONDS_EACH = 0.1

CONDITIONS = {
    "low-float gappers": "price >= 2.0 && price <= 20.0 && gap_percent >= 4.0 && relative_volume >= 5.0 && free_float < 20e6",
    "premarket gappers": "session == 'premarket' && math.abs(gap_percent) >= 4.0 && premarket_volume >= 50e3 && price >= 1.0",
    "top gainers": "change_percent > 0.0 && dollar_volume > 1e6",
    "top volume": "volume > 1e6",
    "new high momentum": "new_high_of_day && relative_volume > 3.0 && price < 50.0",
    "new low momentum": "new_low_of_day && relative_volume > 3.0",
    "crossed above vwap": "session == 'regular' && crossed_above_vwap && volume_5m > 0.05 * average_volume",
    "above vwap": "price > vwap * 1.02 && change_5m_percent > 1.0",
    "float rotation": "float_rotation >= 1.0 && free_float < 100e6",
    "price spike ladder": "change_1m_percent >= (price < 1.0 ? 10.0 : (price < 4.0 ? 6.0 : 2.0)) && volume_1m > 1e3",
    "mid-day spike": "change_15m_percent > 3.0 && relative_volume > 5.0 && volume_5m / 5.0 > 3.0 * average_volume / 390.0",
    "near high of day": "(high_of_day - price) / high_of_day < 0.005 && has(premarket_high) && price > premarket_high",
    "tight spread": "has(spread_percent) && spread_percent < 0.2 && ask - bid < 0.05",
    "small-cap morning": "price >= 0.5 && price <= 10.0 && change_percent > 5.0 && volume > 100e3 && relative_volume > 3.0",
    "red to green": "gap_percent < 0.0 && change_percent > 0.0 && minutes_since_open < 60.0",
    "consolidation": "range_percent < 1.5 && volume > average_volume * 0.5 || range_percent < 0.5",
    "watchlist": "symbol in ['S0001', 'S0500', 'S1000', 'S4000', 'S7999'] && change_5m_percent > 0.5",
    "long watchlist": f"symbol in [{', '.join(repr(f'S{index:04d}') for index in range(0, SYMBOLS, 80))}]",
    "units and warrants": "!(symbol.endsWith('W') || symbol.endsWith('U')) && size(symbol) < 6.0 && price != 10.0",
}
RANKING = "gap_percent * math.greatest(relative_volume, 1.0)"
"""The twentieth: what a board is ranked by."""

_FOR_ORACLE = {"math.abs(": "absolute(", "math.greatest(": "greatest(", "size(symbol)": "double(size(symbol))"}
_FUNCTIONS: dict[str, Callable[..., object]] = {
    "absolute": lambda value: DoubleType(abs(value)),
    "greatest": lambda *values: DoubleType(max(values)),
    "has_value": lambda value: BoolType(value == value),  # noqa: PLR0124 - only NaN differs from itself
}


def make_market(seed: int = 7) -> dict[str, NDArray[np.generic] | str]:
    """Return a column for every feature; a tenth of each number is unknown."""
    random = np.random.default_rng(seed)
    columns: dict[str, NDArray[np.generic] | str] = {}
    for name, feature in CATALOGUE.items():
        if feature.type is FeatureType.EVENT:
            columns[name] = random.random(SYMBOLS) < 0.01
        elif name.endswith("_percent"):
            columns[name] = random.normal(0, 5, SYMBOLS)
        elif "volume" in name or "float" in name:
            columns[name] = random.lognormal(13, 2, SYMBOLS)
        else:
            columns[name] = random.lognormal(3, 1, SYMBOLS)
        if feature.type is FeatureType.NUMBER:
            column = np.asarray(columns[name])
            column[random.random(SYMBOLS) < 0.1] = np.nan
    columns["relative_volume"] = random.lognormal(0.5, 1, SYMBOLS)
    columns["symbol"] = np.array([f"S{index:04d}" for index in range(SYMBOLS)], "<U16")
    return columns | {"session": "regular"}


def median_microseconds(program: Program, columns: dict[str, NDArray[np.generic] | str]) -> float:
    """Return the median time of one evaluation."""
    times = []
    end = time.perf_counter() + SECONDS_EACH
    while time.perf_counter() < end:
        begin = time.perf_counter_ns()
        program.evaluate(columns)
        times.append(time.perf_counter_ns() - begin)
    return statistics.median(times) / 1000


def oracle_microseconds(source: str, rows: list[dict[str, object]]) -> float:
    """Return the time that cel-python takes for a whole market, from a sample of rows."""
    for ours, theirs in _FOR_ORACLE.items():
        source = source.replace(ours, theirs)
    environment = celpy.Environment()
    program = environment.program(environment.compile(source.replace("has(", "has_value(")), functions=_FUNCTIONS)
    begin = time.perf_counter_ns()
    for row in rows:
        program.evaluate(row)
    return (time.perf_counter_ns() - begin) / 1000 / len(rows) * SYMBOLS


def oracle_rows(columns: dict[str, NDArray[np.generic] | str]) -> list[dict[str, object]]:
    """Return the first rows in cel-python's types."""
    types = {FeatureType.NUMBER: DoubleType, FeatureType.EVENT: BoolType, FeatureType.TEXT: StringType}
    return [
        {
            name: types[CATALOGUE[name].type](column if isinstance(column, str) else column[row])
            for name, column in columns.items()
        }
        for row in range(ORACLE_ROWS)
    ]


def main() -> None:
    """Print one line for each expression."""
    columns = make_market()
    rows = oracle_rows(columns)
    programs = {name: compile_expression(source, ValueType.BOOL) for name, source in CONDITIONS.items()}
    programs["ranking"] = compile_expression(RANKING, ValueType.NUMBER)
    write = sys.stdout.write
    write(f"{SYMBOLS} symbols, {len(programs)} expressions, median of {SECONDS_EACH} s each\n")
    write(f"{'expression':22}{'µs':>9}{'cel-python µs':>16}{'ratio':>9}{'matches':>9}\n")
    ours_total = oracle_total = 0.0
    for name, program in programs.items():
        ours, oracle = median_microseconds(program, columns), oracle_microseconds(program.source, rows)
        ours_total, oracle_total = ours_total + ours, oracle_total + oracle
        matches = int(np.count_nonzero(program.evaluate(columns))) if program.value_type is ValueType.BOOL else SYMBOLS
        write(f"{name:22}{ours:9.1f}{oracle:16.0f}{oracle / ours:9.0f}{matches:9d}\n")
    write(f"{'all':22}{ours_total:9.1f}{oracle_total:16.0f}{oracle_total / ours_total:9.0f}\n")
    begin = time.perf_counter_ns()
    for program in programs.values():
        compile_expression(program.source, program.value_type)
    write(f"compiling one: {(time.perf_counter_ns() - begin) / 1000 / len(programs):.0f} µs\n")
    program = programs["low-float gappers"]
    program.explain(columns, 0)
    begin = time.perf_counter_ns()
    for row in range(1000):
        program.explain(columns, row)
    write(
        f"explaining one row: {(time.perf_counter_ns() - begin) / 1e6:.0f} µs, for example {program.explain(columns, 0)}\n"
    )


if __name__ == "__main__":
    main()
