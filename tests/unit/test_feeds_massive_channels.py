"""The table of Massive's hosts, channels and topics, and what a listener asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from massive.websocket.models.common import Feed

from scanplane.feeds.massive.topics import batches_of, topics_of
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.massive_channels import (
    FEED_HOSTS,
    TOPIC_PREFIXES,
    canonical_symbol,
    delay_of,
    endpoint_at,
    endpoint_of,
    symbol_limit,
    topic_of,
    unsupported_channels,
)
from scanplane.resources.feed import MassiveFeedName


def test_every_feed_that_a_resource_can_name_has_a_host() -> None:
    assert set(FEED_HOSTS) == {name.value for name in MassiveFeedName}


def test_the_hosts_are_those_of_the_official_client() -> None:
    assert {feed.value for feed in Feed} == set(FEED_HOSTS.values())


def test_an_endpoint_is_the_feeds_host_and_the_markets_path() -> None:
    assert endpoint_of(MassiveFeedName.REAL_TIME, AssetClass.STOCKS) == "wss://socket.massive.com/stocks"
    assert endpoint_of(MassiveFeedName.DELAYED, AssetClass.INDICES) == "wss://delayed.massive.com/indices"
    assert endpoint_at("ws://simulator:8765/", AssetClass.CRYPTO) == "ws://simulator:8765/crypto"


@pytest.mark.parametrize(("feed", "minutes"), [("RealTime", 0), (None, 0), ("Delayed", 15), ("DelayedBusiness", 15)])
def test_the_delay_follows_from_the_feeds_name(feed: str | None, minutes: int) -> None:
    assert delay_of(feed) == minutes


@pytest.mark.parametrize(
    ("asset_class", "channel", "symbol", "topic"),
    [
        (AssetClass.STOCKS, Channel.SECOND_AGGREGATES, "*", "A.*"),
        (AssetClass.STOCKS, Channel.MINUTE_AGGREGATES, "BRK.A", "AM.BRK.A"),
        (AssetClass.STOCKS, Channel.NET_ORDER_IMBALANCE, "*", "NOI.*"),
        (AssetClass.OPTIONS, Channel.QUOTES, "O:SPY251219C00650000", "Q.O:SPY251219C00650000"),
        (AssetClass.CRYPTO, Channel.SECOND_AGGREGATES, "X:BTC-USD", "XAS.BTC-USD"),
        (AssetClass.CRYPTO, Channel.MINUTE_AGGREGATES, "BTC-USD", "XA.BTC-USD"),
        (AssetClass.FOREX, Channel.QUOTES, "C:USD/CNH", "C.USD-CNH"),
        (AssetClass.FOREX, Channel.MINUTE_AGGREGATES, "*", "CA.*"),
        (AssetClass.INDICES, Channel.INDEX_VALUES, "I:SPX", "V.I:SPX"),
    ],
)
def test_a_topic_is_the_prefix_of_its_channel_and_the_providers_symbol(
    asset_class: AssetClass, channel: Channel, symbol: str, topic: str
) -> None:
    assert topic_of(asset_class, channel, symbol) == topic


@pytest.mark.parametrize(
    ("asset_class", "spelling", "symbol"),
    [
        (AssetClass.CRYPTO, "BTC-USD", "X:BTC-USD"),
        (AssetClass.CRYPTO, "X:BTC-USD", "X:BTC-USD"),
        (AssetClass.FOREX, "USD/CNH", "C:USD-CNH"),
        (AssetClass.FOREX, "C:USD-CNH", "C:USD-CNH"),
        (AssetClass.FOREX, "*", "*"),
        (AssetClass.STOCKS, "BRK.A", "BRK.A"),
    ],
)
def test_every_spelling_of_a_pair_has_one_symbol(asset_class: AssetClass, spelling: str, symbol: str) -> None:
    assert canonical_symbol(asset_class, spelling) == symbol


def test_a_channel_that_does_not_exist_is_refused_with_what_there_is_instead() -> None:
    wanted = [Channel.QUOTES, Channel.TRADES]
    assert unsupported_channels(AssetClass.STOCKS, wanted) == {}
    assert unsupported_channels(AssetClass.FOREX, wanted) == {
        Channel.TRADES: "Massive has no Trades for asset class Forex; "
        "use FairMarketValue, MinuteAggregates, Quotes, SecondAggregates"
    }
    assert list(unsupported_channels(AssetClass.STOCKS, wanted, delayed=True)) == [Channel.QUOTES]
    assert unsupported_channels(AssetClass.CRYPTO, [Channel.TRADES], delayed=True) == {
        Channel.TRADES: "the delayed feed has no Trades for asset class Crypto; use feed RealTime"
    }


def test_only_option_quotes_limit_how_many_symbols_are_asked_for() -> None:
    limits = {
        (asset_class, channel): symbol_limit(asset_class, channel)
        for asset_class, prefixes in TOPIC_PREFIXES.items()
        for channel in prefixes
    }
    assert {key: limit for key, limit in limits.items() if limit is not None} == {
        (AssetClass.OPTIONS, Channel.QUOTES): 1000
    }


def test_topics_of_several_routes_are_asked_for_once_and_a_whole_channel_covers_its_symbols() -> None:
    routes = [
        {Channel.TRADES: ("MSFT", "AAPL"), Channel.SECOND_AGGREGATES: None},
        {Channel.TRADES: ("AAPL",), Channel.SECOND_AGGREGATES: ("AAPL",), Channel.QUOTES: ("*",)},
    ]
    assert topics_of(AssetClass.STOCKS, routes) == ("A.*", "Q.*", "T.AAPL", "T.MSFT")


@given(st.lists(st.text("ABC.", min_size=1, max_size=12), max_size=60), st.integers(1, 40))
def test_batches_hold_every_topic_in_order_within_their_bound(topics: list[str], bound: int) -> None:
    batches = list(batches_of(topics, bound))
    assert [topic for batch in batches for topic in batch.split(",")] == topics
    assert all(len(batch) <= bound or "," not in batch for batch in batches)
