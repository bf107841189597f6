"""From the provider's messages to events: one function per message, each for a list of messages of that kind.

Lists rather than single messages, because one comprehension per run of a frame is twice as fast as a call per event.
What the JSON decoder could not check by its types is checked here; :class:`RefusedError` names the reason, and the
caller then goes through the messages one by one.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from scanplane.feeds.interface import RejectionReason
from scanplane.feeds.massive import messages as wire
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Bar, Event, FairValue, Imbalance, IndexValue, LimitBand, Quote, Trade

__all__ = ["CONVERSIONS", "RefusedError", "nanoseconds"]

_NAN = math.nan
_EARLIEST_NS = 631_152_000_000_000_000  # 1990-01-01
_LATEST_NS = 7_258_118_400_000_000_000  # 2200-01-01
_LATEST_MS = _LATEST_NS // 1_000_000
_LARGEST = 1e18


class RefusedError(Exception):
    """A message that cannot become an event."""

    def __init__(self, reason: RejectionReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class SymbolNames(dict[str, str]):
    """The provider's spelling of each symbol to the one that events carry; a new one is checked once.

    It gives every event of a symbol the same string object, which saves memory and makes later look-ups cheap. It is
    emptied when it holds as many as one connection can plausibly bring, so that garbage cannot fill the memory.
    """

    LIMIT = 250_000
    _VISIBLE = re.compile(r"[!-~]{1,64}")

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self._prefix = prefix

    def __missing__(self, spelling: str) -> str:
        if not self._VISIBLE.fullmatch(spelling):
            raise RefusedError(RejectionReason.BAD_SYMBOL)
        if len(self) >= self.LIMIT:
            self.clear()
        prefix = self._prefix
        name = prefix + spelling.removeprefix(prefix).replace("/", "-") if prefix else spelling
        self[spelling] = name
        return name


_TICKERS = SymbolNames()
_CRYPTO_PAIRS = SymbolNames("X:")
_CURRENCY_PAIRS = SymbolNames("C:")


def nanoseconds(time: int) -> int:
    """Return a provider's time in nanoseconds, its unit told by its magnitude.

    Above 1e17 it is nanoseconds, above 1e14 microseconds, else milliseconds. Raises RefusedError outside 1990 to 2200.
    """
    if time > 100_000_000_000_000_000:
        result = time
    elif time > 100_000_000_000_000:
        result = time * 1_000
    else:
        result = time * 1_000_000
    if not _EARLIEST_NS <= result <= _LATEST_NS:
        raise RefusedError(RejectionReason.BAD_TIMESTAMP)
    return result


def _exact(decimal: str, rounded: float) -> float:
    """Return the size that *decimal* writes out with its fractions; *rounded* where it is left empty."""
    if not decimal:
        if rounded < 0.0:
            raise RefusedError(RejectionReason.MISSING_FIELD)
        return rounded
    try:
        size = float(decimal)
    except ValueError:
        raise RefusedError(RejectionReason.WRONG_TYPE) from None
    if not math.isfinite(size):
        raise RefusedError(RejectionReason.NOT_FINITE)
    if size < 0.0:
        raise RefusedError(RejectionReason.NEGATIVE)
    if size > _LARGEST:
        raise RefusedError(RejectionReason.TOO_LARGE)
    return size


def _accumulated(message: wire.SecondBarFields) -> float:
    """Return the day's volume, ``nan`` where the asset class has none."""
    if not message.exact_accumulated_volume and message.accumulated_volume < 0.0:
        return _NAN
    return _exact(message.exact_accumulated_volume, message.accumulated_volume)


def _bar_start(start: int, end: int) -> int:
    start_ns = nanoseconds(start)
    if start_ns > nanoseconds(end):
        raise RefusedError(RejectionReason.BAD_TIMESTAMP)
    return start_ns


def _trades(messages: Sequence[wire.TradeFields]) -> list[Event]:
    return [
        Trade(
            _TICKERS[m.symbol],
            m.time * 1_000_000 if m.time < _LATEST_MS else nanoseconds(m.time),
            m.price,
            m.size if m.size >= 0.0 and not m.exact_size else _exact(m.exact_size, m.size),
            m.conditions,
            m.exchange,
            m.sequence,
        )
        for m in messages
    ]


def _quotes(messages: Sequence[wire.QuoteFields]) -> list[Event]:
    return [
        Quote(
            _TICKERS[m.symbol],
            m.time * 1_000_000 if m.time < _LATEST_MS else nanoseconds(m.time),
            m.bid_price or _NAN,
            m.bid_size if m.bid_price else 0.0,
            m.ask_price or _NAN,
            m.ask_size if m.ask_price else 0.0,
            m.sequence,
        )
        for m in messages
    ]


def _bars(messages: Sequence[wire.SecondBarFields]) -> list[Event]:
    return [
        Bar(
            _TICKERS[m.symbol],
            m.end * 1_000_000 if m.end < _LATEST_MS else nanoseconds(m.end),
            m.start * 1_000_000 if m.start <= m.end < _LATEST_MS else _bar_start(m.start, m.end),
            m.open,
            m.high,
            m.low,
            m.close,
            _exact(m.exact_volume, m.volume) if m.exact_volume else m.volume,
            m.vwap or _NAN,
            m.accumulated_volume if m.accumulated_volume >= 0.0 and not m.exact_accumulated_volume else _accumulated(m),
            m.official_open or _NAN,
            m.session_vwap or _NAN,
        )
        for m in messages
    ]


def _limit_bands(messages: Sequence[wire.LimitBandFields]) -> list[Event]:
    return [
        LimitBand(
            _TICKERS[m.symbol],
            nanoseconds(m.time),
            m.upper_price or _NAN,
            m.lower_price or _NAN,
            m.indicators,
            m.sequence,
        )
        for m in messages
    ]


def _imbalances(messages: Sequence[wire.ImbalanceFields]) -> list[Event]:
    return [
        Imbalance(
            _TICKERS[m.symbol],
            nanoseconds(m.time),
            m.auction_type,
            m.paired,
            m.imbalance,
            m.clearing_price or _NAN,
        )
        for m in messages
    ]


def _fair_values(messages: Sequence[wire.FairMarketValueMessage]) -> list[Event]:
    return [FairValue(_TICKERS[m.symbol], nanoseconds(m.time), m.value) for m in messages]


def _index_values(messages: Sequence[wire.IndexValueMessage]) -> list[Event]:
    return [IndexValue(_TICKERS[m.symbol], nanoseconds(m.time), m.value) for m in messages]


def _crypto_trades(messages: Sequence[wire.CryptoTradeFields]) -> list[Event]:
    return [
        Trade(
            _CRYPTO_PAIRS[m.symbol],
            nanoseconds(m.time),
            m.price,
            _exact("", m.size),
            m.conditions,
            m.exchange,
        )
        for m in messages
    ]


def _crypto_quotes(messages: Sequence[wire.CryptoQuoteFields]) -> list[Event]:
    return [
        Quote(
            _CRYPTO_PAIRS[m.symbol],
            nanoseconds(m.time),
            m.bid_price or _NAN,
            m.bid_size if m.bid_price else 0.0,
            m.ask_price or _NAN,
            m.ask_size if m.ask_price else 0.0,
        )
        for m in messages
    ]


def _forex_quotes(messages: Sequence[wire.ForexQuoteFields]) -> list[Event]:
    return [
        Quote(_CURRENCY_PAIRS[m.symbol], nanoseconds(m.time), m.bid_price or _NAN, 0.0, m.ask_price or _NAN, 0.0)
        for m in messages
    ]


def _crypto_bars(messages: Sequence[wire.CryptoBarFields]) -> list[Event]:
    return [_pair_bar(_CRYPTO_PAIRS[m.symbol], m, m.vwap or _NAN) for m in messages]


def _forex_bars(messages: Sequence[wire.ForexBarFields]) -> list[Event]:
    return [_pair_bar(_CURRENCY_PAIRS[m.symbol], m, _NAN) for m in messages]


def _pair_bar(symbol: str, m: wire.CryptoBarFields | wire.ForexBarFields, vwap: float) -> Bar:
    start_ns, end_ns = _bar_start(m.start, m.end), nanoseconds(m.end)
    return Bar(symbol, end_ns, start_ns, m.open, m.high, m.low, m.close, m.volume, vwap, _NAN, _NAN, _NAN)


CONVERSIONS: dict[type, tuple[Channel, Callable[[Sequence[Any]], list[Event]]]] = {
    wire.TradeFields: (Channel.TRADES, _trades),
    wire.QuoteFields: (Channel.QUOTES, _quotes),
    wire.SecondBarFields: (Channel.SECOND_AGGREGATES, _bars),
    wire.MinuteBarFields: (Channel.MINUTE_AGGREGATES, _bars),
    wire.LimitBandFields: (Channel.LIMIT_UP_LIMIT_DOWN, _limit_bands),
    wire.ImbalanceFields: (Channel.NET_ORDER_IMBALANCE, _imbalances),
    wire.FairMarketValueMessage: (Channel.FAIR_MARKET_VALUE, _fair_values),
    wire.IndexValueMessage: (Channel.INDEX_VALUES, _index_values),
    wire.CryptoTradeFields: (Channel.TRADES, _crypto_trades),
    wire.CryptoQuoteFields: (Channel.QUOTES, _crypto_quotes),
    wire.CryptoSecondBarFields: (Channel.SECOND_AGGREGATES, _crypto_bars),
    wire.CryptoMinuteBarFields: (Channel.MINUTE_AGGREGATES, _crypto_bars),
    wire.ForexQuoteFields: (Channel.QUOTES, _forex_quotes),
    wire.ForexSecondBarMessage: (Channel.SECOND_AGGREGATES, _forex_bars),
    wire.ForexMinuteBarMessage: (Channel.MINUTE_AGGREGATES, _forex_bars),
}
"""The channel of each message and what makes its events."""
