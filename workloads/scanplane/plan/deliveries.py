"""Subscriptions merged: what of each Feed goes to each Market, and the delivery that they agree on."""

from collections.abc import Iterable

from msgspec import Struct

from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.massive_channels import canonical_symbol
from scanplane.plan.acceptance import Acceptance
from scanplane.resources.common import duration_ns
from scanplane.resources.market import Market
from scanplane.resources.subscription import Delivery, Subscription

__all__ = [
    "MarketDelivery",
    "clock_feed",
    "delivery_of",
    "evaluation_interval_ns",
    "merge_channels",
    "subscriptions_to",
]


class MarketDelivery(Struct, frozen=True, kw_only=True):
    """How every batch to one market travels."""

    time_to_live_ns: int
    max_bytes: int
    publisher_confirms: bool
    batch_delay_ns: int


def subscriptions_to(acceptance: Acceptance, market: str, feed: str | None = None) -> list[Subscription]:
    """Return the accepted Subscriptions to *market*, of *feed* alone if it is given, by name."""
    return [
        subscription
        for _, subscription in sorted(acceptance.subscriptions.items())
        if subscription.spec.market_ref.name == market and feed in {None, subscription.spec.feed_ref.name}
    ]


def clock_feed(acceptance: Acceptance, market: str) -> str | None:
    """Return the Feed whose event time is the market's clock: that of the first Subscription by name."""
    return next((each.spec.feed_ref.name for each in subscriptions_to(acceptance, market)), None)


def evaluation_interval_ns(market: Market) -> int:
    """Return the event time between two evaluations."""
    analyzer = market.spec.analyzer
    return duration_ns((analyzer.evaluation_interval if analyzer is not None else None) or "250ms")


def merge_channels(
    asset_class: AssetClass, subscriptions: Iterable[Subscription]
) -> dict[Channel, tuple[str, ...] | None]:
    """Return the union of what *subscriptions* take: for each channel its symbols, sorted, or None for all."""
    merged: dict[Channel, set[str]] = {}
    for subscription in subscriptions:
        for channel in subscription.spec.channels:
            symbols = (canonical_symbol(asset_class, symbol) for symbol in subscription.spec.symbols)
            merged.setdefault(channel, set()).update(symbols)
    return {
        channel: None if "*" in merged[channel] else tuple(sorted(merged[channel]))
        for channel in Channel
        if channel in merged
    }


def delivery_of(acceptance: Acceptance, market: str) -> MarketDelivery:
    """Return the delivery to *market*: what its Subscriptions say (they do not contradict each other) and the defaults."""
    merged = Delivery()
    for subscription in subscriptions_to(acceptance, market):
        said = subscription.spec.delivery or Delivery()
        merged = Delivery(
            time_to_live=merged.time_to_live or said.time_to_live,
            publisher_confirms=said.publisher_confirms
            if merged.publisher_confirms is None
            else merged.publisher_confirms,
            max_bytes=merged.max_bytes or said.max_bytes,
            batch_delay=merged.batch_delay or said.batch_delay,
        )
    return MarketDelivery(
        time_to_live_ns=duration_ns(merged.time_to_live or "30s"),
        max_bytes=merged.max_bytes or 512 * 1024 * 1024,
        publisher_confirms=merged.publisher_confirms is not False,
        batch_delay_ns=duration_ns(merged.batch_delay or "5ms"),
    )
