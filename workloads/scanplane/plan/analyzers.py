"""One analyzer for each partition of each Market."""

from scanplane.features.catalogue import CHANNELS
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.massive_channels import MASSIVE_REST_ENDPOINT
from scanplane.marketdata.partitions import Partition
from scanplane.plan.acceptance import Acceptance
from scanplane.plan.calendars import hours_of
from scanplane.plan.checks import delay_minutes, used_files
from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    BoardConfiguration,
    ReferenceConfiguration,
    ScannerConfiguration,
    SignalConfiguration,
    Stream,
)
from scanplane.plan.deliveries import clock_feed, delivery_of, evaluation_interval_ns, merge_channels, subscriptions_to
from scanplane.plan.inventory import Home, Inventory
from scanplane.plan.listeners import partition_count
from scanplane.plan.scanner_checks import default_columns
from scanplane.plan.services import credentials_digest, digest, secret_key, services_of, sources_of
from scanplane.resources.common import duration_ns
from scanplane.resources.feed import Feed, MassiveFeed, Provider
from scanplane.resources.kinds import Kind
from scanplane.resources.market import Analyzer, Market, Reference, ReferenceFile, ReferenceSource
from scanplane.resources.scanner import Order, Scanner
from scanplane.resources.subscription import Delivery

__all__ = ["analyzer_configurations", "massive_feed_of"]

_STALE_AFTER_NS = 15 * 10**9
_STALE_AFTER_MINUTES_NS = 90 * 10**9
"""Minute bars come once a minute and some seconds late."""


def analyzer_configurations(acceptance: Acceptance) -> list[AnalyzerConfiguration]:
    """Return the analyzers, by market and partition. A Market that nothing subscribes to has none."""
    return [
        _analyzer(acceptance, market, Partition(index, partition_count(market)))
        for name, market in sorted(acceptance.markets.items())
        if subscriptions_to(acceptance, name)
        for index in range(partition_count(market))
    ]


def massive_feed_of(acceptance: Acceptance, market: str) -> MassiveFeed | None:
    """Return the settings of the first Massive Feed of *market*: who is asked for bulk reference data."""
    feeds = [acceptance.feeds[each.spec.feed_ref.name] for each in subscriptions_to(acceptance, market)]
    return next((feed.spec.massive for feed in feeds if feed.spec.massive is not None), None)


def _analyzer(acceptance: Acceptance, market: Market, partition: Partition) -> AnalyzerConfiguration:
    name = market.metadata.name
    services = services_of(acceptance)
    delivery = delivery_of(acceptance, name)
    scanners = {
        scanner_name: _scanner(scanner)
        for scanner_name, scanner in sorted(acceptance.scanners.items())
        if scanner.spec.market_ref.name == name
    }
    streams = _streams(acceptance, market)
    labels = {stream.feed: _data_label(acceptance.feeds[stream.feed]) for stream in streams}
    silences = {stream.feed: stream.stale_after_ns for stream in streams}
    hours = hours_of(market)
    reference = _reference(market, massive_feed_of(acceptance, name), acceptance.inventory)
    analyzer = market.spec.analyzer or Analyzer()
    interval_ns = evaluation_interval_ns(market)
    max_symbols = analyzer.max_symbols or 50_000
    sources: list[tuple[Kind, str, object]] = [
        (Kind.DATA_PLANE, "default", services),
        (Kind.MARKET, name, (partition, hours, reference, interval_ns, max_symbols, market.spec.asset_class)),
    ]
    sources += [(Kind.SCANNER, scanner_name, scanner) for scanner_name, scanner in scanners.items()]
    sources += [(Kind.FEED, feed, (label, silences[feed])) for feed, label in labels.items()]
    sources += [
        (Kind.SUBSCRIPTION, each.metadata.name, (each.spec.channels, _queue(each.spec.delivery), each.spec.feed_ref))
        for each in subscriptions_to(acceptance, name)
    ]
    return AnalyzerConfiguration(
        market=name,
        partition=partition,
        services=services,
        asset_class=market.spec.asset_class,
        hours=hours,
        reference=reference,
        scanners=tuple(scanners.values()),
        streams=streams,
        evaluation_interval_ns=interval_ns,
        max_symbols=max_symbols,
        time_to_live_ns=delivery.time_to_live_ns,
        max_bytes=delivery.max_bytes,
        data_label=", ".join(sorted({label for label in labels.values() if label})),
        # a board may be as old as the time between two evaluations, and is no staler for it
        stale_after_ns=min(filter(None, silences.values()), default=_STALE_AFTER_NS) + interval_ns,
        credentials_digest=credentials_digest(
            acceptance.inventory, (services.broker_url, services.cache_url, reference.api_key)
        ),
        sources=sources_of(sources),
    )


def _queue(delivery: Delivery | None) -> tuple[str | None, int | None]:
    """Return what of a delivery an analyzer declares its queue with; how batches are published is the listener's own."""
    return (None, None) if delivery is None else (delivery.time_to_live, delivery.max_bytes)


def _streams(acceptance: Acceptance, market: Market) -> tuple[Stream, ...]:
    name, asset_class = market.metadata.name, market.spec.asset_class
    clock = clock_feed(acceptance, name)
    channels = {
        feed: tuple(merge_channels(asset_class, subscriptions_to(acceptance, name, feed)))
        for feed in sorted({each.spec.feed_ref.name for each in subscriptions_to(acceptance, name)})
    }
    return tuple(
        Stream(
            feed=feed,
            channels=taken,
            stamps_ticks=feed == clock,
            stale_after_ns=_stale_after_ns(acceptance.feeds[feed], taken),
        )
        for feed, taken in channels.items()
    )


def _stale_after_ns(feed: Feed, channels: tuple[Channel, ...]) -> int:
    """Return how long a feed may be silent while the market is open; 0 where nothing is made of what it brings."""
    telling = CHANNELS.intersection(channels)
    if not telling:
        return 0
    if feed.spec.stale_after is not None:
        return duration_ns(feed.spec.stale_after)
    return _STALE_AFTER_MINUTES_NS if telling == {Channel.MINUTE_AGGREGATES} else _STALE_AFTER_NS


def _data_label(feed: Feed) -> str:
    if feed.spec.label is not None:
        return feed.spec.label
    if feed.spec.provider is Provider.REPLAY:
        return "replay"
    minutes = delay_minutes(feed)
    return f"{minutes} min delayed" if minutes else ""


def _reference(market: Market, massive: MassiveFeed | None, inventory: Inventory) -> ReferenceConfiguration:
    reference = market.spec.reference or Reference()
    file = reference.file or ReferenceFile()
    sources = (reference.previous_close, reference.average_volume, reference.volume_curve, reference.free_float)
    provider = massive if ReferenceSource.PROVIDER in sources else None
    config_map = file.config_map_ref.name if file.config_map_ref and inventory.home is Home.CLUSTER else None
    previous_close, average_volume, volume_curve, free_float = (source or ReferenceSource.NONE for source in sources)
    return ReferenceConfiguration(
        previous_close=previous_close,
        average_volume=average_volume,
        volume_curve=volume_curve,
        free_float=free_float,
        symbols_file=file.symbols,
        volume_curve_file=file.volume_curve,
        rest_endpoint=(provider.rest_endpoint or MASSIVE_REST_ENDPOINT) if provider is not None else None,
        api_key=secret_key(provider.api_key_secret_ref) if provider is not None else None,
        config_map=config_map,
        files_digest="" if config_map is None else digest(used_files(file, inventory.config_maps.get(config_map, {}))),
    )


def _scanner(scanner: Scanner) -> ScannerConfiguration:
    board, signal = scanner.spec.board, scanner.spec.signal
    return ScannerConfiguration(
        name=scanner.metadata.name,
        where=scanner.spec.where,
        board=None
        if board is None
        else BoardConfiguration(
            rank_by=board.rank_by,
            descending=board.order is not Order.ASCENDING,
            limit=board.limit or 50,
            columns=default_columns(scanner) if board.columns is None else tuple(board.columns),
        ),
        signal=None
        if signal is None
        else SignalConfiguration(when=signal.when, cooldown_ns=duration_ns(signal.cooldown or "0s")),
    )
