"""State as columns: parallel arrays with one row per symbol, which grow together by doubling.

Columns beat one object per symbol because a batch of a thousand events touches them with a handful of NumPy calls and
an evaluation reads them without a copy. A column is made when it is first used, so that a market without bars does not
pay for theirs. A column may have several *planes* (one per session, say): shape (planes, capacity).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["Column", "Columns"]

FIRST_CAPACITY = 1024


class Column(Struct, frozen=True):
    """Name, type, the value of a symbol of which nothing is known yet, and the number of planes."""

    name: str
    dtype: str
    fill: float
    planes: int = 1


class Columns:
    """Arrays by name. Each has shape (capacity,), or (planes, capacity) where a column has several planes."""

    def __init__(self, columns: Iterable[Column]) -> None:
        self._columns = {column.name: column for column in columns}
        self._arrays: dict[str, NDArray[Any]] = {}
        self.capacity = FIRST_CAPACITY

    def __getitem__(self, name: str) -> NDArray[Any]:
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = self._make(self._columns[name])
        return array

    def __contains__(self, name: str) -> bool:
        """Say whether a column is in use."""
        return name in self._arrays

    def flat(self, name: str) -> NDArray[Any]:
        """Return a column of several planes as one array; plane p of row r is at p * capacity + r."""
        return self[name].reshape(-1)

    def grow(self, rows: int) -> None:
        """Make room for *rows*, doubling the capacity as often as needed."""
        if rows <= self.capacity:
            return
        before = self.capacity
        while self.capacity < rows:
            self.capacity *= 2
        for name, old in self._arrays.items():
            array = self._make(self._columns[name])
            array[..., :before] = old
            self._arrays[name] = array

    def clear(self) -> None:
        """Forget the values of every symbol."""
        for name, array in self._arrays.items():
            array.fill(self._columns[name].fill)

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Keep the values of *rows* and make them the first rows, in their order; forget those of all others."""
        for name, old in self._arrays.items():
            array = self._make(self._columns[name])
            array[..., : len(rows)] = old[..., rows]
            self._arrays[name] = array

    def planes(self) -> Iterator[tuple[str, int, NDArray[Any], float]]:
        """Yield (name, plane, array of shape (capacity,), fill value) of every column in use."""
        for name, array in self._arrays.items():
            column = self._columns[name]
            for plane, values in enumerate(array.reshape(column.planes, self.capacity)):
                yield name, plane, values, column.fill

    def plane(self, name: str, plane: int) -> NDArray[Any]:
        """Return one plane of a column, shape (capacity,)."""
        values: NDArray[Any] = self[name].reshape(self._columns[name].planes, self.capacity)[plane]
        return values

    def _make(self, column: Column) -> NDArray[Any]:
        shape = (self.capacity,) if column.planes == 1 else (column.planes, self.capacity)
        return np.full(shape, column.fill, column.dtype)
