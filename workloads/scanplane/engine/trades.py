"""Apply trades to the columns.

Each rule below gives the same result however events are grouped into batches: greatest and least values, and sums that
are added one by one in the order of arrival (``np.add.at``), never partial sums of a batch.

- Price: the eligible trade with the greatest exchange time; of equal times the later arrival.
- Open: the eligible regular-session trade with the least exchange time; of equal times the earlier arrival.
- A trade belongs to the session of its own exchange time, whenever it arrives on the same trading day; only the closing
  auction, printed moments after the close, belongs to the regular session.
- Volume: see ``scanplane.engine.volumes``.
- A trade without a positive, finite price and size changes nothing and is counted.
"""

import numpy as np
from numpy.typing import NDArray

from scanplane.engine.columns import Columns
from scanplane.engine.counts import EngineCounts
from scanplane.engine.decoding import CLOSING_PRINT, HIGH_LOW, LAST, VOLUME, TradeBatch
from scanplane.engine.sessions import TradingDay
from scanplane.engine.state import HIGHS, LOWS, POSTMARKET, REGULAR
from scanplane.engine.volumes import add_volumes

__all__ = ["apply_trades", "keep_newest", "session_of"]

_EXTENDED_SHIFT = 3
"""How far the bits of extended hours stand above those of the regular session."""


def session_of(instants: NDArray[np.int64], day: TradingDay) -> NDArray[np.intp]:
    """Return PREMARKET, REGULAR or POSTMARKET for each instant of *day*."""
    return (instants >= day.open_ns).astype(np.intp) + (instants >= day.close_ns)


def keep_newest(
    values: NDArray[np.float64],
    times: NDArray[np.int64],
    rows: NDArray[np.intp],
    new_values: NDArray[np.float64],
    new_times: NDArray[np.int64],
) -> None:
    """Set ``values[row]`` to the value with the greatest time, of equal times the last in order; *times* follow.

    NumPy assigns repeated indices in order, so the last of the greatest stays.
    """
    np.maximum.at(times, rows, new_times)
    newest = new_times == times[rows]
    values[rows[newest]] = new_values[newest]


def apply_trades(columns: Columns, day: TradingDay, batch: TradeBatch, last_tick_ns: int, counts: EngineCounts) -> None:
    """Apply trades of *day*; rows must be real."""
    rows, instants, prices, sizes, bits = batch.rows, batch.instants, batch.prices, batch.sizes, batch.eligibility
    usable = (prices > 0) & (prices < np.inf) & (sizes > 0) & (sizes < np.inf)
    bits = np.where(usable, bits, 0).astype(np.uint8)
    sessions = session_of(instants, day)
    sessions[(sessions == POSTMARKET) & (bits & CLOSING_PRINT != 0)] = REGULAR
    price_bits = np.where(sessions == REGULAR, bits, bits >> _EXTENDED_SHIFT)
    sets_last = price_bits & LAST != 0
    sets_extremes = price_bits & HIGH_LOW != 0
    adds_volume = bits & VOLUME != 0

    changes_price = sets_last | sets_extremes
    counts.ineligible_trades += len(rows) - int(np.count_nonzero(changes_price | adds_volume))
    counts.volume_only_trades += int(np.count_nonzero(adds_volume & ~changes_price))
    counts.late_trades += int(np.count_nonzero(sets_last & (instants < columns["trade_ns"][rows])))

    _apply_extremes(columns, rows[sets_extremes], sessions[sets_extremes], prices[sets_extremes])
    _apply_last(columns, rows[sets_last], instants[sets_last], prices[sets_last], sessions[sets_last])
    add_volumes(columns, day, rows[adds_volume], instants[adds_volume], sizes[adds_volume], last_tick_ns)
    weighs = adds_volume & sets_last
    np.add.at(columns["trade_notional"], rows[weighs], prices[weighs] * sizes[weighs])
    np.add.at(columns["trade_notional_volume"], rows[weighs], sizes[weighs])


def _apply_extremes(
    columns: Columns, rows: NDArray[np.intp], sessions: NDArray[np.intp], prices: NDArray[np.float64]
) -> None:
    extremes = columns.flat("trade_extreme")
    cells = sessions * columns.capacity + rows
    np.maximum.at(extremes, cells + HIGHS * columns.capacity, prices)
    np.maximum.at(extremes, cells + LOWS * columns.capacity, -prices)


def _apply_last(
    columns: Columns,
    rows: NDArray[np.intp],
    instants: NDArray[np.int64],
    prices: NDArray[np.float64],
    sessions: NDArray[np.intp],
) -> None:
    keep_newest(columns["trade_price"], columns["trade_ns"], rows, prices, instants)
    opens = columns["trade_open_ns"]
    earlier = (sessions == REGULAR) & (instants < opens[rows])
    if earlier.any():
        rows, instants, prices = rows[earlier][::-1], instants[earlier][::-1], prices[earlier][::-1]
        np.minimum.at(opens, rows, instants)
        first = instants == opens[rows]
        columns["trade_open"][rows[first]] = prices[first]
