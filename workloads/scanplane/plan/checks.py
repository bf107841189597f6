"""What makes a DataPlane, Feed, Market or Subscription acceptable; connections and Scanners have modules of their own."""

import re
from collections.abc import Iterable, Mapping, Sequence

from scanplane.features.catalogue import CHANNELS
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.massive_channels import canonical_symbol, delay_of, symbol_limit, unsupported_channels
from scanplane.plan.acceptance import Acceptance, Judgement, missing_or_refused
from scanplane.plan.calendars import check_hours
from scanplane.plan.configuration import config_map_keys
from scanplane.plan.connection_checks import check_connection, check_connections_that_run
from scanplane.plan.inventory import Finding, Home, Reason
from scanplane.plan.services import DEFAULT_NAME, is_there, services_named
from scanplane.resources.common import SecretKeyReference, duration_ns
from scanplane.resources.data_plane import DataPlane
from scanplane.resources.feed import Feed
from scanplane.resources.kinds import Kind
from scanplane.resources.market import Market, Reference, ReferenceFile, ReferenceSource
from scanplane.resources.subscription import Delivery, Subscription, SubscriptionSpec

__all__ = ["check_data_plane", "check_feed", "check_market", "check_subscription", "delay_minutes", "used_files"]


_CONFIG_MAP_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}", re.ASCII)


def delay_minutes(feed: Feed) -> int:
    """Return by how much the feed's data is delayed by its provider."""
    massive = feed.spec.massive
    return 0 if massive is None else delay_of(massive.feed)


def check_data_plane(data_plane: DataPlane, acceptance: Acceptance) -> list[Finding]:
    """Check a DataPlane: its name, its Secrets, and that a cluster has a broker and a cache."""
    judgement = Judgement(data_plane)
    spec = data_plane.spec
    if data_plane.metadata.name != DEFAULT_NAME:
        judgement.refuse(Reason.NOT_USED, "metadata.name", f"only the DataPlane named '{DEFAULT_NAME}' is used")
    if acceptance.inventory.home is Home.CLUSTER:
        if spec.broker is None:
            judgement.refuse(Reason.SERVICE_REQUIRED, "spec.broker", "a cluster needs a broker: set urlSecretRef")
        if spec.cache is None:
            judgement.refuse(Reason.SERVICE_REQUIRED, "spec.cache", "a cluster needs a cache: set urlSecretRef")
    for service, url in services_named(spec):
        _check_service(service, url, acceptance, judgement)
    tokens = spec.gateway.tokens_secret_ref if spec.gateway is not None else None
    if tokens is not None and tokens.name not in acceptance.inventory.secrets:
        judgement.refuse(
            Reason.SECRET_NOT_FOUND, "spec.gateway.tokensSecretRef", _no_secret(tokens.name, "one key for each client")
        )
    return judgement.findings


def _check_service(service: str, url: SecretKeyReference, acceptance: Acceptance, judgement: Judgement) -> None:
    """A broker or cache whose Secret is not there is missing, but in one process, where one in memory serves."""
    path = f"spec.{service}.urlSecretRef"
    if acceptance.inventory.home is not Home.LOCAL:
        _check_secret(url, path, acceptance, judgement)
    elif not is_there(acceptance.inventory, url):
        message = f"there is no key '{url.key}' of a Secret '{url.name}' here: a {service} in memory serves"
        judgement.warn(Reason.SECRET_NOT_FOUND, path, message)


def check_feed(feed: Feed, acceptance: Acceptance) -> list[Finding]:
    """Check a Feed: its credentials, that an edit costs nobody a connection, and what its listener stands on."""
    judgement = Judgement(feed)
    _check_services(acceptance, judgement)
    if feed.spec.massive is not None:
        _check_secret(feed.spec.massive.api_key_secret_ref, "spec.massive.apiKeySecretRef", acceptance, judgement)
        check_connections_that_run(feed, acceptance, judgement)
    return judgement.findings


def check_market(market: Market, acceptance: Acceptance) -> list[Finding]:
    """Check a Market: calendar, sessions, where reference data comes from, and what its analyzers stand on."""
    judgement = Judgement(market)
    _check_services(acceptance, judgement)
    spec = market.spec
    check_hours(market, judgement)
    reference = spec.reference
    if reference is not None:
        for path, source in (("freeFloat", reference.free_float), ("volumeCurve", reference.volume_curve)):
            if source is ReferenceSource.PROVIDER:
                judgement.refuse(
                    Reason.REFERENCE_WITHOUT_PROVIDER,
                    f"spec.reference.{path}",
                    "the provider's bulk snapshot does not hold it: write File or None",
                )
        _check_snapshot(reference, spec.asset_class, judgement)
        if acceptance.inventory.home is Home.CLUSTER and reference.file is not None:
            _check_files(reference.file, acceptance, judgement)
    return judgement.findings


def _check_snapshot(reference: Reference, asset_class: AssetClass, judgement: Judgement) -> None:
    """The provider's bulk snapshot is of US stocks: another market's symbols would all stay unknown."""
    if asset_class is AssetClass.STOCKS:
        return
    for path, source in (("previousClose", reference.previous_close), ("averageVolume", reference.average_volume)):
        if source is ReferenceSource.PROVIDER:
            judgement.refuse(
                Reason.REFERENCE_WITHOUT_PROVIDER,
                f"spec.reference.{path}",
                f"the provider's bulk snapshot is of stocks, not of {asset_class}: write File or None",
            )


def _check_services(acceptance: Acceptance, judgement: Judgement) -> None:
    """On a cluster nothing runs without a DataPlane; in one process a broker and a cache in memory do."""
    if acceptance.inventory.home is Home.CLUSTER and DEFAULT_NAME not in acceptance.data_planes:
        judgement.refuse(
            Reason.SERVICE_REQUIRED,
            "",
            f"a cluster needs an accepted DataPlane named '{DEFAULT_NAME}' with a broker and a cache",
        )


def used_files(file: ReferenceFile, config_map: Mapping[str, str]) -> dict[str, str | None]:
    """Return what *config_map* holds for each file that *file* names (None for one that it lacks)."""
    return {name: config_map.get(name) for name in config_map_keys(file.symbols, file.volume_curve)}


def _check_files(file: ReferenceFile, acceptance: Acceptance, judgement: Judgement) -> None:
    """On a cluster a file is a key of a ConfigMap, or an absolute path in the image."""
    path = "spec.reference.file"
    unfit = {
        field: name
        for field, name in (("symbols", file.symbols), ("volumeCurve", file.volume_curve))
        if name is not None and not name.startswith("/") and not _CONFIG_MAP_KEY.fullmatch(name)
    }
    for field, name in unfit.items():
        last = name.rpartition("/")[2]
        instead = (
            f"write {last}" if _CONFIG_MAP_KEY.fullmatch(last) else "use letters, digits, hyphens, dots and underscores"
        )
        message = f"'{name}' can't be a key of a ConfigMap: {instead}"
        judgement.refuse(Reason.REFERENCE_NOT_FOUND, f"{path}.{field}", message)
    if file.config_map_ref is None:
        relative = sorted(used_files(file, {}))
        if relative:
            judgement.refuse(
                Reason.REFERENCE_NOT_FOUND,
                path,
                f"on a cluster '{relative[0]}' must be a key of a ConfigMap: set configMapRef",
            )
        return
    name = file.config_map_ref.name
    held = acceptance.inventory.config_maps.get(name)
    if held is None:
        judgement.refuse(
            Reason.REFERENCE_NOT_FOUND,
            f"{path}.configMapRef.name",
            f"there is no ConfigMap '{name}': create it with kubectl create configmap {name} --from-file=<the CSV files>",
        )
        return
    for missing in sorted(
        key for key, value in used_files(file, held).items() if value is None and key not in unfit.values()
    ):
        there = ", ".join(sorted(held)) or "no key at all"
        judgement.refuse(Reason.REFERENCE_NOT_FOUND, path, f"ConfigMap '{name}' has no key '{missing}'; it has {there}")


def check_subscription(subscription: Subscription, acceptance: Acceptance) -> list[Finding]:
    """Check a Subscription: its references, its channels, and that it agrees with those accepted before it."""
    judgement = Judgement(subscription)
    spec = subscription.spec
    _check_use(spec.channels, judgement)
    feed = acceptance.feeds.get(spec.feed_ref.name)
    market = acceptance.markets.get(spec.market_ref.name)
    if feed is None:
        missing_or_refused(acceptance, Kind.FEED, spec.feed_ref.name, "spec.feedRef.name", judgement)
    if market is None:
        missing_or_refused(acceptance, Kind.MARKET, spec.market_ref.name, "spec.marketRef.name", judgement)
    if feed is None or market is None:
        return judgement.findings
    _check_channels(spec, market.spec.asset_class, feed, judgement)
    _check_symbol_limits(subscription, market.spec.asset_class, feed, acceptance, judgement)
    check_connection(subscription, market.spec.asset_class, feed, acceptance, judgement)
    for other in acceptance.subscriptions.values():
        if other.metadata.name == subscription.metadata.name:
            continue
        _check_asset_class(market, other, spec.feed_ref.name, acceptance, judgement)
        if other.spec.market_ref.name == spec.market_ref.name:
            _check_overlap(market.spec.asset_class, subscription, other, judgement)
            _check_delivery(spec.delivery, other, judgement)
    return judgement.findings


def _check_use(channels: Sequence[Channel], judgement: Judgement) -> None:
    """Warn of channels that cost a connection's and a broker's room for nothing."""
    for index, channel in enumerate(channels):
        if channel not in CHANNELS:
            judgement.warn(
                Reason.CHANNEL_WITHOUT_FEATURE,
                f"spec.channels[{index}]",
                f"no feature is made of {channel}, so no Scanner can ask for it: leave it out",
            )


def _check_channels(spec: SubscriptionSpec, asset_class: AssetClass, feed: Feed, judgement: Judgement) -> None:
    if feed.spec.massive is None:
        return
    for channel, message in unsupported_channels(asset_class, spec.channels, delayed=delay_minutes(feed) > 0).items():
        judgement.refuse(Reason.UNSUPPORTED_CHANNEL, f"spec.channels[{spec.channels.index(channel)}]", message)


def _check_symbol_limits(
    subscription: Subscription, asset_class: AssetClass, feed: Feed, acceptance: Acceptance, judgement: Judgement
) -> None:
    """A connection takes so many symbols of some channels, whichever Subscriptions of its Feed ask for them."""
    if feed.spec.massive is None:
        return
    spec = subscription.spec
    others = [each for each in acceptance.subscriptions.values() if each.spec.feed_ref.name == feed.metadata.name]
    for channel in spec.channels:
        limit = symbol_limit(asset_class, channel)
        if limit is None:
            continue
        at_most = f"Massive takes at most {limit} symbols for {channel} of {asset_class}"
        if len(spec.symbols) > limit or "*" in spec.symbols:
            judgement.refuse(Reason.TOO_MANY_SYMBOLS, "spec.symbols", f"{at_most}: name the ones you need")
            continue
        sharing = [
            each
            for each in others
            if each.metadata.name != subscription.metadata.name and channel in each.spec.channels
        ]
        asked = len(set(spec.symbols).union(*(each.spec.symbols for each in sharing)))
        if asked > limit:
            names = ", ".join(f"'{each.metadata.name}'" for each in sharing)
            judgement.refuse(
                Reason.TOO_MANY_SYMBOLS,
                "spec.symbols",
                f"{at_most} over one connection, and it would be {asked} from Feed '{feed.metadata.name}' together with "
                f"{names}: name fewer",
            )


def _check_asset_class(
    market: Market, other: Subscription, feed: str, acceptance: Acceptance, judgement: Judgement
) -> None:
    other_market = acceptance.markets.get(other.spec.market_ref.name)
    if other.spec.feed_ref.name != feed or other_market is None:
        return
    if other_market.spec.asset_class is not market.spec.asset_class:
        judgement.refuse(
            Reason.CONFLICTING_ASSET_CLASS,
            "spec.feedRef.name",
            f"one connection carries one asset class, and Subscription '{other.metadata.name}' takes "
            f"{other_market.spec.asset_class} from Feed '{feed}': make a Feed of its own for {market.spec.asset_class}",
        )


def _check_overlap(
    asset_class: AssetClass, subscription: Subscription, other: Subscription, judgement: Judgement
) -> None:
    """Two feeds that bring the same events to one market would be counted twice, however their symbols are spelled."""
    mine, theirs = subscription.spec, other.spec
    if mine.feed_ref.name == theirs.feed_ref.name:
        return
    channels = [channel for channel in mine.channels if channel in theirs.channels]
    everything = "*" in mine.symbols or "*" in theirs.symbols
    symbols = sorted(_canonical(asset_class, mine.symbols) & _canonical(asset_class, theirs.symbols))
    if channels and (everything or symbols):
        what = "its symbols" if everything else symbols[0]
        judgement.refuse(
            Reason.OVERLAPPING_FEEDS,
            "spec.symbols",
            f"Subscription '{other.metadata.name}' already brings {channels[0]} of {what} to this Market from Feed "
            f"'{theirs.feed_ref.name}', and both together would be counted twice: take each symbol from one Feed",
        )


def _canonical(asset_class: AssetClass, symbols: Iterable[str]) -> set[str]:
    return {canonical_symbol(asset_class, symbol) for symbol in symbols}


def _check_delivery(delivery: Delivery | None, other: Subscription, judgement: Judgement) -> None:
    """A market's queues are shared by all its Subscriptions, so their bounds must be the same."""
    if delivery is None or other.spec.delivery is None:
        return
    for path, mine, theirs in (
        ("timeToLive", delivery.time_to_live, other.spec.delivery.time_to_live),
        ("maxBytes", delivery.max_bytes, other.spec.delivery.max_bytes),
        ("publisherConfirms", delivery.publisher_confirms, other.spec.delivery.publisher_confirms),
        ("batchDelay", delivery.batch_delay, other.spec.delivery.batch_delay),
    ):
        if mine is not None and theirs is not None and _meant(mine) != _meant(theirs):
            judgement.refuse(
                Reason.CONFLICTING_DELIVERY,
                f"spec.delivery.{path}",
                f"{_shown(mine)} contradicts {_shown(theirs)} in Subscription '{other.metadata.name}' to the same Market: "
                "write the same, or leave one out",
            )


def _meant(value: str | int) -> int:
    """Return what a bound means, a duration in nanoseconds: 5s and 5000ms are the same."""
    return duration_ns(value) if isinstance(value, str) else value


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_secret(reference: SecretKeyReference, path: str, acceptance: Acceptance, judgement: Judgement) -> None:
    keys = acceptance.inventory.secrets.get(reference.name)
    if keys is None:
        judgement.refuse(
            Reason.SECRET_NOT_FOUND, f"{path}.name", _no_secret(reference.name, f"the key '{reference.key}'")
        )
    elif reference.key not in keys:
        there = ", ".join(sorted(keys)) or "no key at all"
        judgement.refuse(
            Reason.SECRET_NOT_FOUND,
            f"{path}.key",
            f"Secret '{reference.name}' has no key '{reference.key}'; it has {there}",
        )


def _no_secret(name: str, wanted: str) -> str:
    return f"there is no Secret '{name}': create it with {wanted}"
