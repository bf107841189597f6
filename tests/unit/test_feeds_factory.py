"""From a listener's configuration to its connection."""

from pathlib import Path

import pytest

from scanplane.feeds.factory import open_feed
from scanplane.feeds.interface import ConnectionPhase
from scanplane.feeds.massive.connection import MassiveFeedConnection
from scanplane.feeds.replay.connection import ReplayFeedConnection
from scanplane.feeds.replay.files import RecordingWriter
from scanplane.feeds.replay.recording import RecordingHeader
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.plan.configuration import (
    ListenerConfiguration,
    MassiveConnection,
    ReplayConnection,
    Route,
    SecretKey,
    Services,
)
from scanplane.resources.data_plane import LogLevel
from scanplane.resources.feed import Provider

SERVICES = Services(
    namespace="default",
    broker_url=None,
    cache_url=None,
    log_level=LogLevel.INFO,
    otlp_endpoint=None,
    trace_ratio=0.0,
    export_interval_ns=10**10,
)


def configuration(
    connection: MassiveConnection | ReplayConnection, channels: dict[Channel, tuple[str, ...] | None]
) -> ListenerConfiguration:
    route = Route(
        market="us-stocks",
        partitions=1,
        channels=channels,
        stamps_ticks=True,
        evaluation_interval_ns=250_000_000,
        time_to_live_ns=30 * 10**9,
        max_bytes=2**29,
        publisher_confirms=True,
        batch_delay_ns=5_000_000,
    )
    return ListenerConfiguration(
        feed="massive",
        services=SERVICES,
        connection=connection,
        routes=(route,),
        credentials_digest="",
        sources={},
    )


def test_a_massive_feed_asks_for_its_routes_with_the_key_of_its_secret() -> None:
    asked: list[SecretKey] = []

    def read_secret(key: SecretKey) -> str:
        asked.append(key)
        return "the-key\n"

    key = SecretKey("massive", "apiKey")
    massive = MassiveConnection(
        endpoint="wss://socket.massive.com/stocks",
        rest_endpoint="https://api.massive.com",
        api_key=key,
        asset_class=AssetClass.STOCKS,
    )
    feed = open_feed(configuration(massive, {Channel.TRADES: None, Channel.QUOTES: ("AAPL",)}), read_secret, Path())
    assert isinstance(feed, MassiveFeedConnection)
    assert asked == [key]
    assert (feed._endpoint, feed._api_key) == ("wss://socket.massive.com/stocks", "the-key")
    assert feed._topics == ("Q.AAPL", "T.*")
    assert feed.counts.phase is ConnectionPhase.DISCONNECTED


def test_a_missing_secret_is_not_hidden() -> None:
    def read_secret(key: SecretKey) -> str:
        raise LookupError(key.name)

    massive = MassiveConnection(
        endpoint="wss://x/stocks", rest_endpoint="", api_key=SecretKey("massive", "k"), asset_class=AssetClass.STOCKS
    )
    with pytest.raises(LookupError, match="massive"):
        open_feed(configuration(massive, {Channel.TRADES: None}), read_secret, Path())


async def test_a_replay_feed_plays_the_file_beside_the_resources_and_heeds_the_throttle(tmp_path: Path) -> None:
    header = RecordingHeader(provider=Provider.MASSIVE, asset_class=AssetClass.STOCKS, started_ns=1)
    with RecordingWriter(tmp_path / "a.recording", header) as writer:
        writer.append(1, b"[]")
    throttled = 0

    async def throttle() -> None:
        nonlocal throttled
        throttled += 1

    replay = configuration(ReplayConnection(path="a.recording", speed=0.0), {Channel.TRADES: None})
    feed = open_feed(replay, lambda _: "", tmp_path, throttle=throttle)
    assert isinstance(feed, ReplayFeedConnection)
    frames: list[bytes] = []
    await feed.run(lambda frame, _: frames.append(frame))
    assert (frames, throttled) == ([b"[]"], 1)
