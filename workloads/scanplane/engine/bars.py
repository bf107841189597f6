"""Apply second and minute bars to the columns: upsert by symbol and start, never sum.

- Close, accumulated volume, session VWAP and official open are those of the bar with the greatest end that knows the
  figure; of equal ends the later arrival. So a bar that is sent again replaces itself, and minute and second bars of
  the same symbol agree instead of adding up.
- Highs and lows: see ``scanplane.engine.records``.
- Where a provider gives no accumulated volume (crypto, forex), volume is the sum of the latest versions of the bars,
  by kind; of each kind the newest 16 bars of a symbol can still be corrected or inserted, an older one is counted and
  left out.
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


def apply_bars(
    columns: Columns, day: TradingDay, bars: BarBatch, kind: int, last_tick_ns: int, counts: EngineCounts
) -> None:
    """Apply bars of one *kind* that start within *day*; rows must be real."""
    sessions = session_of(bars.starts, day)
    _count_repeated(columns, bars, kind, counts)
    _apply_newest(columns, bars, "bar_price", "bar_ns", bars.closes)
    _apply_newest(columns, bars, "session_vwap", "session_vwap_ns", bars.session_vwaps)
    # Before the open a provider repeats yesterday's official open, or none.
    opened = np.where(sessions >= REGULAR, bars.official_opens, np.nan)
    _apply_newest(columns, bars, "official_open", "official_open_ns", opened)
    _apply_open(columns, bars, sessions)
    _apply_accumulated(columns, bars, sessions, last_tick_ns)
    # One provider's second and minute bars of the same start are different bars.
    keys = bars.starts * 2 + kind
    for side, values in ((HIGHS, bars.highs), (LOWS, -bars.lows)):
        known = ~np.isnan(values)
        cells = (sessions + side) * columns.capacity + bars.rows
        apply_records(columns, cells[known], keys[known], values[known])
    _apply_sums(columns, bars, kind, counts)


def _apply_newest(columns: Columns, bars: BarBatch, value: str, time: str, figures: Numbers) -> None:
    known = ~np.isnan(figures)
    if known.any():
        keep_newest(columns[value], columns[time], bars.rows[known], figures[known], bars.instants[known])


def _apply_open(columns: Columns, bars: BarBatch, sessions: NDArray[np.intp]) -> None:
    starts = columns["bar_open_ns"]
    chosen = (sessions == REGULAR) & (bars.starts <= starts[bars.rows]) & ~np.isnan(bars.opens)
    if chosen.any():
        rows, opens, begun = bars.rows[chosen], bars.opens[chosen], bars.starts[chosen]
        np.minimum.at(starts, rows, begun)
        first = begun == starts[rows]
        columns["bar_open"][rows[first]] = opens[first]


def _apply_accumulated(columns: Columns, bars: BarBatch, sessions: NDArray[np.intp], last_tick_ns: int) -> None:
    known = ~np.isnan(bars.accumulated_volumes)
    if not known.any():
        return
    rows, volumes = bars.rows[known], bars.accumulated_volumes[known]
    first_seen = np.isnan(columns["accumulated_volume"][rows])
    if first_seen.any():
        # Reversed, so that of several the first in order stays.
        begins = rows[first_seen][::-1]
        before = volumes[first_seen] - np.nan_to_num(bars.volumes[known][first_seen])
        columns["volume_before"][begins] = np.maximum(before, 0.0)[::-1]
        columns["volume_since_ns"][begins] = last_tick_ns
    keep_newest(columns["accumulated_volume"], columns["accumulated_volume_ns"], rows, volumes, bars.instants[known])
    early = sessions[known] == PREMARKET
    if early.any():
        keep_newest(
            columns["premarket_accumulated_volume"],
            columns["premarket_accumulated_volume_ns"],
            rows[early],
            volumes[early],
            bars.instants[known][early],
        )


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
    pairs = np.stack((bars.rows[fresh], bars.starts[fresh]))
    counts.repeated_bars += len(fresh) - np.unique(pairs, axis=1).shape[1]
    np.maximum.at(newest, bars.rows, bars.starts)
