"""Which symbol has which row."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["REFUSED", "SymbolTable"]

REFUSED = -1
"""The row of a symbol that has none."""

MAX_SYMBOL_LENGTH = 64
_MAX_REMEMBERED_REFUSALS = 10_000


class SymbolTable(dict[str, int]):
    """Rows by symbol, given out in the order of arrival and taken back by ``keep`` alone.

    Looking up a new symbol gives it the next row, or REFUSED when the table is full or the name is longer than 64
    characters (one name decides the width of the whole column of names).
    """

    def __init__(self, max_symbols: int) -> None:
        super().__init__()
        self.names: list[str] = []
        self._max_symbols = max_symbols
        self._refused: set[str] = set()
        self._array: NDArray[np.str_] = np.array([], "U1")

    def __missing__(self, symbol: str) -> int:
        if len(self.names) >= self._max_symbols or not 0 < len(symbol) <= MAX_SYMBOL_LENGTH:
            if len(self._refused) < _MAX_REMEMBERED_REFUSALS:
                self._refused.add(symbol[:MAX_SYMBOL_LENGTH])
            return REFUSED
        row = self[symbol] = len(self.names)
        self.names.append(symbol)
        return row

    @property
    def refused(self) -> int:
        """How many different symbols were refused (counted up to 10,000)."""
        return len(self._refused)

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Keep the symbols of *rows* and number them anew, in that order; all others may come as new ones."""
        self.names = [self.names[row] for row in rows.tolist()]
        self.clear()
        self.update(zip(self.names, range(len(self.names)), strict=True))
        self._refused.clear()
        self._array = np.array(self.names) if self.names else np.array([], "U1")

    def array(self) -> NDArray[np.str_]:
        """Return the names by row, shape (rows,)."""
        if len(self._array) != len(self.names):
            self._array = np.array(self.names)
        return self._array
