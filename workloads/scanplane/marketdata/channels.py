"""The channels a Subscription can ask for, named as in ``Subscription.spec.channels``."""

import enum

__all__ = ["AssetClass", "Channel"]


class AssetClass(enum.StrEnum):
    """What a Market trades."""

    STOCKS = "Stocks"
    OPTIONS = "Options"
    CRYPTO = "Crypto"
    FOREX = "Forex"
    INDICES = "Indices"


class Channel(enum.StrEnum):
    """One kind of event. The value is the name in resources, routing keys and metrics."""

    TRADES = "Trades"
    QUOTES = "Quotes"
    SECOND_AGGREGATES = "SecondAggregates"
    MINUTE_AGGREGATES = "MinuteAggregates"
    LIMIT_UP_LIMIT_DOWN = "LimitUpLimitDown"
    NET_ORDER_IMBALANCE = "NetOrderImbalance"
    FAIR_MARKET_VALUE = "FairMarketValue"
    INDEX_VALUES = "IndexValues"
