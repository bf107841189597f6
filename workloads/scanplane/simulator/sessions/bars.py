"""Second bars of a minute, made as columns: one row for each bar, ordered by symbol and second.

From minute to minute each symbol's log price takes one step of a Brownian bridge, run on the clock of the day's volume,
that ends exactly at the segment's target. Within the minute the bars' closes lead to that step with a little noise. The
k-th of a symbol's bars ends at a cumulative volume that is a monotone function of k and time, so the last one ends
exactly at the segment's volume. A bar of four shares or more consists of four trades (open, the two extremes, close), a
smaller one of a single trade; volume-weighted prices and average sizes follow from those trades.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from scanplane.simulator.sessions.chance import Floats, Integers, normal, uniform
from scanplane.simulator.sessions.plan import SegmentPlan, SymbolPlan

__all__ = ["BarColumns", "make_bars"]

_SECONDS = 60
_BAR_NOISE = 0.03


class BarColumns(Struct, frozen=True):
    """Bars of one minute. ``row`` is the symbol's index; ``start_s`` counts from 04:00; prices are in units.

    ``value`` is volume times price in units, ``accumulated_volume`` and ``accumulated_value`` cover the day so far.
    ``official_open`` is 0 before the regular session.
    """

    minute: int
    row: Integers
    start_s: Integers
    open: Integers
    high: Integers
    low: Integers
    close: Integers
    volume: Integers
    value: Integers
    trades: Integers
    accumulated_volume: Integers
    accumulated_value: Integers
    official_open: Integers


class _DayState:
    """What runs on from bar to bar, by symbol."""

    def __init__(self, plan: SymbolPlan) -> None:
        count = len(plan.symbols)
        self.last = plan.previous.copy()
        self.accumulated_volume = np.zeros(count, dtype=np.int64)
        self.accumulated_value = np.zeros(count, dtype=np.int64)
        self.official_open = np.zeros(count, dtype=np.int64)


class _SegmentState:
    """What runs on from minute to minute within a segment."""

    def __init__(self, plan: SymbolPlan, segment: SegmentPlan) -> None:
        self.rows = np.flatnonzero(segment.bars > 0)
        bars = segment.bars[self.rows]
        self.bars_done = np.zeros(len(self.rows), dtype=np.int64)
        self.volume_done = np.zeros(len(self.rows), dtype=np.int64)
        self.last_second = np.full(len(self.rows), segment.first_minute * _SECONDS, dtype=np.int64)
        scale = plan.scale[self.rows]
        self.position = np.log(segment.start[self.rows] / scale)
        self.target = np.log(segment.target[self.rows] / scale)
        minutes = segment.last_minute - segment.first_minute
        peak = np.diff(segment.activity).max() - 1 / minutes
        room = (_SECONDS - 1) / bars - 1 / minutes
        self.lean = np.clip(room / peak, 0.0, 0.5)
        self.phase = uniform(plan.keys[self.rows], segment.first_minute, 20)


def make_bars(plan: SymbolPlan, segments: tuple[SegmentPlan, ...]) -> Iterator[BarColumns]:
    """Give the day's bars, a minute at a time; minutes without a bar are left out."""
    day = _DayState(plan)
    for segment in segments:
        if segment.name == "regular":
            day.last = segment.start.copy()
        state = _SegmentState(plan, segment)
        for minute in range(segment.first_minute, segment.last_minute):
            bars = _make_minute(plan, segment, day, state, minute)
            if len(bars.row):
                yield bars


def _count_bars(segment: SegmentPlan, state: _SegmentState, minute: int) -> Integers:
    """Return how many bars each symbol has in *minute*: part even, part as the volume; at most one each second."""
    elapsed = minute + 1 - segment.first_minute
    even = elapsed / (segment.last_minute - segment.first_minute)
    share = (1.0 - state.lean) * even + state.lean * segment.activity[elapsed]
    done = np.floor(segment.bars[state.rows] * share + state.phase).astype(np.int64)
    done = np.minimum(done, segment.bars[state.rows])
    if minute + 1 == segment.last_minute:
        done = segment.bars[state.rows]
    count: Integers = np.minimum(done - state.bars_done, _SECONDS)
    return count


def _step(plan: SymbolPlan, segment: SegmentPlan, state: _SegmentState, minute: int) -> Floats:
    """Return each symbol's log price at the end of *minute*."""
    index = minute - segment.first_minute
    now, then = segment.activity[index], segment.activity[index + 1]
    if then >= 1.0:
        return state.target
    share = (then - now) / (1.0 - now)
    spread = segment.volatility[state.rows] * np.sqrt((then - now) * (1.0 - then) / (1.0 - now))
    stepped: Floats = (
        state.position
        + (state.target - state.position) * share
        + spread * normal(plan.keys[state.rows], minute, 21)
    )
    return stepped


def _make_minute(
    plan: SymbolPlan, segment: SegmentPlan, day: _DayState, state: _SegmentState, minute: int
) -> BarColumns:
    count = _count_bars(segment, state, minute)
    stepped = _step(plan, segment, state, minute)
    local = np.repeat(np.arange(len(state.rows)), count)
    firsts = np.cumsum(count) - count
    ordinal = np.arange(len(local)) - firsts[local]
    row = state.rows[local]
    number = state.bars_done[local] + ordinal + 1
    is_last = number == segment.bars[row]
    many = count[local]
    keys = plan.keys[row]
    occasion = number + 100_000 * segment.first_minute

    low_bound = ordinal * _SECONDS // many
    width = (ordinal + 1) * _SECONDS // many - low_bound
    start_s = minute * _SECONDS + low_bound + (uniform(keys, occasion, 23) * width).astype(np.int64)

    portion = (ordinal + 1) / many
    noise = segment.volatility[row] * _BAR_NOISE * normal(keys, occasion, 24) * (portion < 1.0)
    price = state.position[local] + (stepped - state.position)[local] * portion + noise
    close = np.maximum(np.rint(np.exp(price) * plan.scale[row]).astype(np.int64), 1)
    close[is_last] = segment.target[row[is_last]]

    volume_end = _cumulative_volume(segment, state, row, local, number, start_s, is_last, keys, occasion)
    is_first = ordinal == 0
    volume = volume_end - np.where(is_first, state.volume_done[local], _shifted(volume_end))
    opened = np.where(is_first, day.last[row], _shifted(close))
    if segment.name == "premarket":
        opened = np.where(number == 1, close, opened)
    return _finish_minute(
        plan, segment, day, state, minute, count, stepped, row, start_s, opened, close, volume, keys, occasion
    )


def _shifted(column: npt.NDArray[np.int64]) -> Integers:
    shifted: Integers = np.concatenate((column[:1], column[:-1]))
    return shifted


def _cumulative_volume(
    segment: SegmentPlan,
    state: _SegmentState,
    row: Integers,
    local: Integers,
    number: Integers,
    start_s: Integers,
    is_last: npt.NDArray[np.bool_],
    keys: npt.NDArray[np.uint64],
    occasion: Integers,
) -> Integers:
    """Return the segment's volume up to and with each bar: at least one share a bar, all of it at the last."""
    first = number == state.bars_done[local] + 1
    before = np.where(first, state.last_second[local], _shifted(start_s))
    jitter = uniform(keys, occasion, 26) ** 2
    seconds = start_s + 1 - 0.95 * jitter * (start_s - before)
    minutes = np.arange(segment.first_minute, segment.last_minute + 1) * float(_SECONDS)
    share = np.interp(seconds, minutes, segment.activity)
    total = segment.volume[row]
    spare = total - segment.bars[row]
    ends: Integers = number + np.minimum((spare * share).astype(np.int64), spare)
    ends[is_last] = total[is_last]
    return ends


def _finish_minute(
    plan: SymbolPlan,
    segment: SegmentPlan,
    day: _DayState,
    state: _SegmentState,
    minute: int,
    count: Integers,
    stepped: Floats,
    row: Integers,
    start_s: Integers,
    opened: Integers,
    close: Integers,
    volume: Integers,
    keys: npt.NDArray[np.uint64],
    occasion: Integers,
) -> BarColumns:
    """Add extremes and running figures, and move the states on."""
    single = volume < 4
    opened = np.where(single, close, opened)
    reach = segment.volatility[row] * _BAR_NOISE * close
    above = (-np.log(1.0 - uniform(keys, occasion, 27)) * reach).astype(np.int64)
    below = (-np.log(1.0 - uniform(keys, occasion, 28)) * reach).astype(np.int64)
    high = np.where(single, close, np.maximum(opened, close) + above)
    low = np.where(single, close, np.maximum(np.minimum(opened, close) - below, 1))
    quarter = volume // 4
    value = np.where(single, volume * close, quarter * (opened + high + low) + (volume - 3 * quarter) * close)

    active = np.flatnonzero(count)
    rows = state.rows[active]
    first_of = (np.cumsum(count) - count)[active]
    last_of = first_of + count[active] - 1
    if segment.name == "regular":
        fresh = day.official_open[rows] == 0
        day.official_open[rows[fresh]] = opened[first_of[fresh]]
    running_volume, running_value = np.cumsum(volume), np.cumsum(value)
    per_bar = np.repeat(np.arange(len(active)), count[active])
    accumulated_volume = running_volume + (
        day.accumulated_volume[rows] - running_volume[first_of] + volume[first_of]
    )[per_bar]
    accumulated_value = running_value + (day.accumulated_value[rows] - running_value[first_of] + value[first_of])[per_bar]

    day.accumulated_volume[rows] = accumulated_volume[last_of]
    day.accumulated_value[rows] = accumulated_value[last_of]
    day.last[rows] = close[last_of]
    state.bars_done = state.bars_done + count
    np.add.at(state.volume_done, active, np.add.reduceat(volume, first_of) if len(first_of) else 0)
    state.last_second[active] = start_s[last_of]
    state.position = stepped
    return BarColumns(
        minute=minute,
        row=row,
        start_s=start_s,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        value=value,
        trades=np.where(single, 1, 4),
        accumulated_volume=accumulated_volume,
        accumulated_value=accumulated_value,
        official_open=day.official_open[row],
    )
