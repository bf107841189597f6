"""Apply quotes to the columns: the newest says both sides.

A quote is the whole best bid and offer: a side that it leaves out is withdrawn, and unknown from then on. Of equal
exchange times the later arrival counts.
"""

import numpy as np

from scanplane.engine.columns import Columns
from scanplane.engine.decoding import QuoteBatch

__all__ = ["apply_quotes"]


def apply_quotes(columns: Columns, quotes: QuoteBatch) -> None:
    """Apply quotes; rows must be real."""
    times = columns["quote_ns"]
    np.maximum.at(times, quotes.rows, quotes.instants)
    newest = quotes.instants == times[quotes.rows]
    rows = quotes.rows[newest]
    columns["bid"][rows] = quotes.bids[newest]
    columns["ask"][rows] = quotes.asks[newest]
