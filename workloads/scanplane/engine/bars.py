"""Apply second and minute bars to the columns: upsert by symbol and start, never sum.

- Close, accumulated volume, session VWAP and official open are those of the bar with the greatest end that knows the
  figure; of equal ends the minute's, of one kind the later arrival. So a bar that is sent again replaces itself, minute
  and second bars of the same symbol agree instead of adding up, and it makes no difference which of both kinds arrives
  first: between two ticks a listener keeps the order of each channel, not that of channels.
- Highs and lows: see ``scanplane.engine.records``.
- What becomes of volumes beside trades: see ``scanplane.engine.volumes``.
- Where a provider gives no accumulated volume (crypto, forex), bars are summed in their latest versions, by kind; of each
  kind the newest 16 bars of a symbol can still be corrected or inserted, an older one is counted and left out.
- A bar belongs to the trading day and the session in which it starts.
"""

import numpy as np
from numpy.typing import NDArray

from scanplane.engine.columns import Columns
from scanplane.engine.counts import EngineCounts
from scanplane.engine.decoding import BarBatch
from scanplane.engine.records import apply_records
from scanplane.engine.sessions import TradingDay
from scanplane.engine.state import BAR_SUM_DEPTH, HIGHS, LOWS, PREMARKET, REGULAR
from scanplane.engine.trades import keep_newest, session_of

__all__ = ["apply_bars"]

Numbers = NDArray[np.float64]
Rows = NDArray[np.intp]
Keys = NDArray[np.int64]
"""An instant and the kind of bar, minutes after seconds."""


def apply_bars(
    columns: Columns, day: TradingDay, bars: BarBatch, kind: int, last_tick_ns: int, counts: EngineCounts
) -> None:
    """Apply bars of one *kind* that start within *day*; rows must be real."""
    sessions = session_of(bars.starts, day)
    # One provider's second and minute bars of the same start, or end, are different bars.
    start_keys, end_keys = bars.starts * 2 + kind, bars.instants * 2 + kind
    _count_repeated(columns, bars, kind, counts)
    _apply_newest(columns, bars, "bar_price", "bar_end_key", bars.closes, end_keys)
    priced = ~np.isnan(bars.closes)
    np.maximum.at(columns["bar_start_ns"], bars.rows[priced], bars.starts[priced])
    _apply_newest(columns, bars, "session_vwap", "session_vwap_end_key", bars.session_vwaps, end_keys)
    # Before the open a provider repeats yesterday's official open, or none.
    opened = np.where(sessions >= REGULAR, bars.official_opens, np.nan)
    _apply_newest(columns, bars, "official_open", "official_open_end_key", opened, end_keys)
    _apply_open(columns, bars, sessions, start_keys)
    _apply_accumulated(columns, bars, sessions, end_keys, last_tick_ns)
    for side, values in ((HIGHS, bars.highs), (LOWS, -bars.lows)):
        known = ~np.isnan(values)
        cells = (sessions + side) * columns.capacity + bars.rows
        apply_records(columns, cells[known], start_keys[known], values[known])
    _apply_sums(columns, bars, kind, counts)


def _apply_newest(columns: Columns, bars: BarBatch, value: str, key: str, figures: Numbers, end_keys: Keys) -> None:
    known = ~np.isnan(figures)
    if known.any():
        keep_newest(columns[value], columns[key], bars.rows[known], figures[known], end_keys[known])


def _apply_open(columns: Columns, bars: BarBatch, sessions: Rows, start_keys: Keys) -> None:
    earliest = columns["bar_open_start_key"]
    chosen = (sessions == REGULAR) & (start_keys <= earliest[bars.rows]) & ~np.isnan(bars.opens)
    if chosen.any():
        rows, opens, keys = bars.rows[chosen], bars.opens[chosen], start_keys[chosen]
        np.minimum.at(earliest, rows, keys)
        first = keys == earliest[rows]
        columns["bar_open"][rows[first]] = opens[first]


def _apply_accumulated(columns: Columns, bars: BarBatch, sessions: Rows, end_keys: Keys, last_tick_ns: int) -> None:
    known = ~np.isnan(bars.accumulated_volumes)
    if not known.any():
        return
    rows, volumes, keys = bars.rows[known], bars.accumulated_volumes[known], end_keys[known]
    _begin_windows(columns, rows, volumes - np.nan_to_num(bars.volumes[known]), last_tick_ns)
    keep_newest(columns["accumulated_volume"], columns["accumulated_volume_end_key"], rows, volumes, keys)
    early = sessions[known] == PREMARKET
    if early.any():
        keep_newest(
            columns["premarket_accumulated_volume"],
            columns["premarket_accumulated_volume_end_key"],
            rows[early],
            volumes[early],
            keys[early],
        )


def _begin_windows(columns: Columns, rows: Rows, before: Numbers, last_tick_ns: int) -> None:
    """Remember the volume *before* a symbol's first bars: the least of those that come before the next tick."""
    befores, since = columns["volume_before"], columns["volume_since_ns"]
    first_seen = rows[np.isnan(columns["accumulated_volume"][rows])]
    befores[first_seen], since[first_seen] = np.inf, last_tick_ns
    begins = since[rows] == last_tick_ns
    if begins.any():
        np.minimum.at(befores, rows[begins], np.maximum(before[begins], 0.0))


def _apply_sums(columns: Columns, bars: BarBatch, kind: int, counts: EngineCounts) -> None:
    summed = np.isnan(bars.accumulated_volumes) & ~np.isnan(bars.volumes)
    if not summed.any():
        return
    volume, notional = columns["bar_sum_volume"][kind], columns["bar_sum_notional"][kind]
    planes = slice(kind * BAR_SUM_DEPTH, (kind + 1) * BAR_SUM_DEPTH)
    starts = columns["bar_sum_starts"][planes]
    volumes, notionals = columns["bar_sum_volumes"][planes], columns["bar_sum_notionals"][planes]
    for index in np.flatnonzero(summed).tolist():
        row, start = int(bars.rows[index]), int(bars.starts[index])
        same = np.flatnonzero(starts[:, row] == start)
        place = int(same[0]) if len(same) else int(starts[:, row].argmin())
        if not len(same):
            if start < starts[place, row]:
                counts.dropped_bar_volumes += 1
                continue
            # The oldest bar leaves: what it added stays in the sum.
            starts[place, row], volumes[place, row], notionals[place, row] = start, 0.0, 0.0
        added = float(bars.volumes[index])
        weighed = added * float(bars.vwaps[index] if bars.vwaps[index] > 0 else bars.closes[index])
        weighed = weighed if weighed > 0 else 0.0
        volume[row] += added - volumes[place, row]
        notional[row] += weighed - notionals[place, row]
        volumes[place, row], notionals[place, row] = added, weighed


def _count_repeated(columns: Columns, bars: BarBatch, kind: int, counts: EngineCounts) -> None:
    newest = columns["newest_start_ns"][kind]
    fresh = bars.starts > newest[bars.rows]
    rows, starts = bars.rows[fresh], bars.starts[fresh]
    order = np.lexsort((starts, rows))
    rows, starts = rows[order], starts[order]
    again = (rows[1:] == rows[:-1]) & (starts[1:] == starts[:-1])
    counts.repeated_bars += int(np.count_nonzero(~fresh)) + int(np.count_nonzero(again))
    np.maximum.at(newest, bars.rows, bars.starts)
