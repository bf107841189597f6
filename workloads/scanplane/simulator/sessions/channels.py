"""A small made session with every channel of one asset class, traps included: odd symbol fields, odd units of time.

For tests of decoding and routing; nothing in it is real. Each instrument's price wanders; each second brings every
channel once for every instrument, each tenth second a minute bar.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypedDict

from scanplane.feeds.massive import messages as wire
from scanplane.feeds.massive.messages import MarketMessage
from scanplane.marketdata.channels import AssetClass
from scanplane.simulator.sessions.interface import Block, ReferenceTicker

__all__ = ["INSTRUMENTS", "ChannelSession"]

INSTRUMENTS: dict[AssetClass, tuple[tuple[str, float], ...]] = {
    AssetClass.STOCKS: (("AAA", 10.0), ("BBB", 250.0), ("BRK.B", 400.0)),
    AssetClass.OPTIONS: (("O:SPY251219C00650000", 12.5), ("O:SPY251219P00600000", 3.2)),
    AssetClass.CRYPTO: (("BTC-USD", 60_000.0), ("ETH-USD", 2_500.0)),
    AssetClass.FOREX: (("EUR/USD", 1.1), ("USD/CNH", 7.2)),
    AssetClass.INDICES: (("I:SPX", 6_000.0), ("I:NDX", 21_000.0)),
}
"""Symbols as the provider's messages spell them, with a price to start from."""

_START_MS = 1_764_858_600_000  # 2025-12-04 14:30 UTC, 09:30 in New York
_MINUTE_EVERY_S = 10


class _Times(TypedDict):
    start: int
    end: int


class _Prices(TypedDict):
    open: float
    high: float
    low: float
    close: float


class _Moment:
    """One instrument at one second."""

    def __init__(self, symbol: str, price: float, at_ms: int, sequence: int) -> None:
        self.symbol = symbol
        self.price = round(price, 4)
        self.high = round(price * 1.001, 4)
        self.low = round(price * 0.999, 4)
        self.at_ms = at_ms
        self.sequence = sequence

    def times(self, seconds: int) -> _Times:
        return {"start": self.at_ms - seconds * 1000, "end": self.at_ms}

    def prices(self) -> _Prices:
        return {"open": self.price, "high": self.high, "low": self.low, "close": self.price}


_Maker = Callable[[_Moment], MarketMessage]


def _trade(now: _Moment) -> MarketMessage:
    return wire.TradeMessage(
        symbol=now.symbol,
        time=now.at_ms,
        price=now.price,
        size=100 + now.sequence,
        conditions=(14, 41),
        exchange=11,
        sequence=now.sequence,
        trade_id=str(now.sequence),
        tape=3,
    )


def _quote(now: _Moment) -> MarketMessage:
    return wire.QuoteMessage(
        symbol=now.symbol,
        time=now.at_ms,
        bid_price=now.low,
        bid_size=3,
        ask_price=now.high,
        ask_size=5,
        sequence=now.sequence,
        bid_exchange=11,
        ask_exchange=12,
        tape=3,
    )


def _second(now: _Moment) -> MarketMessage:
    return wire.SecondBarMessage(
        symbol=now.symbol,
        **now.times(1),
        **now.prices(),
        volume=100 + now.sequence,
        vwap=now.price,
        accumulated_volume=1000 * now.sequence,
        official_open=now.low,
        session_vwap=now.price,
        average_size=50,
    )


def _minute(now: _Moment) -> MarketMessage:
    return wire.MinuteBarMessage(
        symbol=now.symbol,
        **now.times(60),
        **now.prices(),
        volume=6000 + now.sequence,
        vwap=now.price,
        accumulated_volume=1000 * now.sequence,
        official_open=now.low,
        session_vwap=now.price,
        average_size=50,
    )


def _limit_band(now: _Moment) -> MarketMessage:
    return wire.LimitBandMessage(
        symbol=now.symbol,
        time=now.at_ms * 1000,  # microseconds, as seen on the wire
        upper_price=now.high,
        lower_price=now.low,
        indicators=(16,),
        sequence=now.sequence,
        tape=3,
    )


def _imbalance(now: _Moment) -> MarketMessage:
    return wire.ImbalanceMessage(
        symbol=now.symbol,
        time=now.at_ms * 1_000_000,  # nanoseconds, as in the provider's sample
        auction_type="M",
        imbalance=-480.0,
        paired=44_000.0,
        clearing_price=now.price,
        auction_time=930,
        sequence=now.sequence,
        exchange=10,
    )


def _fair_value(now: _Moment) -> MarketMessage:
    return wire.FairMarketValueMessage(symbol=now.symbol, time=now.at_ms * 1_000_000, value=now.price)


def _crypto_trade(now: _Moment) -> MarketMessage:
    return wire.CryptoTradeMessage(
        symbol=now.symbol,
        time=now.at_ms,
        price=now.price,
        size=0.125,
        conditions=(2,),
        exchange=1,
        trade_id=str(now.sequence),
        received=now.at_ms + 7,
    )


def _crypto_quote(now: _Moment) -> MarketMessage:
    return wire.CryptoQuoteMessage(
        symbol=now.symbol,
        time=now.at_ms,
        bid_price=now.low,
        bid_size=0.5,
        ask_price=now.high,
        ask_size=0.25,
        exchange=1,
        received=now.at_ms + 7,
    )


def _crypto_second(now: _Moment) -> MarketMessage:
    return wire.CryptoSecondBarMessage(
        symbol=now.symbol, **now.times(1), **now.prices(), volume=1.5, vwap=now.price, average_size=0
    )


def _crypto_minute(now: _Moment) -> MarketMessage:
    return wire.CryptoMinuteBarMessage(
        symbol=now.symbol, **now.times(60), **now.prices(), volume=90.25, vwap=now.price, average_size=0
    )


def _forex_quote(now: _Moment) -> MarketMessage:
    return wire.ForexQuoteMessage(symbol=now.symbol, time=now.at_ms, bid_price=now.low, ask_price=now.high, exchange=48)


def _forex_second(now: _Moment) -> MarketMessage:
    return wire.ForexSecondBarMessage(symbol=now.symbol, **now.times(1), **now.prices(), volume=12)


def _forex_minute(now: _Moment) -> MarketMessage:
    return wire.ForexMinuteBarMessage(symbol=now.symbol, **now.times(60), **now.prices(), volume=700)


def _index_value(now: _Moment) -> MarketMessage:
    return wire.IndexValueMessage(symbol=now.symbol, time=now.at_ms, value=now.price)


def _index_second(now: _Moment) -> MarketMessage:
    return wire.SecondBarMessage(symbol=now.symbol, **now.times(1), **now.prices(), official_open=now.low)


def _index_minute(now: _Moment) -> MarketMessage:
    return wire.MinuteBarMessage(symbol=now.symbol, **now.times(60), **now.prices(), official_open=now.low)


_EACH_SECOND: dict[AssetClass, tuple[_Maker, ...]] = {
    AssetClass.STOCKS: (_trade, _quote, _limit_band, _imbalance, _fair_value, _second),
    AssetClass.OPTIONS: (_trade, _quote, _fair_value, _second),
    AssetClass.CRYPTO: (_crypto_trade, _crypto_quote, _crypto_second),
    AssetClass.FOREX: (_forex_quote, _forex_second),
    AssetClass.INDICES: (_index_value, _index_second),
}
_EACH_MINUTE: dict[AssetClass, _Maker] = {
    AssetClass.STOCKS: _minute,
    AssetClass.OPTIONS: _minute,
    AssetClass.CRYPTO: _crypto_minute,
    AssetClass.FOREX: _forex_minute,
    AssetClass.INDICES: _index_minute,
}


class ChannelSession:
    """Some *seconds* of one asset class."""

    start_ns = _START_MS * 1_000_000

    def __init__(self, asset_class: AssetClass, *, seconds: int = 20, seed: int = 0) -> None:
        self.name = asset_class.value.lower()
        self.asset_classes = frozenset({asset_class})
        self._asset_class = asset_class
        self._seconds = seconds
        self._seed = seed

    def reference(self) -> Sequence[ReferenceTicker]:
        """The prices that the instruments start from."""
        return tuple(ReferenceTicker(symbol, price, 1_000_000.0) for symbol, price in INSTRUMENTS[self._asset_class])

    def blocks(self) -> Iterator[Block]:
        """One block for each second."""
        chance = random.Random(self._seed)  # noqa: S311  # repeatable, not secret
        prices = dict(INSTRUMENTS[self._asset_class])
        for second in range(1, self._seconds + 1):
            at_ms = _START_MS + second * 1000
            messages: list[MarketMessage] = []
            for symbol, price in prices.items():
                prices[symbol] = price * (1.0 + 0.002 * chance.gauss(0.0, 1.0))
                now = _Moment(symbol, prices[symbol], at_ms, second)
                messages.extend(make(now) for make in _EACH_SECOND[self._asset_class])
                if second % _MINUTE_EVERY_S == 0:
                    messages.append(_EACH_MINUTE[self._asset_class](now))
            yield Block([at_ms * 1_000_000] * len(messages), messages)
