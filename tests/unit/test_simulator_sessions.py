"""The smaller sessions: every channel, load, corrections, recordings, and how one is chosen."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.feeds.massive.messages import MarketMessage, SecondBarMessage, TradeMessage
from scanplane.feeds.replay.files import RecordingWriter
from scanplane.feeds.replay.recording import RecordingHeader
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.massive_channels import TOPIC_PREFIXES
from scanplane.resources.feed import Provider
from scanplane.simulator.frames import encode_frame
from scanplane.simulator.sessions.channels import ChannelSession
from scanplane.simulator.sessions.choice import choose_session
from scanplane.simulator.sessions.corrections import CorrectedSession
from scanplane.simulator.sessions.interface import Block, PreparedBlock, ReferenceTicker, SessionFileError
from scanplane.simulator.sessions.load import LoadSession
from scanplane.simulator.sessions.recorded import RecordedSession, write_recording

_START_MS = 1_395_840_600_000


class _Bars:
    """A session of one symbol's second bars, one each second."""

    name = "bars"
    asset_classes = frozenset({AssetClass.STOCKS})
    start_ns = _START_MS * 1_000_000

    def __init__(self, count: int) -> None:
        self.bars = [
            SecondBarMessage(
                symbol="AAA",
                start=_START_MS + 1000 * number,
                end=_START_MS + 1000 * (number + 1),
                open=10.0,
                high=11.0,
                low=9.0,
                close=10.5,
                volume=100,
                accumulated_volume=100 * (number + 1),
            )
            for number in range(count)
        ]

    def reference(self) -> Sequence[ReferenceTicker]:
        return ()

    def blocks(self) -> Iterator[Block]:
        for first in range(0, len(self.bars), 7):
            part = self.bars[first : first + 7]
            yield Block([bar.end * 1_000_000 for bar in part], part)


def _timed(blocks: Iterator[Block | PreparedBlock]) -> list[tuple[int, MarketMessage]]:
    return [
        pair
        for block in blocks
        if isinstance(block, Block)
        for pair in zip(block.times_ns, block.messages, strict=True)
    ]


@pytest.mark.parametrize("asset_class", list(AssetClass))
def test_every_channel_of_an_asset_class_is_played_and_decodes_without_refusal(asset_class: AssetClass) -> None:
    messages = [message for _, message in _timed(ChannelSession(asset_class).blocks())]
    decoded = MassiveDecoder().decode(encode_frame(messages))
    counts = Counter(dict.fromkeys(TOPIC_PREFIXES[asset_class], 0))
    for channel, events in decoded.runs:
        counts[channel] += len(events)
    assert not decoded.rejected
    assert sum(counts.values()) == len(messages)
    without_source = {Channel.FAIR_MARKET_VALUE} if asset_class in {AssetClass.CRYPTO, AssetClass.FOREX} else set()
    assert {channel for channel, number in counts.items() if number == 0} == without_source


@given(count=st.integers(1, 60), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_corrections_lose_nothing_and_end_in_the_truth(count: int, share: float, seed: int) -> None:
    session = _Bars(count)
    sent = _timed(CorrectedSession(session, share, seed=seed).blocks())
    newest: dict[int, MarketMessage] = {}
    for _, message in sent:
        assert isinstance(message, SecondBarMessage)
        newest[message.start] = message
    assert [newest[start] for start in sorted(newest)] == session.bars
    assert all(before <= after for (before, _), (after, _) in pairwise(sent))
    assert _timed(CorrectedSession(session, share, seed=seed).blocks()) == sent


def test_corrected_bars_are_sent_first_without_what_came_late() -> None:
    session = _Bars(400)
    sent = [message for _, message in _timed(CorrectedSession(session, 0.5).blocks())]
    truth = {bar.start: bar for bar in session.bars}
    early = [bar for bar in sent if isinstance(bar, SecondBarMessage) and bar != truth[bar.start]]
    assert 50 < len(early) < 150
    assert all((bar.volume, bar.high, bar.low) == (50, 10.5, 10.0) for bar in early)
    late = [after for before, after in pairwise(sent) if after.start < before.start]  # type: ignore[union-attr]  # bars only
    assert len(late) > 100
    assert sum(bar.volume for bar in sent) != 100 * 400  # type: ignore[union-attr]  # bars only


def test_without_corrections_nothing_is_changed() -> None:
    session = _Bars(20)
    assert _timed(CorrectedSession(session, 0.0).blocks()) == _timed(session.blocks())


@pytest.mark.parametrize("channel", [Channel.TRADES, Channel.SECOND_AGGREGATES])
def test_a_load_is_decodable_and_its_times_go_on(channel: Channel) -> None:
    session = LoadSession(rate=100_000, symbols=50, channel=channel, frame_events=(1, 10))
    blocks = list(islice(session.blocks(), 600))  # more than the circle is long
    decoder = MassiveDecoder()
    newest = 0
    for block in blocks:
        for payload, count in zip(block.payloads, block.counts, strict=True):
            ((found, events),) = decoder.decode(payload).runs
            assert (found, len(events)) == (channel, count)
            assert 1 <= count <= 10
            assert len({event.exchange_ns for event in events}) == 1
            assert events[0].exchange_ns >= newest
            newest = events[0].exchange_ns
    assert newest > 0


def test_a_load_keeps_its_rate_in_the_times_of_its_blocks() -> None:
    blocks = list(LoadSession(rate=20_000, seconds=2).blocks())
    assert sum(sum(block.counts) for block in blocks) == 40_000
    spans = [after.time_ns - before.time_ns for before, after in pairwise(blocks)]
    assert max(spans) - min(spans) <= 1
    assert sum(blocks[0].counts) / 20_000 * 1e9 == pytest.approx(spans[0], abs=1)


def test_the_accumulated_volume_of_a_load_never_falls() -> None:
    newest: dict[str, int] = {}
    for block in islice(LoadSession(rate=0, symbols=10, channel=Channel.SECOND_AGGREGATES).blocks(), 300):
        for bar in msgspec.json.decode(block.payloads[0]):
            assert bar["av"] >= newest.get(bar["sym"], 0)
            assert bar["e"] - bar["s"] == 1000
            newest[bar["sym"]] = bar["av"]
    assert len(newest) == 10


def test_a_session_written_to_a_recording_plays_the_same(tmp_path: Path) -> None:
    session = ChannelSession(AssetClass.STOCKS)
    path = tmp_path / "made.rec"
    events = write_recording(session, path, frame_events=(7, 7))
    recorded = RecordedSession(path)
    frames = [block.payloads[0] for block in recorded.blocks()]
    expected = [message for _, message in _timed(session.blocks())]
    decoder = MassiveDecoder()
    assert [run for frame in frames for run in decoder.decode(frame).runs] == [
        run
        for block in session.blocks()
        for first in range(0, len(block.messages), 7)
        for run in decoder.decode(encode_frame(block.messages[first : first + 7])).runs
    ]
    assert events == len(expected)
    assert recorded.asset_classes == {AssetClass.STOCKS}
    assert recorded.start_ns == session.start_ns
    assert {kind for block in recorded.blocks() for kind in block.event_types or ()} == {
        "T", "Q", "A", "AM", "LULD", "NOI", "FMV",
    }  # fmt: skip


def test_garbage_in_a_recording_is_played_to_everyone(tmp_path: Path) -> None:
    path = tmp_path / "garbage.rec"
    with RecordingWriter(
        path, RecordingHeader(provider=Provider.MASSIVE, asset_class=AssetClass.STOCKS, started_ns=1)
    ) as writer:
        writer.append(2, b"[{")
    (block,) = RecordedSession(path).blocks()
    assert (block.payloads, block.counts, block.event_types) == ((b"[{",), (0,), frozenset())


def test_a_damaged_recording_is_named_after_what_could_be_read(tmp_path: Path) -> None:
    path = tmp_path / "damaged.rec"
    write_recording(ChannelSession(AssetClass.CRYPTO), path)
    path.write_bytes(path.read_bytes()[:-20])
    session = RecordedSession(path)
    with pytest.raises(SessionFileError, match=r"damaged\.rec was cut off"):
        list(session.blocks())


@pytest.mark.parametrize(
    ("name", "asset_class"), [("market", AssetClass.STOCKS), ("forex", AssetClass.FOREX), ("load", AssetClass.STOCKS)]
)
def test_a_session_is_chosen_by_its_name(name: str, asset_class: AssetClass) -> None:
    session = choose_session(name)
    assert session.name == name
    assert session.asset_classes == {asset_class}


def test_only_the_chosen_channels_of_the_ticks_are_played() -> None:
    session = choose_session("ticks", channels=(Channel.TRADES,))
    block = next(iter(session.blocks()))
    assert isinstance(block, Block)
    assert {type(message) for message in block.messages} == {TradeMessage}


@pytest.mark.parametrize("name", ["tick", "/nowhere/at/all.rec"])
def test_an_unknown_session_is_told_what_there_is(name: str) -> None:
    with pytest.raises(SessionFileError, match="try ticks, market, load"):
        choose_session(name)


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")
    with pytest.raises(SessionFileError, match="is no recording"):
        choose_session(str(path))
