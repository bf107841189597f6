"""What Massive (formerly Polygon) offers: its hosts, and which channel exists for which asset class under which topic prefix.

A table, not a client: the planner asks it what can be subscribed, the feed asks it what to write on the wire.
What an account is *entitled* to is not known here; an unentitled topic is simply never acknowledged.
Source: the provider's WebSocket documentation and its official client (``massive`` 2.9).
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from scanplane.marketdata.channels import AssetClass, Channel

__all__ = [
    "DELAY_MINUTES",
    "FEED_HOSTS",
    "MASSIVE_REST_ENDPOINT",
    "TOPIC_PREFIXES",
    "canonical_symbol",
    "delay_of",
    "endpoint_at",
    "endpoint_of",
    "symbol_limit",
    "topic_of",
    "unsupported_channels",
]

MASSIVE_REST_ENDPOINT = "https://api.massive.com"

DELAY_MINUTES = 15
"""How old data of the delayed feeds is."""

FEED_HOSTS: Mapping[str, str] = MappingProxyType(
    {
        "Delayed": "delayed.massive.com",
        "RealTime": "socket.massive.com",
        "Nasdaq": "nasdaqfeed.massive.com",
        "Poly": "polyfeed.massive.com",
        "PolyPlus": "polyfeedplus.massive.com",
        "Starter": "starterfeed.massive.com",
        "Launchpad": "launchpad.massive.com",
        "Business": "business.massive.com",
        "EdgxBusiness": "edgx-business.massive.com",
        "IexBusiness": "iex-business.massive.com",
        "DelayedBusiness": "delayed-business.massive.com",
        "DelayedEdgxBusiness": "delayed-edgx-business.massive.com",
        "DelayedNasdaqLastSaleBusiness": "delayed-nasdaq-last-sale-business.massive.com",
        "DelayedNasdaqBasicBusiness": "delayed-nasdaq-basic-business.massive.com",
        "DelayedFullMarketBusiness": "delayed-fullmarket-business.massive.com",
        "FullMarketBusiness": "fullmarket-business.massive.com",
        "NasdaqLastSaleBusiness": "nasdaq-last-sale-business.massive.com",
        "NasdaqBasicBusiness": "nasdaq-basic-business.massive.com",
    }
)
"""The host of each feed, by its name in ``Feed.spec.massive.feed``."""

_MARKET_PATHS: dict[AssetClass, str] = {
    AssetClass.STOCKS: "stocks",
    AssetClass.OPTIONS: "options",
    AssetClass.CRYPTO: "crypto",
    AssetClass.FOREX: "forex",
    AssetClass.INDICES: "indices",
}

TOPIC_PREFIXES: Mapping[AssetClass, Mapping[Channel, str]] = MappingProxyType(
    {
        AssetClass.STOCKS: MappingProxyType(
            {
                Channel.TRADES: "T",
                Channel.QUOTES: "Q",
                Channel.SECOND_AGGREGATES: "A",
                Channel.MINUTE_AGGREGATES: "AM",
                Channel.LIMIT_UP_LIMIT_DOWN: "LULD",
                Channel.NET_ORDER_IMBALANCE: "NOI",
                Channel.FAIR_MARKET_VALUE: "FMV",
            }
        ),
        AssetClass.OPTIONS: MappingProxyType(
            {
                Channel.TRADES: "T",
                Channel.QUOTES: "Q",
                Channel.SECOND_AGGREGATES: "A",
                Channel.MINUTE_AGGREGATES: "AM",
                Channel.FAIR_MARKET_VALUE: "FMV",
            }
        ),
        AssetClass.CRYPTO: MappingProxyType(
            {
                Channel.TRADES: "XT",
                Channel.QUOTES: "XQ",
                Channel.SECOND_AGGREGATES: "XAS",
                Channel.MINUTE_AGGREGATES: "XA",
                Channel.FAIR_MARKET_VALUE: "FMV",
            }
        ),
        AssetClass.FOREX: MappingProxyType(
            {
                Channel.QUOTES: "C",
                Channel.SECOND_AGGREGATES: "CAS",
                Channel.MINUTE_AGGREGATES: "CA",
                Channel.FAIR_MARKET_VALUE: "FMV",
            }
        ),
        AssetClass.INDICES: MappingProxyType(
            {
                Channel.SECOND_AGGREGATES: "A",
                Channel.MINUTE_AGGREGATES: "AM",
                Channel.INDEX_VALUES: "V",
            }
        ),
    }
)
"""Topic prefix of every channel that exists. In crypto and forex the bare name is the minute and ``S`` the second."""

_DELAYED_CHANNELS = frozenset(
    {Channel.TRADES, Channel.SECOND_AGGREGATES, Channel.MINUTE_AGGREGATES, Channel.FAIR_MARKET_VALUE}
)
_NEVER_DELAYED = frozenset({AssetClass.CRYPTO, AssetClass.FOREX})
_OPTION_QUOTE_CONTRACTS = 1000
_PAIR_PREFIXES: dict[AssetClass, str] = {AssetClass.CRYPTO: "X:", AssetClass.FOREX: "C:"}


def endpoint_at(base: str, asset_class: AssetClass) -> str:
    """Return the complete URL of a market at *base*, a WebSocket URL without the market's name."""
    return f"{base.rstrip('/')}/{_MARKET_PATHS[asset_class]}"


def endpoint_of(feed: str, asset_class: AssetClass) -> str:
    """Return the complete URL of a market at one of Massive's own feeds, such as ``wss://socket.massive.com/stocks``.

    *feed* is a name of :data:`FEED_HOSTS`. Raises KeyError for any other.
    """
    return endpoint_at(f"wss://{FEED_HOSTS[feed]}", asset_class)


def delay_of(feed: str | None) -> int:
    """Return by how many minutes a feed's data is delayed; 0 for a live one and for an endpoint of one's own (None)."""
    return DELAY_MINUTES if feed is not None and feed.startswith("Delayed") else 0


def unsupported_channels(
    asset_class: AssetClass, channels: Iterable[Channel], *, delayed: bool = False
) -> dict[Channel, str]:
    """Return those of *channels* that the provider does not have, each with one line that says why and what there is.

    *delayed* is whether the feed is one of the delayed ones, which carry fewer channels and asset classes.
    """
    offered = TOPIC_PREFIXES[asset_class]
    if delayed:
        offered = {} if asset_class in _NEVER_DELAYED else {c: p for c, p in offered.items() if c in _DELAYED_CHANNELS}
    where = "the delayed feed" if delayed else "Massive"
    instead = f"use {', '.join(sorted(offered))}" if offered else "use feed RealTime"
    return {
        channel: f"{where} has no {channel} for asset class {asset_class}; {instead}"
        for channel in channels
        if channel not in offered
    }


def symbol_limit(asset_class: AssetClass, channel: Channel) -> int | None:
    """Return how many symbols one connection may ask for in a channel; None for no limit, and then ``*`` is possible."""
    if asset_class is AssetClass.OPTIONS and channel is Channel.QUOTES:
        return _OPTION_QUOTE_CONTRACTS
    return None


def canonical_symbol(asset_class: AssetClass, symbol: str) -> str:
    """Return *symbol* as events carry it.

    Currency pairs are the one case with several spellings: ``BTC-USD`` and ``X:BTC-USD`` are ``X:BTC-USD``,
    ``USD/CNH``, ``USD-CNH`` and ``C:USD-CNH`` are ``C:USD-CNH``. Everything else, and ``*``, stays as it is.
    """
    prefix = _PAIR_PREFIXES.get(asset_class)
    if prefix is None or symbol == "*":
        return symbol
    return prefix + symbol.removeprefix(prefix).replace("/", "-")


def topic_of(asset_class: AssetClass, channel: Channel, symbol: str) -> str:
    """Return the topic to subscribe to for *symbol* (``*`` for all) of *channel*, such as ``A.*`` or ``XT.BTC-USD``.

    Raises KeyError where the provider has no such channel (see :func:`unsupported_channels`).
    """
    name = canonical_symbol(asset_class, symbol).removeprefix(_PAIR_PREFIXES.get(asset_class, ""))
    return f"{TOPIC_PREFIXES[asset_class][channel]}.{name}"
