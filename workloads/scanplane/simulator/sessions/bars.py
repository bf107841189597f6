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

from scanplane.simulator.sessions.chance import Floats, Integers, Keys, normal, uniform
from scanplane.simulator.sessions.plan import SegmentPlan, SymbolPlan

__all__ = ["BarColumns", "make_bars"]

_SECONDS = 60
_BAR_NOISE = 0.03
_MOST_OF_A_GAP = 0.95
_FOUR_TRADES = 4

Truths = npt.NDArray[np.bool_]


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


class _Layout(Struct, frozen=True):
    """Which bars a minute has. ``local`` indexes the segment's rows, ``number`` counts a symbol's bars from 1.

    ``active`` are the segment's rows with a bar, ``first`` and ``last`` where each one's bars begin and end.
    """

    count: Integers
    local: Integers
    row: Integers
    ordinal: Integers
    number: Integers
    is_first: Truths
    is_last: Truths
    active: Integers
    first: Integers
    last: Integers
    keys: Keys
    occasion: Integers


class _DayState:
    """What runs on from bar to bar, by symbol."""

    def __init__(self, plan: SymbolPlan) -> None:
        count = len(plan.symbols)
        self.last = plan.previous.copy()
        self.volume = np.zeros(count, dtype=np.int64)
        self.value = np.zeros(count, dtype=np.int64)
        self.official_open = np.zeros(count, dtype=np.int64)


class _SegmentState:
    """What runs on from minute to minute within a segment, by the segment's rows."""

    def __init__(self, plan: SymbolPlan, segment: SegmentPlan) -> None:
        self.rows = np.flatnonzero(segment.bars > 0)
        bars = segment.bars[self.rows]
        self.bars_done = np.zeros(len(self.rows), dtype=np.int64)
        self.volume_done = np.zeros(len(self.rows), dtype=np.int64)
        self.last_second = np.full(len(self.rows), segment.first_minute * _SECONDS, dtype=np.int64)
        scale = plan.scale[self.rows]
        self.position = np.log(segment.start[self.rows] / scale)
        self.target = np.log(segment.target[self.rows] / scale)
        self.phase = uniform(plan.keys[self.rows], segment.first_minute, 20)
        minutes = segment.last_minute - segment.first_minute
        peak = np.diff(segment.activity).max() - 1 / minutes
        room = (_SECONDS - 1) / bars - 1 / minutes
        self.lean = np.clip(room / peak, 0.0, 0.5)


def make_bars(plan: SymbolPlan, segments: tuple[SegmentPlan, ...]) -> Iterator[BarColumns]:
    """Give the day's bars, a minute at a time; minutes without a bar are left out."""
    day = _DayState(plan)
    for segment in segments:
        maker = _SegmentMaker(plan, segment, day)
        for minute in range(segment.first_minute, segment.last_minute):
            bars = maker.make(minute)
            if bars is not None:
                yield bars


def _shifted(column: Integers) -> Integers:
    """Return each bar's predecessor; the first one's is itself."""
    shifted: Integers = np.concatenate((column[:1], column[:-1]))
    return shifted


class _SegmentMaker:
    """Makes the bars of one segment, minute by minute."""

    def __init__(self, plan: SymbolPlan, segment: SegmentPlan, day: _DayState) -> None:
        self._plan = plan
        self._segment = segment
        self._day = day
        self._state = _SegmentState(plan, segment)
        self._bounds_s = np.arange(segment.first_minute, segment.last_minute + 1) * float(_SECONDS)
        if segment.name == "regular":
            day.last = segment.start.copy()  # the day's official open, whatever premarket did

    def make(self, minute: int) -> BarColumns | None:
        """Return the minute's bars, or None where there are none; to be called for every minute in order."""
        count = self._count(minute)
        stepped = self._step(minute)
        if not count.any():
            self._state.position = stepped
            return None
        layout = self._lay_out(count)
        start_s = self._seconds(layout, minute)
        close = self._closes(layout, stepped)
        volume = self._volumes(layout, start_s)
        bars = self._complete(layout, minute, start_s, close, volume)
        self._state.bars_done = self._state.bars_done + count
        self._state.last_second[layout.active] = start_s[layout.last]
        self._state.position = stepped
        return bars

    def _count(self, minute: int) -> Integers:
        """Return how many bars each row has: part even, part as the volume, at most one each second."""
        segment, state = self._segment, self._state
        bars = segment.bars[state.rows]
        elapsed = minute + 1 - segment.first_minute
        even = elapsed / (segment.last_minute - segment.first_minute)
        share = (1.0 - state.lean) * even + state.lean * segment.activity[elapsed]
        done = np.floor(bars * share + state.phase).astype(np.int64)
        if minute + 1 == segment.last_minute:
            done = bars
        count: Integers = np.minimum(done, bars) - state.bars_done
        return count

    def _step(self, minute: int) -> Floats:
        """Return each row's log price at the end of *minute*."""
        segment, state = self._segment, self._state
        elapsed = minute - segment.first_minute
        now, then = segment.activity[elapsed], segment.activity[elapsed + 1]
        if then >= 1.0:
            return state.target
        share = (then - now) / (1.0 - now)
        spread = segment.volatility[state.rows] * np.sqrt((then - now) * (1.0 - then) / (1.0 - now))
        drift = (state.target - state.position) * share
        stepped: Floats = state.position + drift + spread * normal(self._plan.keys[state.rows], minute, 21)
        return stepped

    def _lay_out(self, count: Integers) -> _Layout:
        local = np.repeat(np.arange(len(count)), count)
        row = self._state.rows[local]
        ordinal = np.arange(len(local)) - (np.cumsum(count) - count)[local]
        number = self._state.bars_done[local] + ordinal + 1
        active = np.flatnonzero(count)
        first = np.flatnonzero(ordinal == 0)
        return _Layout(
            count=count,
            local=local,
            row=row,
            ordinal=ordinal,
            number=number,
            is_first=ordinal == 0,
            is_last=number == self._segment.bars[row],
            active=active,
            first=first,
            last=first + count[active] - 1,
            keys=self._plan.keys[row],
            occasion=number + 100_000 * self._segment.first_minute,
        )

    def _seconds(self, layout: _Layout, minute: int) -> Integers:
        """Return each bar's second: one somewhere in each of the equal parts that the bars cut the minute into."""
        many = layout.count[layout.local]
        bound = layout.ordinal * _SECONDS // many
        width = (layout.ordinal + 1) * _SECONDS // many - bound
        within = (uniform(layout.keys, layout.occasion, 23) * width).astype(np.int64)
        seconds: Integers = minute * _SECONDS + bound + within
        return seconds

    def _closes(self, layout: _Layout, stepped: Floats) -> Integers:
        segment, position = self._segment, self._state.position
        portion = (layout.ordinal + 1) / layout.count[layout.local]
        noise = segment.volatility[layout.row] * _BAR_NOISE * normal(layout.keys, layout.occasion, 24)
        price = position[layout.local] + (stepped - position)[layout.local] * portion + noise * (portion < 1.0)
        close = np.maximum(np.rint(np.exp(price) * self._plan.scale[layout.row]).astype(np.int64), 1)
        return np.where(layout.is_last, segment.target[layout.row], close)

    def _volumes(self, layout: _Layout, start_s: Integers) -> Integers:
        """Return each bar's volume, the difference of two cumulative ones; at least a share, and all of it at the last."""
        segment, state = self._segment, self._state
        before = np.where(layout.is_first, state.last_second[layout.local], _shifted(start_s))
        jitter = uniform(layout.keys, layout.occasion, 26) ** 2
        share = np.interp(start_s + 1 - _MOST_OF_A_GAP * jitter * (start_s - before), self._bounds_s, segment.activity)
        total = segment.volume[layout.row]
        spare = total - segment.bars[layout.row]
        end = layout.number + np.minimum((spare * share).astype(np.int64), spare)
        end = np.where(layout.is_last, total, end)
        volume = end - np.where(layout.is_first, state.volume_done[layout.local], _shifted(end))
        state.volume_done[layout.active] = end[layout.last]
        return volume

    def _complete(
        self, layout: _Layout, minute: int, start_s: Integers, close: Integers, volume: Integers
    ) -> BarColumns:
        """Add opens, extremes and the day's running figures."""
        segment, day, row = self._segment, self._day, layout.row
        single = volume < _FOUR_TRADES
        opened = np.where(layout.is_first, day.last[row], _shifted(close))
        begins = layout.number == 1 if segment.name == "premarket" else np.zeros(len(row), dtype=np.bool_)
        opened = np.where(single | begins, close, opened)
        reach = segment.volatility[row] * _BAR_NOISE * close
        above, below = (
            (-np.log(1.0 - uniform(layout.keys, layout.occasion, stream)) * reach).astype(np.int64)
            for stream in (27, 28)
        )
        high = np.where(single, close, np.maximum(opened, close) + above)
        low = np.where(single, close, np.maximum(np.minimum(opened, close) - below, 1))
        part = volume // _FOUR_TRADES
        value = np.where(single, volume * close, part * (opened + high + low) + (volume - 3 * part) * close)
        rows = row[layout.first]
        if segment.name == "regular":
            fresh = day.official_open[rows] == 0
            day.official_open[rows[fresh]] = opened[layout.first[fresh]]
        day.last[rows] = close[layout.last]
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
            trades=np.where(single, 1, _FOUR_TRADES),
            accumulated_volume=_run_on(day.volume, volume, layout),
            accumulated_value=_run_on(day.value, value, layout),
            official_open=day.official_open[row],
        )


def _run_on(totals: Integers, column: Integers, layout: _Layout) -> Integers:
    """Return the running sum of *column* by symbol, on top of *totals*, and move *totals* on."""
    rows = layout.row[layout.first]
    running = np.cumsum(column)
    base = totals[rows] - running[layout.first] + column[layout.first]
    summed: Integers = running + np.repeat(base, layout.count[layout.active])
    totals[rows] = summed[layout.last]
    return summed
