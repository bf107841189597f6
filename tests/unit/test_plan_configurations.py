"""Resources in, configurations out."""

import pytest

from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    GatewayConfiguration,
    ListenerConfiguration,
    MassiveConnection,
    configuration_hash,
    decode_configuration,
    encode_configuration,
)
from scanplane.plan.planner import plan
from scanplane.plan.restarts import explain_restart
from scanplane.resources.market import ReferenceSource
from support.inventories import US_STOCKS, inventory_of


def listener_of(text: str, name: str = "listener-massive") -> ListenerConfiguration:
    configuration = plan(inventory_of(text)).configurations[name]
    assert isinstance(configuration, ListenerConfiguration)
    return configuration


def analyzer_of(text: str, name: str = "analyzer-us-stocks-0") -> AnalyzerConfiguration:
    configuration = plan(inventory_of(text)).configurations[name]
    assert isinstance(configuration, AnalyzerConfiguration)
    return configuration


def test_a_market_with_a_feed_becomes_one_listener_one_analyzer_and_a_gateway() -> None:
    planned = plan(inventory_of(US_STOCKS))
    assert planned.findings == ()
    assert sorted(planned.configurations) == ["analyzer-us-stocks-0", "gateway", "listener-massive"]
    assert len(planned.accepted) == 4


def test_the_listener_is_told_everything_with_its_defaults() -> None:
    listener = listener_of(US_STOCKS)
    assert isinstance(listener.connection, MassiveConnection)
    assert listener.connection.endpoint == "wss://socket.massive.com/stocks"
    assert listener.connection.asset_class is AssetClass.STOCKS
    (route,) = listener.routes
    assert route.channels == {Channel.SECOND_AGGREGATES: None}
    assert (route.partitions, route.stamps_ticks) == (1, True)
    assert route.evaluation_interval_ns == 250_000_000
    assert route.time_to_live_ns == 30 * 10**9
    assert route.publisher_confirms


def test_the_analyzer_is_told_everything_with_its_defaults() -> None:
    analyzer = analyzer_of(US_STOCKS)
    assert analyzer.hours.calendar == "XNYS"
    assert analyzer.reference.previous_close is ReferenceSource.PROVIDER
    assert analyzer.reference.rest_endpoint == "https://api.massive.com"
    assert analyzer.reference.api_key is not None
    (scanner,) = analyzer.scanners
    assert scanner.board is not None
    assert scanner.board.columns == ("gap_percent", "price", "volume")
    assert scanner.signal is not None
    assert scanner.signal.cooldown_ns == 60 * 10**9
    assert analyzer.data_label == ""


def test_partitions_make_as_many_analyzers_and_one_listener_that_knows() -> None:
    text = US_STOCKS.replace("assetClass: Stocks", "assetClass: Stocks\n  analyzer: {partitions: 3}")
    planned = plan(inventory_of(text))
    partitions = [
        configuration.partition
        for configuration in planned.configurations.values()
        if isinstance(configuration, AnalyzerConfiguration)
    ]
    assert partitions == [Partition(0, 3), Partition(1, 3), Partition(2, 3)]
    assert listener_of(text).routes[0].partitions == 3


def test_overlapping_subscriptions_merge_into_one_route() -> None:
    second = """
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: a-few-trades}
spec:
  feedRef: {name: massive}
  marketRef: {name: us-stocks}
  channels: [Trades, SecondAggregates]
  symbols: [MSFT, AAPL]
  delivery: {timeToLive: 5s}
"""
    (route,) = listener_of(US_STOCKS + second).routes
    assert route.channels == {Channel.TRADES: ("AAPL", "MSFT"), Channel.SECOND_AGGREGATES: None}
    assert route.time_to_live_ns == 5 * 10**9


STALE = {
    "left out": ("", "[SecondAggregates]", 15),
    "minute bars alone": ("", "[MinuteAggregates]", 90),
    "minute bars and more": ("", "[MinuteAggregates, Quotes]", 15),
    "minute bars and what nothing is made of": ("", "[MinuteAggregates, LimitUpLimitDown]", 90),
    "what nothing is made of": ("  staleAfter: 5s\n", "[NetOrderImbalance]", 0),
    "as written": ("  staleAfter: 5s\n", "[MinuteAggregates]", 5),
}


@pytest.mark.parametrize("case", STALE)
def test_a_feed_may_be_silent_for_as_long_as_it_says_or_its_channels_are_apart(case: str) -> None:
    written, channels, seconds = STALE[case]
    text = US_STOCKS.replace("  provider: Massive\n", f"  provider: Massive\n{written}", 1)
    analyzer = analyzer_of(text.replace("[SecondAggregates]", channels))
    assert [stream.stale_after_ns for stream in analyzer.streams] == [seconds * 10**9]
    assert analyzer.stale_after_ns == (seconds or 15) * 10**9 + analyzer.evaluation_interval_ns


def test_a_delayed_feed_says_so_and_an_own_endpoint_gets_its_market_path() -> None:
    assert analyzer_of(US_STOCKS.replace("RealTime", "Delayed")).data_label == "15 min delayed"
    own = US_STOCKS.replace("feed: RealTime", 'endpoint: "ws://127.0.0.1:8765/"').replace(
        "provider: Massive", "provider: Massive\n  label: made up"
    )
    connection = listener_of(own).connection
    assert isinstance(connection, MassiveConnection)
    assert connection.endpoint == "ws://127.0.0.1:8765/stocks"
    assert analyzer_of(own).data_label == "made up"


SECOND_FEED = """
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: replay}
spec: {provider: Replay, replay: {path: session.recording}}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: z-quotes}
spec:
  feedRef: {name: replay}
  marketRef: {name: us-stocks}
  channels: [Quotes]
  symbols: ["*"]
"""


def test_two_feeds_to_one_market_have_one_clock() -> None:
    text = US_STOCKS + SECOND_FEED
    patient = text.replace("provider: Replay", "provider: Replay, staleAfter: 2s")
    assert [stream.stale_after_ns for stream in analyzer_of(patient).streams] == [15 * 10**9, 2 * 10**9]
    assert analyzer_of(patient).stale_after_ns == 2 * 10**9 + 250_000_000
    assert listener_of(text).routes[0].stamps_ticks
    assert not listener_of(text, "listener-replay").routes[0].stamps_ticks
    assert [stream.stamps_ticks for stream in analyzer_of(text).streams] == [True, False]


def test_a_clock_goes_on_while_its_feed_is_away_if_another_feed_delivers() -> None:
    alone, beside = listener_of(US_STOCKS), listener_of(US_STOCKS + SECOND_FEED)
    other = listener_of(US_STOCKS + SECOND_FEED, "listener-replay")
    assert [each.routes[0].ticks_while_away for each in (alone, beside, other)] == [False, True, False]
    assert str(explain_restart(alone, beside)) == "SubscriptionChanged (Subscription/z-quotes added)"
    assert str(explain_restart(beside, alone)) == "SubscriptionChanged (Subscription/z-quotes removed)"


def test_a_configuration_is_named_by_what_it_says() -> None:
    one, same = analyzer_of(US_STOCKS), analyzer_of(US_STOCKS)
    edited = analyzer_of(US_STOCKS.replace("gap_percent >= 4.0", "gap_percent >= 5.0"))
    assert configuration_hash(one) == configuration_hash(same) != configuration_hash(edited)
    assert decode_configuration(encode_configuration(one)) == one


def test_what_does_not_concern_a_role_does_not_change_its_configuration() -> None:
    before = plan(inventory_of(US_STOCKS)).configurations
    scanner = plan(inventory_of(US_STOCKS.replace("limit: 20", "limit: 30"))).configurations
    connections = plan(
        inventory_of(US_STOCKS.replace("provider: Massive", "provider: Massive\n  maxConnections: 2"))
    ).configurations
    symbols = plan(inventory_of(US_STOCKS.replace('symbols: ["*"]', "symbols: [AAPL]"))).configurations
    changed = [
        {name for name in before if configuration_hash(before[name]) != configuration_hash(after[name])}
        for after in (scanner, connections, symbols)
    ]
    assert changed == [{"analyzer-us-stocks-0"}, set(), {"listener-massive"}]


def test_the_order_of_documents_changes_nothing() -> None:
    documents = US_STOCKS.split("---\n")
    turned = "---\n".join(reversed(documents))
    one, other = plan(inventory_of(US_STOCKS)), plan(inventory_of(turned))
    assert {name: configuration_hash(each) for name, each in one.configurations.items()} == {
        name: configuration_hash(each) for name, each in other.configurations.items()
    }


def test_an_empty_namespace_has_a_gateway_and_nothing_else() -> None:
    planned = plan(inventory_of(""))
    (gateway,) = planned.configurations.values()
    assert isinstance(gateway, GatewayConfiguration)
    assert gateway.port == 8080
