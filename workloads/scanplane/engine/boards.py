"""A board: the symbols that match, best first."""

import numpy as np
from numpy.typing import NDArray

from scanplane.engine.cells import cells_of
from scanplane.engine.frame import FeatureFrame
from scanplane.expressions.program import Program
from scanplane.marketdata.results import BoardPart, BoardRow
from scanplane.plan.configuration import BoardConfiguration

__all__ = ["best_rows", "make_board"]


def make_board(
    *,
    market: str,
    scanner: str,
    partition: str,
    board: BoardConfiguration,
    rank_by: Program,
    matching: NDArray[np.bool_],
    frame: FeatureFrame,
) -> BoardPart:
    """Rank the *matching* symbols whose rank is known."""
    rank = rank_by.evaluate(frame)
    rows = best_rows(rank, matching, frame["symbol"], board.limit, descending=board.descending)
    cells = cells_of(frame, board.columns, rows)
    return BoardPart(
        market=market,
        scanner=scanner,
        partition=partition,
        columns=board.columns,
        descending=board.descending,
        limit=board.limit,
        tick_ns=frame.moment.tick_ns,
        matches=int(np.count_nonzero(matching)),
        rows=tuple(map(BoardRow, frame["symbol"][rows].tolist(), rank[rows].tolist(), cells)),
    )


def best_rows(
    rank: NDArray[np.float64],
    matching: NDArray[np.bool_],
    names: NDArray[np.str_],
    limit: int,
    *,
    descending: bool,
) -> NDArray[np.intp]:
    """Return the rows of the best *limit* matching symbols, best first, of equal rank by symbol ascending."""
    rows = np.flatnonzero(matching & np.isfinite(rank))
    keys = -rank[rows] if descending else rank[rows]
    if len(rows) > limit:
        # Everything as good as the last that fits, so that the symbol decides among equals and not the row.
        worst = np.partition(keys, limit - 1)[limit - 1]
        fits = keys <= worst
        rows, keys = rows[fits], keys[fits]
    order = np.lexsort((names[rows], keys))
    return rows[order[:limit]]
