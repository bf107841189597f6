"""Highs and lows of bars that may be corrected later.

The highest of all bars so far is easy to keep; but a provider sends a bar again when a bad print is taken back, up to
15 minutes later, and then the day's high must fall. Keeping every bar of the day would cost hundreds of megabytes. So
each cell (symbol, session, side) keeps the two bars that hold the record and the runner-up, by their start, and of all
others only the greatest value, the *remainder*. A correction of either of the two is exact; a correction of another bar
can raise the extreme but no longer lower it.

Values of one cell depend on their order, so bars are applied one round after the other, each with at most one bar per
cell; cells that appear very often in one batch are finished one bar at a time. Both ways give the same values.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scanplane.engine.columns import Columns

__all__ = ["apply_records", "greatest_record", "rounds"]

Cells = NDArray[np.intp]

_WORTH_A_ROUND = 16
"""Below this many bars, a loop over them is quicker than a round of NumPy calls."""


def apply_records(columns: Columns, cells: Cells, keys: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """Apply bars in order: *keys* tell bars of a cell apart, *values* are what the greatest is kept of (no nan)."""
    record_keys, records = columns.flat("record_key"), columns.flat("record")
    runner_up_keys, runner_ups = columns.flat("runner_up_key"), columns.flat("runner_up")
    remainders = columns.flat("remainder")
    for chosen in rounds(cells):
        if len(chosen) < _WORTH_A_ROUND:
            state = (record_keys, records, runner_up_keys, runner_ups, remainders)
            for index in chosen.tolist():
                _apply_one(state, int(cells[index]), int(keys[index]), float(values[index]))
            continue
        cell, key, value = cells[chosen], keys[chosen], values[chosen]
        best, second = records[cell], runner_ups[cell]
        is_best = record_keys[cell] == key
        is_second = ~is_best & (runner_up_keys[cell] == key)
        is_new = ~(is_best | is_second)
        lesser = np.minimum(best, second)
        enters = is_new & (value > lesser)
        takes_best = is_best | (enters & (best < second))
        takes_second = is_second | (enters & (best >= second))
        left_over = np.where(enters, lesser, np.where(is_new, value, -np.inf))
        remainders[cell] = np.maximum(remainders[cell], left_over)
        records[cell[takes_best]] = value[takes_best]
        record_keys[cell[takes_best]] = key[takes_best]
        runner_ups[cell[takes_second]] = value[takes_second]
        runner_up_keys[cell[takes_second]] = key[takes_second]


def _apply_one(
    state: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    cell: int,
    key: int,
    value: float,
) -> None:
    record_keys, records, runner_up_keys, runner_ups, remainders = state
    if record_keys[cell] == key:
        records[cell] = value
    elif runner_up_keys[cell] == key:
        runner_ups[cell] = value
    else:
        best, second = records[cell], runner_ups[cell]
        left_over = value
        if value > min(best, second):
            left_over = min(best, second)
            if best < second:
                records[cell], record_keys[cell] = value, key
            else:
                runner_ups[cell], runner_up_keys[cell] = value, key
        remainders[cell] = max(remainders[cell], left_over)


def greatest_record(columns: Columns, plane: int, rows: int) -> NDArray[np.float64]:
    """Return the greatest value of each of the first *rows* cells of a plane; -inf where there is none."""
    records = columns["record"][plane, :rows], columns["runner_up"][plane, :rows]
    return np.asarray(np.maximum(np.maximum(*records), columns["remainder"][plane, :rows]))


def rounds(cells: Cells) -> Iterator[Cells]:
    """Yield positions so that each round has a cell at most once and rounds keep the order within a cell.

    Once rounds get small, what is left comes in small pieces in the order of arrival, in which a cell may repeat.
    """
    order = np.argsort(cells, kind="stable")
    ordered = cells[order]
    is_first = np.ones(len(cells), np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    if is_first.all():
        yield order
        return
    positions = np.arange(len(cells))
    occurrence = positions - np.maximum.accumulate(np.where(is_first, positions, 0))
    sizes = np.bincount(occurrence)
    small = np.flatnonzero(sizes < _WORTH_A_ROUND)
    end = int(small[0]) if len(small) else len(sizes)
    for number in range(end):
        yield order[occurrence == number]
    rest = np.sort(order[occurrence >= end])
    for begin in range(0, len(rest), _WORTH_A_ROUND - 1):
        yield rest[begin : begin + _WORTH_A_ROUND - 1]
