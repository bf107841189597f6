"""The catalogue of features: one table, from which expressions are checked, columns are made and documentation is generated.

A feature is one value per symbol at a tick. *Unknown* is a value of its own: a comparison with it is false and
``has(feature)`` asks for it. Definitions and their sources are part of the table, because a number whose definition
nobody can look up is a wrong number.
"""

import enum

from msgspec import Struct

from scanplane.marketdata.channels import Channel

__all__ = ["CATALOGUE", "CHANNELS", "Feature", "FeatureType", "Unit"]


class FeatureType(enum.StrEnum):
    """The CEL type of a feature. An event is a bool that is true at the one tick at which it happened."""

    NUMBER = "double"
    TEXT = "string"
    EVENT = "event"


class Unit(enum.StrEnum):
    """What one of it is."""

    NONE = "none"
    PRICE = "currency per share"
    PERCENT = "percent"
    SHARES = "shares"
    CURRENCY = "currency"
    TIMES = "times"
    MINUTES = "minutes"


class Feature(Struct, frozen=True, kw_only=True):
    """One row of the catalogue. ``any_of`` are the channels of which at least one must be subscribed."""

    name: str
    type: FeatureType
    unit: Unit
    definition: str
    source: str
    any_of: tuple[Channel, ...] = ()
    needs_reference: str = ""


_TRADED = (Channel.TRADES, Channel.SECOND_AGGREGATES, Channel.MINUTE_AGGREGATES)
_PRICED = (*_TRADED, Channel.INDEX_VALUES)
_QUOTED = (Channel.QUOTES,)


def _number(
    name: str,
    unit: Unit,
    definition: str,
    source: str = "common usage",
    any_of: tuple[Channel, ...] = _PRICED,
    needs_reference: str = "",
) -> Feature:
    return Feature(
        name=name,
        type=FeatureType.NUMBER,
        unit=unit,
        definition=definition,
        source=source,
        any_of=any_of,
        needs_reference=needs_reference,
    )


def _event(name: str, definition: str, source: str = "common usage", any_of: tuple[Channel, ...] = _PRICED) -> Feature:
    return Feature(
        name=name, type=FeatureType.EVENT, unit=Unit.NONE, definition=definition, source=source, any_of=any_of
    )


_FEATURES = (
    Feature(
        name="symbol", type=FeatureType.TEXT, unit=Unit.NONE, definition="The provider's ticker.", source="provider"
    ),
    Feature(
        name="session",
        type=FeatureType.TEXT,
        unit=Unit.NONE,
        definition="'premarket', 'regular', 'postmarket' or 'closed', by the market's calendar at the tick.",
        source="trading calendar",
    ),
    _number(
        "minutes_since_open",
        Unit.MINUTES,
        "Minutes from the regular session's open to the tick; negative in premarket; unknown while the market is closed.",
        "trading calendar",
        (),
    ),
    _number(
        "price",
        Unit.PRICE,
        "The last eligible trade (or index value) of the day, by exchange time; where the newest bar began after it, the "
        "close of that bar.",
        "CTA and UTP consolidated last sale",
    ),
    _number(
        "open",
        Unit.PRICE,
        "The official opening price; until it is known, the first eligible trade of the regular session, by exchange "
        "time, or the open of its first bar.",
        "Massive A.op",
    ),
    _number("high", Unit.PRICE, "Highest eligible price of the regular session.", "CTA and UTP consolidated high"),
    _number("low", Unit.PRICE, "Lowest eligible price of the regular session.", "CTA and UTP consolidated low"),
    _number(
        "previous_close",
        Unit.PRICE,
        "The previous regular session's official close, split-adjusted, from reference data.",
        "reference data",
        any_of=(),
        needs_reference="previousClose",
    ),
    _number(
        "change_percent",
        Unit.PERCENT,
        "(price - previous_close) / previous_close * 100.",
        needs_reference="previousClose",
    ),
    _number(
        "gap_percent",
        Unit.PERCENT,
        "(open - previous_close) / previous_close * 100; before the open, price stands for open.",
        "Trade-Ideas GUP",
        needs_reference="previousClose",
    ),
    _number("change_from_open_percent", Unit.PERCENT, "(price - open) / open * 100, in and after the regular session."),
    _number(
        "volume",
        Unit.SHARES,
        "Volume of the day so far, extended hours included: the provider's accumulated volume of the newest bar, and the "
        "trades that count for volume from that bar's end on; see the rule of trades and bars.",
        "Massive A.av",
        _TRADED,
    ),
    _number("dollar_volume", Unit.CURRENCY, "volume * vwap.", any_of=_TRADED),
    _number(
        "vwap",
        Unit.PRICE,
        "Volume-weighted average price of the day so far, extended hours included: the provider's of the newest bar, with "
        "the trades that came after that bar did and may set price; without one, that of the trades or of the bars, of "
        "which saw more volume.",
        "Massive A.a",
        _TRADED,
    ),
    _number("range_percent", Unit.PERCENT, "(high - low) / low * 100 of the regular session."),
    _number(
        "average_volume",
        Unit.SHARES,
        "Average daily volume, from reference data; of source Provider, the previous day's volume.",
        "reference data",
        any_of=(),
        needs_reference="averageVolume",
    ),
    _number(
        "relative_volume",
        Unit.TIMES,
        "volume / the volume usual by this time of day: the volume curve's own figure for the symbol, or average_volume * "
        "the curve's fraction. Between two points of the curve it is a line; unknown before the first point.",
        "Trade-Ideas RV, TradingView Relative Volume at Time",
        any_of=_TRADED,
        needs_reference="volumeCurve",
    ),
    _number(
        "free_float",
        Unit.SHARES,
        "Shares that can be traded, from reference data.",
        "reference data",
        any_of=(),
        needs_reference="freeFloat",
    ),
    _number("float_rotation", Unit.TIMES, "volume / free_float.", any_of=_TRADED, needs_reference="freeFloat"),
    _number("high_of_day", Unit.PRICE, "Highest eligible price of the day so far, extended hours included."),
    _number("low_of_day", Unit.PRICE, "Lowest eligible price of the day so far, extended hours included."),
    _number("premarket_high", Unit.PRICE, "Highest eligible price of the premarket session."),
    _number("premarket_low", Unit.PRICE, "Lowest eligible price of the premarket session."),
    _number(
        "premarket_volume",
        Unit.SHARES,
        "Volume of the premarket session, as volume is made; unknown as long as none was seen.",
        any_of=_TRADED,
    ),
    _number("change_1m_percent", Unit.PERCENT, "Change of price over the last minute; see the window rule."),
    _number("change_5m_percent", Unit.PERCENT, "Change of price over the last 5 minutes; see the window rule."),
    _number("change_15m_percent", Unit.PERCENT, "Change of price over the last 15 minutes; see the window rule."),
    _number("volume_1m", Unit.SHARES, "Volume over the last minute; see the window rule.", any_of=_TRADED),
    _number("volume_5m", Unit.SHARES, "Volume over the last 5 minutes; see the window rule.", any_of=_TRADED),
    _number("bid", Unit.PRICE, "The best bid of the newest quote; unknown where that has none.", any_of=_QUOTED),
    _number("ask", Unit.PRICE, "The best offer of the newest quote; unknown where that has none.", any_of=_QUOTED),
    _number(
        "spread_percent",
        Unit.PERCENT,
        "(ask - bid) / the middle of both * 100: 0 in a locked market (ask = bid), unknown in a crossed one (ask < bid).",
        any_of=_QUOTED,
    ),
    _event(
        "new_high_of_day",
        "high_of_day grew since the last tick, and was known before: the day's first price is no new high.",
        "Trade-Ideas NHP",
    ),
    _event(
        "new_low_of_day",
        "low_of_day fell since the last tick, and was known before.",
        "Trade-Ideas NLP",
    ),
    _event(
        "crossed_above_vwap",
        "price rose to more than 0.05 % above vwap, and had been more than 0.05 % below it the last time it was off by "
        "that much.",
        any_of=_TRADED,
    ),
    _event(
        "crossed_below_vwap",
        "price fell to more than 0.05 % below vwap, and had been more than 0.05 % above it the last time it was off by "
        "that much.",
        any_of=_TRADED,
    ),
)

CATALOGUE: dict[str, Feature] = {feature.name: feature for feature in _FEATURES}
"""Every feature by name, in the order of the documentation."""

CHANNELS = frozenset(channel for feature in _FEATURES for channel in feature.any_of)
"""The channels that features are made of."""
