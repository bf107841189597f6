"""The whole US stock market on 2014-03-26: about 7,000 symbols from one real close to the next.

Real: every symbol's previous close, close and volume (the sample data of QuantConnect's LEAN engine). Made: the way from
one to the other. At the end of the session each symbol's price and volume are the real ones exactly, so any SQL query
over the daily files checks a board.

The path is one; second bars, minute bars and trades are views of it that agree with each other. A bar is delivered when
its time is over, a trade when it happens.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import repeat
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from scanplane.feeds.massive.messages import MarketMessage, MinuteBarMessage, SecondBarMessage, TradeMessage
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.simulator.sessions.bars import BarColumns, make_bars
from scanplane.simulator.sessions.chance import Floats, Integers
from scanplane.simulator.sessions.daily import read_market_day, read_reference
from scanplane.simulator.sessions.files import DATA_DIRECTORY
from scanplane.simulator.sessions.interface import Block, ReferenceTicker
from scanplane.simulator.sessions.plan import SymbolPlan, plan_segments, plan_symbols
from scanplane.simulator.sessions.profile import minute_profile, read_curve

__all__ = ["DEFAULT_EVENTS", "MARKET_DAY", "MarketSession"]

DEFAULT_EVENTS = 3_000_000
MARKET_DAY = datetime(2014, 3, 26, 4, tzinfo=ZoneInfo("America/New_York"))

_START_MS = int(MARKET_DAY.timestamp() * 1000)
_BLOCK = 2000
_TRADE_OFFSETS_MS = (100, 350, 600, 900)
_FORM_T = (12,)
_REGULAR_MINUTES = range(330, 720)


class _Columns:
    """Turns integer columns into the numbers of messages."""

    def __init__(self, plan: SymbolPlan) -> None:
        self._symbols = np.array(plan.symbols, dtype=object)
        self._scale = plan.scale.astype(np.float64)

    def symbols(self, row: Integers) -> list[str]:
        return self._symbols[row].tolist()  # type: ignore[no-any-return]  # an object array of str

    def prices(self, row: Integers, units: Integers) -> list[float]:
        return (units / self._scale[row]).tolist()  # type: ignore[no-any-return]  # NumPy's stubs give Any

    def averages(self, row: Integers, value: Integers, volume: Integers) -> list[float]:
        average: Floats = np.round(value / volume / self._scale[row], 4)
        return average.tolist()  # type: ignore[no-any-return]  # NumPy's stubs give Any


class MarketSession:
    """The day as second bars, and on request as minute bars and trades too. *events* counts second bars."""

    name = "market"
    asset_classes = frozenset({AssetClass.STOCKS})
    start_ns = _START_MS * 1_000_000

    def __init__(
        self,
        data: Path = DATA_DIRECTORY,
        *,
        events: int = DEFAULT_EVENTS,
        channels: Iterable[Channel] = (Channel.SECOND_AGGREGATES,),
        seed: int = 0,
    ) -> None:
        self._data = data
        self._events = events
        self._channels = frozenset(channels)
        self._seed = seed

    def reference(self) -> Sequence[ReferenceTicker]:
        """Split-adjusted closes and volumes of 2014-03-25. Raises SessionFileError."""
        known = read_reference(self._data)
        return tuple(
            ReferenceTicker(symbol, float(close), float(volume))
            for symbol, close, volume in zip(known.symbols, known.previous_close, known.previous_volume, strict=True)
            if close > 0
        )

    def blocks(self) -> Iterator[Block]:
        """The day from 04:00 to 20:00 New York. Raises SessionFileError."""
        plan = plan_symbols(read_market_day(self._data), self._events, self._seed)
        segments = plan_segments(plan, minute_profile(read_curve(self._data)))
        columns = _Columns(plan)
        for bars in make_bars(plan, segments):
            if self._channels == {Channel.SECOND_AGGREGATES}:
                yield from _second_blocks(columns, bars)
            else:
                yield from self._mixed_blocks(columns, bars)

    def _mixed_blocks(self, columns: _Columns, bars: BarColumns) -> Iterator[Block]:
        timed: list[tuple[int, MarketMessage]] = []
        if Channel.TRADES in self._channels:
            timed.extend(_trades(columns, bars))
        if Channel.SECOND_AGGREGATES in self._channels:
            for block in _second_blocks(columns, bars):
                timed.extend(zip(block.times_ns, block.messages, strict=True))
        if Channel.MINUTE_AGGREGATES in self._channels:
            timed.extend(_minutes(columns, bars))
        timed.sort(key=lambda pair: pair[0])
        for first in range(0, len(timed), _BLOCK):
            part = timed[first : first + _BLOCK]
            yield Block([time_ns for time_ns, _ in part], [message for _, message in part])


def _second_blocks(columns: _Columns, bars: BarColumns) -> Iterator[Block]:
    """Give the second bars of a minute, by second and symbol, in blocks of a bounded size."""
    order = np.argsort(bars.start_s - bars.minute * 60, kind="stable")
    for first in range(0, len(order), _BLOCK):
        chosen = order[first : first + _BLOCK]
        row, volume = bars.row[chosen], bars.volume[chosen]
        start_ms = bars.start_s[chosen] * 1000 + _START_MS
        messages = [
            SecondBarMessage(
                symbol=symbol,
                start=start,
                end=start + 1000,
                open=opened,
                high=high,
                low=low,
                close=close,
                volume=shares,
                vwap=vwap,
                accumulated_volume=accumulated,
                official_open=official,
                session_vwap=session_vwap,
                average_size=average,
            )
            for (
                symbol, start, opened, high, low, close, shares, vwap, accumulated, official, session_vwap, average,
            ) in zip(
                columns.symbols(row),
                start_ms.tolist(),
                columns.prices(row, bars.open[chosen]),
                columns.prices(row, bars.high[chosen]),
                columns.prices(row, bars.low[chosen]),
                columns.prices(row, bars.close[chosen]),
                volume.tolist(),
                columns.averages(row, bars.value[chosen], volume),
                bars.accumulated_volume[chosen].tolist(),
                columns.prices(row, bars.official_open[chosen]),
                columns.averages(row, bars.accumulated_value[chosen], bars.accumulated_volume[chosen]),
                (volume // bars.trades[chosen]).tolist(),
                strict=True,
            )
        ]  # fmt: skip
        yield Block(((start_ms + 1000) * 1_000_000).tolist(), messages)


def _minutes(columns: _Columns, bars: BarColumns) -> Iterator[tuple[int, MarketMessage]]:
    """Give one bar for each symbol that traded in the minute."""
    first = np.flatnonzero(np.diff(bars.row, prepend=-1))
    last = np.append(first[1:], len(bars.row)) - 1
    row = bars.row[first]
    volume, value = np.add.reduceat(bars.volume, first), np.add.reduceat(bars.value, first)
    start_ms = bars.minute * 60_000 + _START_MS
    end_ms = start_ms + 60_000
    for symbol, opened, high, low, close, shares, vwap, accumulated, official, session_vwap, average in zip(
        columns.symbols(row),
        columns.prices(row, bars.open[first]),
        columns.prices(row, np.maximum.reduceat(bars.high, first)),
        columns.prices(row, np.minimum.reduceat(bars.low, first)),
        columns.prices(row, bars.close[last]),
        volume.tolist(),
        columns.averages(row, value, volume),
        bars.accumulated_volume[last].tolist(),
        columns.prices(row, bars.official_open[last]),
        columns.averages(row, bars.accumulated_value[last], bars.accumulated_volume[last]),
        (volume // np.add.reduceat(bars.trades, first)).tolist(),
        strict=True,
    ):
        yield (
            end_ms * 1_000_000,
            MinuteBarMessage(
                symbol=symbol,
                start=start_ms,
                end=end_ms,
                open=opened,
                high=high,
                low=low,
                close=close,
                volume=shares,
                vwap=vwap,
                accumulated_volume=accumulated,
                official_open=official,
                session_vwap=session_vwap,
                average_size=average,
            ),
        )


def _trades(columns: _Columns, bars: BarColumns) -> Iterator[tuple[int, MarketMessage]]:
    """Give the one or four trades that each bar consists of: open, the extremes, close."""
    conditions = () if bars.minute in _REGULAR_MINUTES else _FORM_T
    row = bars.row
    rising = bars.close >= bars.open
    second, third = np.where(rising, bars.low, bars.high), np.where(rising, bars.high, bars.low)
    quarter = bars.volume // 4
    for symbol, start, single, opened, first, other, close, shares, part in zip(
        columns.symbols(row),
        (bars.start_s * 1000 + _START_MS).tolist(),
        (bars.trades == 1).tolist(),
        columns.prices(row, bars.open),
        columns.prices(row, second),
        columns.prices(row, third),
        columns.prices(row, bars.close),
        bars.volume.tolist(),
        quarter.tolist(),
        strict=True,
    ):
        prints = (
            ((close, shares),) if single else ((opened, part), (first, part), (other, part), (close, shares - 3 * part))
        )
        for offset, (price, size), exchange in zip(_TRADE_OFFSETS_MS, prints, repeat(4)):
            at_ms = start + offset
            yield (
                at_ms * 1_000_000,
                TradeMessage(
                    symbol=symbol, time=at_ms, price=price, size=size, conditions=conditions, exchange=exchange
                ),
            )
