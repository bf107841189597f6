"""Apply quotes to the columns: the newest of each side.

A side that a quote leaves out stays as it was. Of equal exchange times the later arrival counts.
"""

import numpy as np

from scanplane.engine.columns import Columns
from scanplane.engine.decoding import QuoteBatch
from scanplane.engine.trades import keep_newest

__all__ = ["apply_quotes"]


def apply_quotes(columns: Columns, quotes: QuoteBatch) -> None:
    """Apply quotes; rows must be real."""
    for side, times, prices in (("bid", "bid_ns", quotes.bids), ("ask", "ask_ns", quotes.asks)):
        known = ~np.isnan(prices)
        keep_newest(columns[side], columns[times], quotes.rows[known], prices[known], quotes.instants[known])
