"""Market-data events: one immutable struct per channel.

Conventions, the same for every struct
- ``symbol`` is the provider's own ticker (``AAPL``, ``O:SPY251219C00650000``, ``X:BTC-USD``).
- ``exchange_ns`` is when it happened, in integer nanoseconds UTC since the epoch. For a bar it is the end of the bar.
- Prices are in the quote currency, sizes and volumes in shares, contracts or coins.
- ``nan`` says that the provider did not give a price; no event ever carries an infinite or a negative number.
- When it was received belongs to the batch (:class:`scanplane.marketdata.batches.BatchHeader`), not to each event.

On Scanplane's own wires an event is an array in field order (``array_like``), so a field may only be appended.
"""

from msgspec import Struct

from scanplane.marketdata.channels import Channel

__all__ = [
    "Bar",
    "Event",
    "FairValue",
    "Imbalance",
    "IndexValue",
    "LimitBand",
    "Quote",
    "Trade",
    "event_type_of",
]


class Trade(Struct, frozen=True, array_like=True, gc=False):
    """One print on the tape."""

    symbol: str
    exchange_ns: int
    price: float
    size: float
    conditions: tuple[int, ...] = ()
    exchange: int = 0
    sequence: int = 0


class Quote(Struct, frozen=True, array_like=True, gc=False):
    """The best bid and offer. A side that the provider left out has price ``nan`` and size 0."""

    symbol: str
    exchange_ns: int
    bid_price: float
    bid_size: float
    ask_price: float
    ask_size: float
    sequence: int = 0


class Bar(Struct, frozen=True, array_like=True, gc=False):
    """An aggregate of one second or one minute; a later one of the same start corrects the earlier.

    ``accumulated_volume``, ``official_open`` and ``session_vwap`` cover the day so far and are the
    provider's own and authoritative figures (``nan`` where the asset class has none).
    """

    symbol: str
    exchange_ns: int
    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    accumulated_volume: float
    official_open: float
    session_vwap: float


class LimitBand(Struct, frozen=True, array_like=True, gc=False):
    """Limit-up limit-down price bands, in dollars."""

    symbol: str
    exchange_ns: int
    upper_price: float
    lower_price: float
    indicators: tuple[int, ...] = ()
    sequence: int = 0


class Imbalance(Struct, frozen=True, array_like=True, gc=False):
    """A net order imbalance before an auction; ``imbalance`` is signed, in shares."""

    symbol: str
    exchange_ns: int
    auction_type: str
    paired: float
    imbalance: float
    clearing_price: float


class FairValue(Struct, frozen=True, array_like=True, gc=False):
    """The provider's fair market value."""

    symbol: str
    exchange_ns: int
    value: float


class IndexValue(Struct, frozen=True, array_like=True, gc=False):
    """The value of an index."""

    symbol: str
    exchange_ns: int
    value: float


Event = Trade | Quote | Bar | LimitBand | Imbalance | FairValue | IndexValue

_EVENT_TYPES: dict[Channel, type[Event]] = {
    Channel.TRADES: Trade,
    Channel.QUOTES: Quote,
    Channel.SECOND_AGGREGATES: Bar,
    Channel.MINUTE_AGGREGATES: Bar,
    Channel.LIMIT_UP_LIMIT_DOWN: LimitBand,
    Channel.NET_ORDER_IMBALANCE: Imbalance,
    Channel.FAIR_MARKET_VALUE: FairValue,
    Channel.INDEX_VALUES: IndexValue,
}


def event_type_of(channel: Channel) -> type[Event]:
    """Return the struct that *channel* carries."""
    return _EVENT_TYPES[channel]
