"""The provider's messages, field by field, as they stand on its wire.

Every frame to us is a JSON array that may mix these. A message has two structs where the provider sends more than we
use: the fields that are read (decoding what nobody looks at costs a third of the speed), and, derived from it, the
whole message, which the simulator encodes. Bounds stand in the types, so that the JSON decoder checks them as it reads.

Traps kept here in one place: the symbol is ``sym``, ``pair``, ``T`` or ``p`` by channel; ``a`` is the day's VWAP in
a bar, the ask in a currency quote and the auction type in an imbalance; ``XA`` and ``CA`` are minutes, ``XAS`` and
``CAS`` seconds; times are milliseconds in most channels, microseconds or nanoseconds in others.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

__all__ = [
    "MARKET_MESSAGES",
    "NOT_GIVEN",
    "Action",
    "CryptoBarFields",
    "CryptoMinuteBarFields",
    "CryptoMinuteBarMessage",
    "CryptoQuoteFields",
    "CryptoQuoteMessage",
    "CryptoSecondBarFields",
    "CryptoSecondBarMessage",
    "CryptoTradeFields",
    "CryptoTradeMessage",
    "FairMarketValueMessage",
    "ForexBarFields",
    "ForexMinuteBarMessage",
    "ForexQuoteFields",
    "ForexQuoteMessage",
    "ForexSecondBarMessage",
    "ImbalanceFields",
    "ImbalanceMessage",
    "IndexValueMessage",
    "LimitBandFields",
    "LimitBandMessage",
    "MarketMessage",
    "MinuteBarFields",
    "MinuteBarMessage",
    "QuoteFields",
    "QuoteMessage",
    "SecondBarFields",
    "SecondBarMessage",
    "StatusMessage",
    "TradeFields",
    "TradeMessage",
]

NOT_GIVEN = -1.0
"""Stands for a size that the message lacks; no message can carry it, since sizes have a lower bound of 0."""

_LARGEST = 1e18
_EARLIEST_MS = 631_152_000_000  # 1990-01-01; the smallest unit of time comes with the smallest number
_LATEST_NS = 7_258_118_400_000_000_000  # 2200-01-01; the largest
_LARGEST_INTEGER = 2**63 - 1

Symbol = Annotated[str, Meta(min_length=1, max_length=64)]
Time = Annotated[int, Meta(ge=_EARLIEST_MS, le=_LATEST_NS)]
Price = Annotated[float, Meta(gt=0.0, le=_LARGEST)]
PriceOrNone = Annotated[float, Meta(ge=0.0, le=_LARGEST)]  # 0 says that there is none
Size = Annotated[float, Meta(ge=0.0, le=_LARGEST)]
SignedSize = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
Number = Annotated[int, Meta(ge=0, le=_LARGEST_INTEGER)]
Numbers = Annotated[tuple[Number, ...], Meta(max_length=64)]
Decimal = Annotated[str, Meta(max_length=40)]
Text = Annotated[str, Meta(max_length=64)]


class TradeFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="ev", tag="T"):
    """A trade of a stock or an option contract. ``exact_size`` is a decimal text with fractions of a share."""

    symbol: Symbol = field(name="sym")
    time: Time = field(name="t")
    price: Price = field(name="p")
    size: Size = field(name="s", default=NOT_GIVEN)
    exact_size: Decimal = field(name="ds", default="")
    conditions: Numbers = field(name="c", default=())
    exchange: Number = field(name="x", default=0)
    sequence: Number = field(name="q", default=0)


class TradeMessage(TradeFields, frozen=True, kw_only=True):
    """A trade as the provider sends it."""

    trade_id: str = field(name="i", default="")
    tape: int = field(name="z", default=0)
    reporting_facility: int = field(name="trfi", default=0)
    reporting_facility_time: int = field(name="trft", default=0)


class QuoteFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="ev", tag="Q"):
    """The best bid and offer of a stock (sizes in shares; in round lots before 2025-11-03) or an option contract."""

    symbol: Symbol = field(name="sym")
    time: Time = field(name="t")
    bid_price: PriceOrNone = field(name="bp", default=0.0)
    bid_size: Size = field(name="bs", default=0.0)
    ask_price: PriceOrNone = field(name="ap", default=0.0)
    ask_size: Size = field(name="as", default=0.0)
    sequence: Number = field(name="q", default=0)


class QuoteMessage(QuoteFields, frozen=True, kw_only=True):
    """A quote as the provider sends it."""

    bid_exchange: int = field(name="bx", default=0)
    ask_exchange: int = field(name="ax", default=0)
    condition: int = field(name="c", default=0)
    indicators: tuple[int, ...] = field(name="i", default=())
    tape: int = field(name="z", default=0)


class SecondBarFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="ev", tag="A"):
    """A second of a stock, an option contract or an index (which has no volume)."""

    symbol: Symbol = field(name="sym")
    start: Time = field(name="s")
    end: Time = field(name="e")
    open: Price = field(name="o")
    high: Price = field(name="h")
    low: Price = field(name="l")
    close: Price = field(name="c")
    volume: Size = field(name="v", default=0.0)
    vwap: PriceOrNone = field(name="vw", default=0.0)
    accumulated_volume: Size = field(name="av", default=NOT_GIVEN)
    official_open: PriceOrNone = field(name="op", default=0.0)
    session_vwap: PriceOrNone = field(name="a", default=0.0)
    exact_volume: Decimal = field(name="dv", default="")
    exact_accumulated_volume: Decimal = field(name="dav", default="")


class SecondBarMessage(SecondBarFields, frozen=True, kw_only=True):
    """A second as the provider sends it."""

    average_size: float = field(name="z", default=0.0)
    otc: bool = field(name="otc", default=False)


class MinuteBarFields(SecondBarFields, frozen=True, kw_only=True, tag="AM"):
    """A minute, with the fields of a second."""


class MinuteBarMessage(MinuteBarFields, frozen=True, kw_only=True):
    """A minute as the provider sends it."""

    average_size: float = field(name="z", default=0.0)
    otc: bool = field(name="otc", default=False)


class LimitBandFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="ev", tag="LULD"):
    """Limit-up limit-down bands of a stock; the time was seen in microseconds though documented in milliseconds."""

    symbol: Symbol = field(name="T")
    time: Time = field(name="t")
    upper_price: PriceOrNone = field(name="h")
    lower_price: PriceOrNone = field(name="l")
    indicators: Numbers = field(name="i", default=())
    sequence: Number = field(name="q", default=0)


class LimitBandMessage(LimitBandFields, frozen=True, kw_only=True):
    """Bands as the provider sends them."""

    tape: int = field(name="z", default=0)


class ImbalanceFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="ev", tag="NOI"):
    """A net order imbalance of a stock: ``imbalance`` is signed; auction types are O, M, H, C, P and R."""

    symbol: Symbol = field(name="T")
    time: Time = field(name="t")
    auction_type: Text = field(name="a", default="")
    imbalance: SignedSize = field(name="o")
    paired: Size = field(name="p", default=0.0)
    clearing_price: PriceOrNone = field(name="b", default=0.0)


class ImbalanceMessage(ImbalanceFields, frozen=True, kw_only=True):
    """An imbalance as the provider sends it; ``auction_time`` is exchange local time as hhmm."""

    auction_time: int = field(name="at", default=0)
    sequence: int = field(name="i", default=0)
    exchange: int = field(name="x", default=0)


class FairMarketValueMessage(
    Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="ev", tag="FMV"
):
    """The provider's fair market value (business plans)."""

    symbol: Symbol = field(name="sym")
    time: Time = field(name="t")
    value: PriceOrNone = field(name="fmv")


class CryptoTradeFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="ev", tag="XT"):
    """A trade of a crypto pair, such as ``BTC-USD``; condition 1 is a sell, 2 a buy."""

    symbol: Symbol = field(name="pair")
    time: Time = field(name="t")
    price: Price = field(name="p")
    size: Size = field(name="s", default=NOT_GIVEN)
    conditions: Numbers = field(name="c", default=())
    exchange: Number = field(name="x", default=0)


class CryptoTradeMessage(CryptoTradeFields, frozen=True, kw_only=True):
    """A crypto trade as the provider sends it."""

    trade_id: str = field(name="i", default="")
    received: int = field(name="r", default=0)


class CryptoQuoteFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="ev", tag="XQ"):
    """The best bid and offer of a crypto pair on one exchange."""

    symbol: Symbol = field(name="pair")
    time: Time = field(name="t")
    bid_price: PriceOrNone = field(name="bp", default=0.0)
    bid_size: Size = field(name="bs", default=0.0)
    ask_price: PriceOrNone = field(name="ap", default=0.0)
    ask_size: Size = field(name="as", default=0.0)


class CryptoQuoteMessage(CryptoQuoteFields, frozen=True, kw_only=True):
    """A crypto quote as the provider sends it."""

    exchange: int = field(name="x", default=0)
    received: int = field(name="r", default=0)


class CryptoBarFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A bar of a crypto pair."""

    symbol: Symbol = field(name="pair")
    start: Time = field(name="s")
    end: Time = field(name="e")
    open: Price = field(name="o")
    high: Price = field(name="h")
    low: Price = field(name="l")
    close: Price = field(name="c")
    volume: Size = field(name="v", default=0.0)
    vwap: PriceOrNone = field(name="vw", default=0.0)


class CryptoSecondBarFields(CryptoBarFields, frozen=True, kw_only=True, tag_field="ev", tag="XAS"):
    """A second of a crypto pair."""


class CryptoMinuteBarFields(CryptoBarFields, frozen=True, kw_only=True, tag_field="ev", tag="XA"):
    """A minute of a crypto pair."""


class CryptoSecondBarMessage(CryptoSecondBarFields, frozen=True, kw_only=True):
    """A crypto second as the provider sends it."""

    average_size: float = field(name="z", default=0.0)


class CryptoMinuteBarMessage(CryptoMinuteBarFields, frozen=True, kw_only=True):
    """A crypto minute as the provider sends it."""

    average_size: float = field(name="z", default=0.0)


class ForexQuoteFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="ev", tag="C"):
    """The best bid and offer of a currency pair, written ``USD/CNH``; there are no sizes."""

    symbol: Symbol = field(name="p")
    time: Time = field(name="t")
    bid_price: PriceOrNone = field(name="b", default=0.0)
    ask_price: PriceOrNone = field(name="a", default=0.0)


class ForexQuoteMessage(ForexQuoteFields, frozen=True, kw_only=True):
    """A currency quote as the provider sends it."""

    exchange: int = field(name="x", default=0)


class ForexBarFields(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A bar of a currency pair, made of quotes; its volume counts them."""

    symbol: Symbol = field(name="pair")
    start: Time = field(name="s")
    end: Time = field(name="e")
    open: Price = field(name="o")
    high: Price = field(name="h")
    low: Price = field(name="l")
    close: Price = field(name="c")
    volume: Size = field(name="v", default=0.0)


class ForexSecondBarMessage(ForexBarFields, frozen=True, kw_only=True, tag_field="ev", tag="CAS"):
    """A second of a currency pair."""


class ForexMinuteBarMessage(ForexBarFields, frozen=True, kw_only=True, tag_field="ev", tag="CA"):
    """A minute of a currency pair."""


class IndexValueMessage(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True, tag_field="ev", tag="V"):
    """The value of an index, such as ``I:SPX``."""

    symbol: Symbol = field(name="T")
    time: Time = field(name="t")
    value: PriceOrNone = field(name="val")


class StatusMessage(Struct, frozen=True, gc=False, kw_only=True, tag_field="ev", tag="status"):
    """What the provider says of the connection itself: connected, auth_success, auth_failed, auth_timeout, success,
    error, max_connections and others.
    """

    status: str = ""
    message: str = ""


class Action(Struct, frozen=True, kw_only=True):
    """What we say to the provider: auth with a key, subscribe or unsubscribe with topics joined by commas."""

    action: str
    params: str


MarketMessage = (
    TradeFields
    | QuoteFields
    | SecondBarFields
    | MinuteBarFields
    | LimitBandFields
    | ImbalanceFields
    | FairMarketValueMessage
    | CryptoTradeFields
    | CryptoQuoteFields
    | CryptoSecondBarFields
    | CryptoMinuteBarFields
    | ForexQuoteFields
    | ForexSecondBarMessage
    | ForexMinuteBarMessage
    | IndexValueMessage
)
"""Every market-data message, as far as it is read."""

MARKET_MESSAGES: tuple[type[MarketMessage], ...] = MarketMessage.__args__
"""The same as classes."""
