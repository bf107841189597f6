"""That Feeds take no more connections than the account behind their API key allows."""

from collections.abc import Iterable, Mapping

from scanplane.marketdata.channels import AssetClass
from scanplane.plan.acceptance import Acceptance, Judgement
from scanplane.plan.inventory import Reason, key_of
from scanplane.resources.feed import Feed
from scanplane.resources.market import Market
from scanplane.resources.subscription import Subscription

__all__ = ["check_connection", "check_connections_that_run"]


def check_connection(
    subscription: Subscription, asset_class: AssetClass, feed: Feed, acceptance: Acceptance, judgement: Judgement
) -> None:
    """An account may have so many connections for an asset class, live and delayed ones together: one more evicts another."""
    others = [each for each in acceptance.subscriptions.values() if each.metadata.name != subscription.metadata.name]
    used = _used_for(asset_class, others, acceptance.markets)
    if feed.metadata.name not in used:
        _check_account(feed, asset_class, [acceptance.feeds[name] for name in used], "spec.feedRef.name", judgement)


def check_connections_that_run(feed: Feed, acceptance: Acceptance, judgement: Judgement) -> None:
    """An edit that leaves a Feed in use without a connection is refused itself, so that its last good version goes on."""
    inventory = acceptance.inventory
    subscriptions = [each for each in inventory.subscriptions if key_of(each) in inventory.last_good]
    markets = {each.metadata.name: each for each in inventory.markets}
    before = {each.metadata.name: inventory.last_good.get(key_of(each)) for each in inventory.feeds}
    feeds = {name: each for name, each in before.items() if isinstance(each, Feed)} | acceptance.feeds
    for asset_class in AssetClass:
        used = _used_for(asset_class, subscriptions, markets)
        if feed.metadata.name in used:
            others = [feeds[name] for name in used if name != feed.metadata.name and name in feeds]
            _check_account(feed, asset_class, others, "spec.massive.apiKeySecretRef", judgement)


def _used_for(
    asset_class: AssetClass, subscriptions: Iterable[Subscription], markets: Mapping[str, Market]
) -> list[str]:
    """Return the names of the Feeds that *subscriptions* bring to *markets* of an asset class."""
    return sorted(
        {
            each.spec.feed_ref.name
            for each in subscriptions
            if (market := markets.get(each.spec.market_ref.name)) is not None and market.spec.asset_class is asset_class
        }
    )


def _check_account(
    feed: Feed, asset_class: AssetClass, others: Iterable[Feed], path: str, judgement: Judgement
) -> None:
    """Check that the account of *feed* allows its connection beside those of *others* that use the same."""
    holders = [each for each in others if _share_an_account(each, feed)]
    allowed = max(each.spec.max_connections or 1 for each in (feed, *holders))
    if len(holders) < allowed:
        return
    names = ", ".join(f"'{each.metadata.name}'" for each in holders)
    held = f"Feed {names} holds the one connection" if allowed == 1 else f"Feeds {names} hold the {allowed} connections"
    judgement.refuse(
        Reason.TOO_MANY_CONNECTIONS,
        path,
        f"{held} that the account of this API key has for {asset_class}, live and delayed together: take everything from "
        f"one Feed, or write maxConnections: {allowed + 1} in a Feed if the account allows more",
    )


def _share_an_account(one: Feed, other: Feed) -> bool:
    keys = [each.spec.massive.api_key_secret_ref for each in (one, other) if each.spec.massive is not None]
    return len(keys) == 2 and keys[0] == keys[1]
