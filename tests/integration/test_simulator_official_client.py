"""The provider's official client is the referee: what it understands of the simulator is what our own client decodes.

Its traps, kept in mind here: it returns in silence when the connection is closed with 1000 or 1001, it knows no status
but ``auth_failed`` (the others are only logged), and it is blind to a topic that is never acknowledged.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from massive import WebSocketClient
from massive.exceptions import AuthError

from scanplane.feeds.massive.connection import MassiveFeedConnection
from scanplane.feeds.massive.topics import topics_of
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.events import Bar, Event, FairValue, Imbalance, IndexValue, LimitBand, Quote, Trade
from scanplane.marketdata.massive_channels import TOPIC_PREFIXES, symbol_limit
from scanplane.simulator.server import Simulator
from scanplane.simulator.sessions.channels import INSTRUMENTS, ChannelSession
from scanplane.simulator.sessions.interface import Session
from scanplane.simulator.sessions.ticks import TickSession
from scanplane.simulator.settings import Ending, Eviction, SimulatorSettings

_TIMEOUT_S = 30.0
_KEY = "demo"

Comparable = tuple[Any, ...]


def _ns(time: int) -> int:
    """Tell the unit of a time by its number of digits: 13 are milliseconds, 16 microseconds, 19 nanoseconds."""
    return time * 10 ** (19 - len(str(time)))


def _pair(asset_class: AssetClass, name: str) -> str:
    prefix = {AssetClass.CRYPTO: "X:", AssetClass.FOREX: "C:"}[asset_class]
    return prefix + name.replace("/", "-")


def _bar(symbol: str, theirs: Any, *, stock: bool) -> Comparable:
    day = (
        (theirs.accumulated_volume, theirs.official_open_price, theirs.aggregate_vwap) if stock else (None, None, None)
    )
    return (
        "Bar",
        symbol,
        _ns(theirs.end_timestamp),
        _ns(theirs.start_timestamp),
        theirs.open,
        theirs.high,
        theirs.low,
        theirs.close,
        theirs.volume or 0.0,
        getattr(theirs, "vwap", None),
        *day,
    )


def _theirs(asset_class: AssetClass, message: Any) -> Comparable:
    """Put a message of the official client into a comparable form."""
    kind = type(message).__name__
    forms: dict[str, Callable[[], Comparable]] = {
        "EquityTrade": lambda: (
            "Trade", message.symbol, _ns(message.timestamp), message.price, message.size, tuple(message.conditions or ()),
        ),
        "CryptoTrade": lambda: (
            "Trade", _pair(asset_class, message.pair), _ns(message.timestamp), message.price, message.size,
            tuple(message.conditions or ()),
        ),
        "EquityQuote": lambda: (
            "Quote", message.symbol, _ns(message.timestamp), message.bid_price, message.bid_size, message.ask_price,
            message.ask_size,
        ),
        "CryptoQuote": lambda: (
            "Quote", _pair(asset_class, message.pair), _ns(message.timestamp), message.bid_price, message.bid_size,
            message.ask_price, message.ask_size,
        ),
        "ForexQuote": lambda: (
            "Quote", _pair(asset_class, message.pair), _ns(message.timestamp), message.bid_price, 0.0, message.ask_price, 0.0,
        ),
        "EquityAgg": lambda: _bar(message.symbol, message, stock=True),
        "CurrencyAgg": lambda: _bar(_pair(asset_class, message.pair), message, stock=False),
        "LimitUpLimitDown": lambda: (
            "LimitBand", message.symbol, _ns(message.timestamp), message.high_price, message.low_price,
            tuple(message.indicators),
        ),
        "Imbalance": lambda: (
            "Imbalance", message.symbol, _ns(message.time_stamp), message.auction_type, message.paired_quantity,
            message.imbalance_quantity, message.book_clearing_price,
        ),
        "FairMarketValue": lambda: ("FairValue", message.ticker, _ns(message.timestamp), message.fmv),
        "IndexValue": lambda: ("IndexValue", message.ticker, _ns(message.timestamp), message.value),
    }  # fmt: skip
    return forms[kind]()


_COMPARED: dict[type[Event], str] = {
    Trade: "symbol exchange_ns price size conditions",
    Quote: "symbol exchange_ns bid_price bid_size ask_price ask_size",
    Bar: "symbol exchange_ns start_ns open high low close volume vwap accumulated_volume official_open session_vwap",
    LimitBand: "symbol exchange_ns upper_price lower_price indicators",
    Imbalance: "symbol exchange_ns auction_type paired imbalance clearing_price",
    FairValue: "symbol exchange_ns value",
    IndexValue: "symbol exchange_ns value",
}


def _ours(event: Event) -> Comparable:
    """Put one of our events into the same form; what is not a number is what the provider did not say."""
    values = (getattr(event, name) for name in _COMPARED[type(event)].split())
    return (type(event).__name__, *(None if isinstance(v, float) and math.isnan(v) else v for v in values))


def _topics(asset_class: AssetClass) -> tuple[str, ...]:
    wanted: dict[Channel, tuple[str, ...] | None] = {
        channel: None
        if symbol_limit(asset_class, channel) is None
        else tuple(symbol for symbol, _ in INSTRUMENTS[asset_class])
        for channel in TOPIC_PREFIXES[asset_class]
    }
    return topics_of(asset_class, (wanted,))


def _official(
    simulator: Simulator, asset_class: AssetClass, topics: tuple[str, ...], key: str = _KEY
) -> WebSocketClient:
    return WebSocketClient(
        api_key=key,
        feed=simulator.url.removeprefix("ws://"),
        market=asset_class.value.lower(),
        secure=False,
        subscriptions=list(topics),
    )


async def _heard_by_the_official_client(
    session: Session, asset_class: AssetClass, topics: tuple[str, ...]
) -> list[Comparable]:
    heard: list[Comparable] = []

    async def process(messages: list[Any]) -> None:
        heard.extend(_theirs(asset_class, message) for message in messages)

    async with Simulator(session, SimulatorSettings(ending=Ending.CLOSE, frame_events=(1, 50))) as simulator:
        async with asyncio.timeout(_TIMEOUT_S):
            await _official(simulator, asset_class, topics).connect(process)
    return heard


async def _heard_by_our_client(session: Session, asset_class: AssetClass, topics: tuple[str, ...]) -> list[Comparable]:
    frames: list[bytes] = []
    async with Simulator(session, SimulatorSettings(frame_events=(1, 50))) as simulator:
        connection = MassiveFeedConnection(f"{simulator.url}/{asset_class.value.lower()}", _KEY, topics)
        running = asyncio.create_task(connection.run(lambda frame, _: frames.append(frame)))
        async with asyncio.timeout(_TIMEOUT_S):
            await simulator.finished.wait()
        running.cancel()
        await asyncio.wait([running])
        assert connection.counts.unacknowledged == ()
    decoded = [connection.decoder.decode(frame) for frame in frames]
    assert not any(one.rejected for one in decoded)
    return [_ours(event) for one in decoded for _, events in one.runs for event in events]


@pytest.mark.parametrize("asset_class", list(AssetClass))
async def test_both_clients_hear_the_same_on_every_channel_of(asset_class: AssetClass) -> None:
    topics = _topics(asset_class)
    theirs = await _heard_by_the_official_client(ChannelSession(asset_class), asset_class, topics)
    ours = await _heard_by_our_client(ChannelSession(asset_class), asset_class, topics)
    assert len(theirs) > 80
    assert ours == theirs


async def test_both_clients_hear_the_same_of_real_trades() -> None:
    topics = ("T.IBM",)
    theirs = await _heard_by_the_official_client(TickSession(symbols=("IBM",), quotes=False), AssetClass.STOCKS, topics)
    ours = await _heard_by_our_client(TickSession(symbols=("IBM",), quotes=False), AssetClass.STOCKS, topics)
    assert len(theirs) == 33_381
    assert ours == theirs


async def test_the_official_client_takes_up_and_gives_up_topics_while_it_is_connected() -> None:
    session = ChannelSession(AssetClass.STOCKS, seconds=10_000)
    kinds: list[str] = []
    changed = asyncio.Event()

    async with Simulator(session, SimulatorSettings(speed=200.0)) as simulator:
        client = _official(simulator, AssetClass.STOCKS, ("T.AAA",))

        async def process(messages: list[Any]) -> None:
            kinds.extend(type(message).__name__ for message in messages)
            if len(kinds) == 5:
                client.subscribe("Q.BBB")
                client.unsubscribe("T.AAA")
            if kinds[-20:] == ["EquityQuote"] * 20:
                changed.set()

        running = asyncio.create_task(client.connect(process))
        async with asyncio.timeout(_TIMEOUT_S):
            await changed.wait()
        await client.close()
        await asyncio.wait([running])
    assert set(kinds[:5]) == {"EquityTrade"}


async def test_the_official_client_is_refused_with_a_wrong_key() -> None:
    async def process(_: list[Any]) -> None:
        pytest.fail("nothing should arrive")

    async with Simulator(ChannelSession(AssetClass.STOCKS)) as simulator:
        with pytest.raises(AuthError, match="authentication failed"):
            async with asyncio.timeout(_TIMEOUT_S):
                await _official(simulator, AssetClass.STOCKS, ("T.*",), key="wrong").connect(process)


async def test_the_official_client_is_told_that_there_are_too_many_connections(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = SimulatorSettings(connection_limit=1, evict=Eviction.NEWEST, speed=0.001)

    async def process(_: list[Any]) -> None:
        return

    async with Simulator(ChannelSession(AssetClass.STOCKS), settings) as simulator:
        first = _official(simulator, AssetClass.STOCKS, ("T.*",))
        second = _official(simulator, AssetClass.STOCKS, ("T.*",))
        second.max_reconnects = 0
        running = asyncio.create_task(first.connect(process))
        async with asyncio.timeout(_TIMEOUT_S):
            await simulator.started.wait()
            with pytest.raises(Exception, match="1008"):
                await second.connect(process)
        await first.close()
        await asyncio.wait([running])
    assert simulator.connections.evicted == 1
    assert "server max_connections: Maximum number of websocket connections exceeded" in caplog.text
