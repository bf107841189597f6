"""The day's volume: what the newest bar says, and the trades that came after it.

A bar's accumulated volume is the provider's own and authoritative, but it ends with the bar; trades know what came since,
but only as far back as somebody listened. So the volume of a symbol *stands on* its newest bar, by end, and every trade
from that end on adds to it; a trade of before is in the bar already, whenever it arrives. Without a bar all trades add.

A newer bar comes some seconds after its end, when trades of those seconds were counted on top of the older bar. So the
volume of trades is also kept by the second of their exchange time, for the newest 16 seconds around the last tick, and at
the tick at which the newer bar is taken up, the volume is exactly what that bar says and what was traded from its end on.

Where that cannot be told (the bar ended long before the tick, or trades run ahead of it, or the provider gives no
accumulated volume and bars have to be summed), volume is the greater of two figures that are both no more than was really
traded: what it was, and the newer bars with the trades that are known to be later. So volume falls only by a correction, or
where the provider does not count what the trades add up to.

Bars are taken up at ticks, not when they arrive: between two ticks the order of channels is not kept.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from scanplane.engine.columns import Columns
from scanplane.engine.sessions import TradingDay
from scanplane.engine.state import RECENT_SECONDS

__all__ = ["add_volumes", "move_recent", "take_up_bars"]

Numbers = NDArray[np.float64]
Rows = NDArray[np.intp]
Instants = NDArray[np.int64]

_AFTER_TICK = 4
"""How many of the recent seconds are later than the tick's own."""
_SECOND_NS = 1_000_000_000


class _Figure(Struct, frozen=True):
    """The names of the columns of one volume: itself, the bar that it stands on, and the end of that bar."""

    volume: str
    bar: str
    bar_end: str


_DAY = _Figure("volume", "volume_bar", "volume_bar_end_ns")
_PREMARKET = _Figure("premarket_volume", "premarket_volume_bar", "premarket_volume_bar_end_ns")


def add_volumes(
    columns: Columns, day: TradingDay, rows: Rows, instants: Instants, sizes: Numbers, last_tick_ns: int
) -> None:
    """Add trades that count for volume, since the tick at *last_tick_ns*."""
    if not len(rows):
        return
    _add(columns, _DAY, rows, instants, sizes)
    early = instants < day.open_ns
    if early.any():
        _add(columns, _PREMARKET, rows[early], instants[early], sizes[early])
    _add_recent(columns, rows, instants, sizes, last_tick_ns)


def _add(columns: Columns, figure: _Figure, rows: Rows, instants: Instants, sizes: Numbers) -> None:
    if figure.bar_end in columns:  # a market without bars does not pay for them
        later = instants >= columns[figure.bar_end][rows]
        if not later.all():
            rows, sizes = rows[later], sizes[later]
    np.add.at(columns[figure.volume], rows, sizes)


def _add_recent(columns: Columns, rows: Rows, instants: Instants, sizes: Numbers, last_tick_ns: int) -> None:
    first = _first_recent(last_tick_ns)
    earliest, latest = int(instants.min()) // _SECOND_NS, int(instants.max()) // _SECOND_NS
    if first <= earliest == latest < first + RECENT_SECONDS:  # nearly every batch
        np.add.at(columns["recent_volume"][earliest % RECENT_SECONDS], rows, sizes)
        return
    seconds = instants // _SECOND_NS
    ahead = seconds >= first + RECENT_SECONDS
    if ahead.any():
        np.maximum.at(columns["unplaced_ns"], rows[ahead], instants[ahead])
    placed = (seconds >= first) & ~ahead
    if not placed.all():
        rows, seconds, sizes = rows[placed], seconds[placed], sizes[placed]
    np.add.at(columns.flat("recent_volume"), seconds % RECENT_SECONDS * columns.capacity + rows, sizes)


def _first_recent(tick_ns: int) -> int:
    """Return the oldest second that is kept at a tick."""
    return tick_ns // _SECOND_NS + _AFTER_TICK + 1 - RECENT_SECONDS


def move_recent(columns: Columns, from_tick_ns: int, to_tick_ns: int, rows: Rows | slice = slice(None)) -> None:
    """Forget the seconds of *rows* that are too old for the later tick, whose places later seconds take."""
    if "recent_volume" not in columns:
        return
    first, until = _first_recent(from_tick_ns), _first_recent(to_tick_ns)
    for second in range(first, min(until, first + RECENT_SECONDS)):
        columns["recent_volume"][second % RECENT_SECONDS][rows] = 0.0


def take_up_bars(columns: Columns, rows: Rows, day: TradingDay, tick_ns: int) -> None:
    """Let the volumes of *rows* stand on their newest bars."""
    if "accumulated_volume" not in columns and "bar_sum_volume" not in columns:
        return
    volumes, ends = columns["accumulated_volume"][rows], columns["accumulated_volume_end_key"][rows] >> 1
    is_exact = ~np.isnan(volumes)
    if "bar_sum_volume" in columns:
        volumes = np.where(is_exact, volumes, columns["bar_sum_volume"].max(axis=0)[rows])
        ends = np.where(is_exact, ends, columns["bar_end_key"][rows] >> 1)
    end_second = _first_recent(tick_ns) + RECENT_SECONDS
    taken_up = _take_up(columns, _DAY, rows, volumes, ends, is_exact, tick_ns, end_second)
    for since, total in (("notional_before", "trade_notional"), ("notional_volume_before", "trade_notional_volume")):
        if total in columns:
            columns[since][taken_up] = columns[total][taken_up]
    if "premarket_accumulated_volume" in columns:
        volumes = columns["premarket_accumulated_volume"][rows]
        ends = columns["premarket_accumulated_volume_end_key"][rows] >> 1
        _take_up(columns, _PREMARKET, rows, volumes, ends, ~np.isnan(volumes), tick_ns, day.open_ns // _SECOND_NS)


def _take_up(
    columns: Columns,
    figure: _Figure,
    rows: Rows,
    volumes: Numbers,
    ends: Instants,
    is_exact: NDArray[np.bool_],
    tick_ns: int,
    end_second: int,
) -> Rows:
    """Stand on *volumes*, which were reached at *ends*; trades from *end_second* on do not belong to the figure.

    Return those of *rows* that stood on another bar, or another version of it.
    """
    stood_on, stood_end = columns[figure.bar], columns[figure.bar_end]
    changes = (volumes > 0) & ((volumes != stood_on[rows]) | (ends != stood_end[rows]))
    rows, volumes, ends, is_exact = rows[changes], volumes[changes], ends[changes], is_exact[changes]
    if len(rows):
        least = volumes + _volume_since(columns, rows, ends, tick_ns, end_second)
        corrected = columns[figure.volume][rows] + np.minimum(volumes - stood_on[rows], 0.0)
        is_exact &= _is_recent(columns, rows, ends, tick_ns)
        columns[figure.volume][rows] = np.where(is_exact, least, np.maximum(least, corrected))
        stood_on[rows], stood_end[rows] = volumes, ends
    return rows


def _volume_since(columns: Columns, rows: Rows, ends: Instants, tick_ns: int, end_second: int) -> Numbers:
    """Return what is known to be traded from *ends* on, in whole seconds."""
    total = np.zeros(len(rows))
    if "recent_volume" not in columns:
        return total
    first = _first_recent(tick_ns)
    seconds = -(-ends // _SECOND_NS)
    for second in range(max(first, int(seconds.min())), min(first + RECENT_SECONDS, end_second)):
        total += np.where(seconds <= second, columns["recent_volume"][second % RECENT_SECONDS][rows], 0.0)
    return total


def _is_recent(columns: Columns, rows: Rows, ends: Instants, tick_ns: int) -> NDArray[np.bool_]:
    """Say where every trade from *ends* on is among the recent ones."""
    recent: NDArray[np.bool_] = (ends >= _first_recent(tick_ns) * _SECOND_NS) & (ends % _SECOND_NS == 0)
    if "unplaced_ns" in columns:
        recent &= columns["unplaced_ns"][rows] < ends
    return recent
