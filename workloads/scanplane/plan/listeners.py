"""One listener for each Feed that something subscribes to."""

from scanplane.marketdata.channels import AssetClass
from scanplane.marketdata.massive_channels import MASSIVE_REST_ENDPOINT, endpoint_at, endpoint_of
from scanplane.plan.acceptance import Acceptance
from scanplane.plan.configuration import ListenerConfiguration, MassiveConnection, ReplayConnection, Route
from scanplane.plan.deliveries import clock_feed, delivery_of, evaluation_interval_ns, merge_channels, subscriptions_to
from scanplane.plan.services import credentials_digest, secret_key, services_of, sources_of
from scanplane.resources.feed import Feed, MassiveFeed
from scanplane.resources.kinds import Kind
from scanplane.resources.market import Market
from scanplane.resources.subscription import Subscription

__all__ = ["listener_configurations", "partition_count"]


def partition_count(market: Market) -> int:
    """Return how many analyzers share the market's symbols."""
    return (market.spec.analyzer.partitions if market.spec.analyzer is not None else None) or 1


def listener_configurations(acceptance: Acceptance) -> list[ListenerConfiguration]:
    """Return the listeners, by the name of their Feed. A Feed that nothing subscribes to has none."""
    found = (_listener(acceptance, feed) for _, feed in sorted(acceptance.feeds.items()))
    return [configuration for configuration in found if configuration is not None]


def _listener(acceptance: Acceptance, feed: Feed) -> ListenerConfiguration | None:
    name = feed.metadata.name
    routes: list[Route] = []
    sources: list[tuple[Kind, str, object]] = []
    for market_name, market in sorted(acceptance.markets.items()):
        subscriptions = subscriptions_to(acceptance, market_name, name)
        if not subscriptions:
            continue
        routes.append(_route(acceptance, name, market))
        sources.append((Kind.MARKET, market_name, (partition_count(market), evaluation_interval_ns(market))))
        sources.extend((Kind.SUBSCRIPTION, each.metadata.name, each.spec) for each in subscriptions)
        if routes[-1].ticks_while_away:
            other = _others(acceptance, market_name, name)[0]
            sources.append((Kind.SUBSCRIPTION, other.metadata.name, other.spec.feed_ref))
    if not routes:
        return None
    asset_class = acceptance.markets[routes[0].market].spec.asset_class
    connection = _connection(feed, asset_class)
    services = services_of(acceptance)
    sources += [(Kind.FEED, name, connection), (Kind.DATA_PLANE, "default", services)]
    return ListenerConfiguration(
        feed=name,
        services=services,
        connection=connection,
        routes=tuple(routes),
        credentials_digest=credentials_digest(
            acceptance.inventory,
            (
                services.broker_url,
                services.cache_url,
                connection.api_key if isinstance(connection, MassiveConnection) else None,
            ),
        ),
        sources=sources_of(sources),
    )


def _route(acceptance: Acceptance, feed: str, market: Market) -> Route:
    name = market.metadata.name
    delivery = delivery_of(acceptance, name)
    is_clock = clock_feed(acceptance, name) == feed
    return Route(
        market=name,
        partitions=partition_count(market),
        channels=merge_channels(market.spec.asset_class, subscriptions_to(acceptance, name, feed)),
        stamps_ticks=is_clock,
        evaluation_interval_ns=evaluation_interval_ns(market),
        time_to_live_ns=delivery.time_to_live_ns,
        max_bytes=delivery.max_bytes,
        publisher_confirms=delivery.publisher_confirms,
        batch_delay_ns=delivery.batch_delay_ns,
        ticks_while_away=is_clock and bool(_others(acceptance, name, feed)),
    )


def _others(acceptance: Acceptance, market: str, feed: str) -> list[Subscription]:
    """Return the Subscriptions of other Feeds to *market*, by name."""
    return [each for each in subscriptions_to(acceptance, market) if each.spec.feed_ref.name != feed]


def _connection(feed: Feed, asset_class: AssetClass) -> MassiveConnection | ReplayConnection:
    if feed.spec.replay is not None:
        speed = feed.spec.replay.speed
        return ReplayConnection(path=feed.spec.replay.path, speed=1.0 if speed is None else speed)
    massive = feed.spec.massive
    assert massive is not None, "the model's rules ask for the settings of the provider"
    return MassiveConnection(
        endpoint=_endpoint(massive, asset_class),
        rest_endpoint=massive.rest_endpoint or (MASSIVE_REST_ENDPOINT if massive.endpoint is None else ""),
        api_key=secret_key(massive.api_key_secret_ref),
        asset_class=asset_class,
        feed=massive.feed,
    )


def _endpoint(massive: MassiveFeed, asset_class: AssetClass) -> str:
    if massive.endpoint is not None:
        return endpoint_at(massive.endpoint, asset_class)
    assert massive.feed is not None, "the model's rules ask for a feed or an endpoint"
    return endpoint_of(massive.feed, asset_class)
