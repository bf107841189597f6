"""From columns to the cells of results: Python values, None where unknown."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanplane.engine.frame import FeatureFrame
from scanplane.marketdata.results import Value

__all__ = ["cells_of", "known_number", "select"]


def known_number(value: float) -> float | None:
    """Return a number that JSON can carry, or None."""
    return value if math.isfinite(value) else None


def select(column: NDArray[Any], rows: NDArray[np.intp]) -> list[Value]:
    """Return the cells of *rows*; a column of one value for all symbols repeats it."""
    if column.ndim == 0:
        return [column.item()] * len(rows)
    chosen = column[rows]
    values: list[Value] = chosen.tolist()
    if column.dtype.kind == "f":
        known = np.isfinite(chosen)
        if not known.all():
            for unknown in np.flatnonzero(~known).tolist():
                values[unknown] = None
    return values


def cells_of(frame: FeatureFrame, names: Sequence[str], rows: NDArray[np.intp]) -> list[tuple[Value, ...]]:
    """Return, for each of *rows*, the cells of the columns *names*."""
    if not names:
        return [()] * len(rows)
    return list(zip(*(select(frame[name], rows) for name in names), strict=True))
