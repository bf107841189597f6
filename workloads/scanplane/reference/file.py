"""Reference data from CSV files with a header line.

A figure that is empty or 0 is unknown. Previous closes must be adjusted for splits already: the engine compares them
with today's prices as they are, and an unadjusted close makes a gap of every split. Further columns are allowed; a
column that a Market asks for and that is not there is an error, because a misspelt header would look like "unknown".
"""

import csv
import datetime as dt
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scanplane.engine.reference_data import VolumeCurve
from scanplane.reference.errors import ReferenceDataError

__all__ = ["read_symbols", "read_volume_curve"]


class _Table:
    """The rows of one CSV file, with errors that say file, line and column."""

    def __init__(self, path: Path, required: Sequence[str]) -> None:
        self._path = path
        self._line = 1
        self.columns: tuple[str, ...] = ()
        self._required = required

    def rows(self) -> Iterator[dict[str, str]]:
        try:
            with self._path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.reader(file, strict=True)
                self.columns = tuple(name.strip() for name in next(reader, []))
                self._check_header()
                for cells in reader:
                    self._line = reader.line_num
                    if not cells:
                        continue
                    if len(cells) != len(self.columns):
                        raise self.error(None, f"{len(cells)} cells, the header has {len(self.columns)} columns")
                    yield {name: cell.strip() for name, cell in zip(self.columns, cells, strict=True)}
        except OSError as error:
            raise ReferenceDataError(f"{self._path}: {error.strerror or 'cannot be read'}") from None
        except (csv.Error, UnicodeDecodeError) as error:
            raise self.error(None, f"no CSV in UTF-8: {error}") from None

    def _check_header(self) -> None:
        missing = [name for name in self._required if name not in self.columns]
        if missing:
            raise self.error(
                None, f"no column {' and '.join(missing)}; the header is {','.join(self.columns) or 'empty'}"
            )
        repeated = {name for name in self.columns if self.columns.count(name) > 1}
        if repeated:
            raise self.error(None, f"the column {min(repeated)} appears twice")

    def error(self, column: str | None, problem: str) -> ReferenceDataError:
        place = f"{self._path}:{self._line}" + (f" {column}" if column else "")
        return ReferenceDataError(f"{place}: {problem}")

    def number(self, row: dict[str, str], column: str, *, greatest: float = math.inf) -> float:
        text = row[column]
        if not text:
            return math.nan
        try:
            value = float(text)
        except ValueError:
            raise self.error(column, f"{text!r} is no number; write digits with a decimal point, or nothing") from None
        if not math.isfinite(value) or not 0 <= value <= greatest:
            limit = "0 or more" if math.isinf(greatest) else f"between 0 and {greatest:g}"
            raise self.error(column, f"{text} must be {limit}")
        return value

    def time_of_day(self, row: dict[str, str], column: str) -> int:
        """Return seconds since midnight."""
        text = row[column]
        try:
            time = dt.datetime.strptime(text, "%H:%M")  # noqa: DTZ007 # a time of day has no zone
        except ValueError:
            raise self.error(column, f"{text!r} is no time of day; write HH:MM") from None
        return time.hour * 3600 + time.minute * 60


def read_symbols(path: Path, figures: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return symbol → figure → value for the asked *figures* (column names); nan where unknown.

    Raises ReferenceDataError.
    """
    table = _Table(path, ["symbol", *figures])
    symbols: dict[str, dict[str, float]] = {}
    for row in table.rows():
        symbol = row["symbol"]
        if not symbol:
            raise table.error("symbol", "is empty")
        if symbol in symbols:
            raise table.error("symbol", f"{symbol} was there before; write each symbol once")
        symbols[symbol] = {figure: table.number(row, figure) for figure in figures}
    return symbols


def read_volume_curve(path: Path) -> VolumeCurve:
    """Return the curve of a file with ``time`` and ``fraction``, or ``time``, ``symbol`` and ``cumulative_volume``.

    Times are exchange local and must ascend, and so must what was traded by then. Raises ReferenceDataError.
    """
    table = _Table(path, ["time"])
    curves: dict[str, dict[int, float]] = {}
    column = ""
    for row in table.rows():
        if not column:
            column = _curve_column(table)
        symbol = row["symbol"] if column == "cumulative_volume" else ""
        points = curves.setdefault(symbol, {})
        second = table.time_of_day(row, "time")
        value = table.number(row, column, greatest=1.0 if column == "fraction" else math.inf)
        if math.isnan(value):
            raise table.error(column, "is empty")
        if points:
            last_second, last_value = next(reversed(points.items()))
            if second <= last_second:
                raise table.error("time", f"{row['time']} does not come after the time before it")
            if value < last_value:
                raise table.error(column, f"{row[column]} is less than before; write what was traded by then in total")
        points[second] = value
    if not curves:
        raise ReferenceDataError(f"{path}: no rows; write at least one time of day")
    return _curve(curves)


def _curve_column(table: _Table) -> str:
    if "fraction" in table.columns:
        return "fraction"
    if {"symbol", "cumulative_volume"} <= set(table.columns):
        return "cumulative_volume"
    raise table.error(None, "a volume curve needs the column fraction, or symbol and cumulative_volume")


def _curve(curves: dict[str, dict[int, float]]) -> VolumeCurve:
    """Bring every symbol's points to one grid; a symbol's curve is unknown before its first point."""
    grid = np.array(sorted({second for points in curves.values() for second in points}), np.float64)
    values = np.array([np.interp(grid, list(points), list(points.values()), left=np.nan) for points in curves.values()])
    if "" in curves:
        return VolumeCurve(seconds=grid, fractions=values[0])
    return VolumeCurve(
        seconds=grid, positions={symbol: position for position, symbol in enumerate(curves)}, volumes=values
    )
