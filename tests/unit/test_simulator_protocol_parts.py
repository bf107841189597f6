"""The pure parts of the simulated provider: topics, frames, hostile frames, REST documents, the book of connections."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.streams import StreamReader

from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.feeds.massive.messages import QuoteMessage, TradeMessage
from scanplane.marketdata.channels import AssetClass
from scanplane.simulator import rest
from scanplane.simulator.accounting import ConnectionBook
from scanplane.simulator.frames import FrameCutter, encode_frame, text_frame
from scanplane.simulator.hostile import HostileFrames
from scanplane.simulator.sessions.interface import ReferenceTicker
from scanplane.simulator.settings import HostileKind, SimulatorSettings
from scanplane.simulator.topics import Subscriptions, Topic, parse_topic

_AT_MS = 1_395_840_600_000


def _trade(symbol: str) -> TradeMessage:
    return TradeMessage(symbol=symbol, time=_AT_MS, price=1.5, size=100)


def _parse_text_frame(wire: bytes) -> tuple[bytes, bytes]:
    """Parse with the library's own reader; return the payload and what follows."""
    reader = StreamReader()
    reader.feed_data(wire)
    parser = Frame.parse(reader.read_exact, mask=False, max_size=None)
    try:
        next(parser)
    except StopIteration as done:
        frame = done.value
    else:
        pytest.fail("the frame is not whole")
    assert frame.fin
    assert frame.opcode == 1
    return bytes(frame.data), bytes(reader.buffer)


@given(st.one_of(st.integers(0, 300), st.integers(65_530, 65_540)))
def test_a_text_frame_is_what_the_websocket_library_reads(length: int) -> None:
    payload = b"x" * length
    assert _parse_text_frame(text_frame(payload) + b"next") == (payload, b"next")


@given(
    kinds=st.lists(st.sampled_from("TQ"), max_size=60),
    fewest=st.integers(1, 9),
    more=st.integers(0, 9),
    mixed=st.booleans(),
)
def test_cutting_keeps_every_message_in_order_and_the_size_of_frames(
    kinds: list[str], fewest: int, more: int, *, mixed: bool
) -> None:
    messages = [
        TradeMessage(symbol=f"S{number}", time=_AT_MS, price=1.0)
        if kind == "T"
        else QuoteMessage(symbol=f"S{number}", time=_AT_MS)
        for number, kind in enumerate(kinds)
    ]
    frames = list(FrameCutter(fewest, fewest + more, mixed=mixed, seed=3).cut(messages))
    assert [message for frame in frames for message in frame] == messages
    assert all(1 <= len(frame) <= fewest + more for frame in frames)
    if not mixed:
        assert all(len(set(map(type, frame))) == 1 for frame in frames)


@pytest.mark.parametrize(
    ("text", "asset_class", "expected"),
    [
        ("T.AAPL", AssetClass.STOCKS, Topic("T", "AAPL")),
        (" A.* ", AssetClass.STOCKS, Topic("A", "*")),
        ("T.BRK.B", AssetClass.STOCKS, Topic("T", "BRK.B")),
        ("XT.X:BTC-USD", AssetClass.CRYPTO, Topic("XT", "BTC-USD")),
        ("C.EUR/USD", AssetClass.FOREX, Topic("C", "EUR-USD")),
        ("C.C:EUR-USD", AssetClass.FOREX, Topic("C", "EUR-USD")),
        ("T.O:SPY251219C00650000", AssetClass.OPTIONS, Topic("T", "O:SPY251219C00650000")),
        ("V.I:SPX", AssetClass.INDICES, Topic("V", "I:SPX")),
        ("LULD.*", AssetClass.OPTIONS, None),
        ("ZZ.AAPL", AssetClass.STOCKS, None),
        ("T.", AssetClass.STOCKS, None),
        ("T", AssetClass.STOCKS, None),
        ("", AssetClass.STOCKS, None),
    ],
)
def test_a_topic_is_known_by_its_asset_class_however_its_pair_is_spelled(
    text: str, asset_class: AssetClass, expected: Topic | None
) -> None:
    assert parse_topic(text, asset_class) == expected


def test_a_subscription_takes_its_symbols_and_no_others() -> None:
    subscriptions = Subscriptions()
    subscriptions.add(Topic("T", "AAPL"))
    takes = subscriptions.selector()
    assert takes(_trade("AAPL"))
    assert not takes(_trade("IBM"))
    assert not takes(QuoteMessage(symbol="AAPL", time=_AT_MS))
    assert not subscriptions.takes_all_of({"T"})
    subscriptions.add(Topic("T", "*"))
    assert subscriptions.takes_all_of({"T"})
    assert not subscriptions.takes_all_of({"T", "Q"})


def test_giving_up_a_whole_channel_gives_up_its_symbols_too() -> None:
    subscriptions = Subscriptions()
    for topic in (Topic("T", "AAPL"), Topic("T", "*"), Topic("Q", "IBM")):
        subscriptions.add(topic)
    subscriptions.remove(Topic("T", "*"))
    assert subscriptions.topics == {Topic("Q", "IBM")}
    subscriptions.remove(Topic("Q", "IBM"))
    assert not subscriptions


@pytest.mark.parametrize("kind", HostileKind.harmless())
def test_nothing_in_a_hostile_frame_is_usable(kind: HostileKind) -> None:
    hostile = HostileFrames(1.0, (kind,), seed=1)
    count = 3 if kind is HostileKind.HUGE else 50
    frames = [frame for _ in range(count) if (frame := hostile.next()) is not None]
    assert len(frames) == hostile.sent == count
    decoder = MassiveDecoder()
    decoded = [decoder.decode(frame) for frame in frames]
    assert not [run for one in decoded for run in one.runs]


def test_a_trade_of_the_far_future_is_hostile_and_well_formed() -> None:
    frame = HostileFrames(1.0, (HostileKind.FAR_FUTURE,), seed=1).next()
    assert frame is not None
    ((_, (trade,)),) = MassiveDecoder().decode(frame).runs
    assert trade.exchange_ns == 4_102_444_800_000_000_000


def test_the_rate_of_hostile_frames_is_kept_and_repeatable() -> None:
    def draw() -> list[bytes | None]:
        hostile = HostileFrames(0.1, HostileKind.harmless(), seed=5)
        return [hostile.next() for _ in range(2000)]

    first = draw()
    assert first == draw()
    assert 140 < sum(frame is not None for frame in first) < 260


@pytest.mark.parametrize(
    ("at", "market", "early", "late"),
    [
        (datetime(2014, 3, 26, 7, 59, tzinfo=UTC), "closed", False, False),
        (datetime(2014, 3, 26, 8, 0, tzinfo=UTC), "extended-hours", True, False),
        (datetime(2014, 3, 26, 13, 30, tzinfo=UTC), "open", False, False),
        (datetime(2014, 3, 26, 20, 0, tzinfo=UTC), "extended-hours", False, True),
        (datetime(2014, 3, 27, 0, 0, tzinfo=UTC), "closed", False, False),
        (datetime(2014, 3, 29, 15, 0, tzinfo=UTC), "closed", False, False),
    ],
)
def test_the_market_status_follows_the_sessions_clock(at: datetime, market: str, *, early: bool, late: bool) -> None:
    status = msgspec.json.decode(rest.market_status(int(at.timestamp() * 1e9)))
    assert (status["market"], status["earlyHours"], status["afterHours"]) == (market, early, late)


def test_a_snapshot_gives_the_previous_day_of_every_ticker() -> None:
    document = msgspec.json.decode(rest.snapshot((ReferenceTicker("AAA", 10.5, 2000.0),), 7))
    assert document["count"] == 1
    assert document["tickers"][0]["prevDay"] == {"c": 10.5, "v": 2000.0}
    assert document["tickers"][0]["day"]["v"] == 0


@pytest.mark.parametrize(
    ("query", "authorization", "expected"),
    [
        ({"apiKey": "demo"}, None, True),
        ({}, "Bearer demo", True),
        ({"apiKey": "other"}, None, False),
        ({}, None, False),
        ({}, "Bearer ", False),
    ],
)
def test_rest_wants_the_key(query: dict[str, str], authorization: str | None, *, expected: bool) -> None:
    assert rest.permitted("demo", query, authorization) is expected
    assert rest.permitted(None, query, authorization)


def test_the_book_remembers_the_most_connections_at_once() -> None:
    book = ConnectionBook()
    first, second = book.opened("/stocks"), book.opened("/stocks")
    book.closed(first, 1000)
    third = book.opened("/crypto")
    book.closed(second, None)
    book.closed(third, 1008)
    totals = book.totals()
    assert (totals.now, totals.maximum, totals.total) == (0, 2, 3)
    assert [entry.close_code for entry in book.entries] == [1000, 0, 1008]
    assert totals.seconds >= 0


def test_settings_keep_the_key_out_of_their_text() -> None:
    assert "very-secret" not in repr(SimulatorSettings(api_key="very-secret"))


def test_a_frame_is_an_array_of_the_providers_messages() -> None:
    frame = encode_frame([_trade("AAPL")])
    assert msgspec.json.decode(frame) == [{"ev": "T", "sym": "AAPL", "t": _AT_MS, "p": 1.5, "s": 100}]
