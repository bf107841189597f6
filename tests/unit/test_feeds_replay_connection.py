"""Playing a recording, and recording what is played."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from scanplane.feeds.interface import ConnectionCounts, ConnectionPhase, FrameDecoder, FrameSink
from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.feeds.replay.connection import ReplayFeedConnection
from scanplane.feeds.replay.files import RecordingReader, RecordingWriter
from scanplane.feeds.replay.recorder import record
from scanplane.feeds.replay.recording import Record, RecordingError, RecordingHeader
from scanplane.marketdata.channels import AssetClass
from scanplane.resources.feed import Provider
from support.feeds_provider import until

START = 1_700_000_000_000_000_000


def recording(path: Path, records: list[Record], provider: Provider = Provider.MASSIVE) -> Path:
    header = RecordingHeader(provider=provider, asset_class=AssetClass.STOCKS, started_ns=START)
    with RecordingWriter(path, header) as writer:
        for received_ns, frame in records:
            writer.append(received_ns, frame)
    return path


def numbered(count: int, step_ns: int = 0) -> list[Record]:
    return [(START + number * step_ns, f"[{number}]".encode()) for number in range(count)]


async def played(connection: ReplayFeedConnection) -> list[Record]:
    frames: list[Record] = []
    await connection.run(lambda frame, received_ns: frames.append((received_ns, frame)))
    return frames


async def test_a_recording_is_played_whole_in_order_and_stamped_with_the_time_of_playing(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.recording", numbered(5000, 10**8))
    connection = ReplayFeedConnection(path, 0)
    before = time.time_ns()
    frames = await played(connection)
    assert [frame for _, frame in frames] == [frame for _, frame in numbered(5000)]
    stamps = [stamp for stamp, _ in frames]
    assert before <= stamps[0]
    assert stamps == sorted(stamps)
    assert connection.counts == ConnectionCounts(
        phase=ConnectionPhase.FINISHED,
        connects=1,
        disconnects=1,
        frames=5000,
        bytes=sum(len(frame) for _, frame in frames),
    )


@pytest.mark.parametrize("speed", [1.0, 10.0])
async def test_frames_keep_their_distance_divided_by_the_speed(tmp_path: Path, speed: float) -> None:
    path = recording(tmp_path / "a.recording", numbered(5, round(20_000_000 * speed)))
    frames = await played(ReplayFeedConnection(path, speed))
    assert frames[-1][0] - frames[0][0] >= 75_000_000  # 4 x 20 ms, less what the host's clock may be set by


async def test_a_recording_whose_clock_went_back_does_not_wait(tmp_path: Path) -> None:
    records = [(START, b"[0]"), (START - 10**15, b"[1]"), (START, b"[2]")]
    async with asyncio.timeout(5):
        assert len(await played(ReplayFeedConnection(recording(tmp_path / "a.recording", records), 1.0))) == 3


async def test_the_throttle_is_asked_before_every_frame_and_holds_it_back(tmp_path: Path) -> None:
    room = asyncio.Semaphore(3)
    asked = asyncio.Event()

    async def throttle() -> None:
        if room.locked():
            asked.set()
        await room.acquire()

    connection = ReplayFeedConnection(recording(tmp_path / "a.recording", numbered(10)), 0, throttle=throttle)
    frames: list[bytes] = []
    playing = asyncio.create_task(connection.run(lambda frame, _: frames.append(frame)))
    async with asyncio.timeout(5):
        await asked.wait()
        assert len(frames) == 3
        for _ in range(7):
            room.release()
        await playing
    assert len(frames) == 10


async def test_other_tasks_run_while_a_recording_is_played_as_fast_as_it_goes(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.recording", numbered(20))
    turns = 0
    seen: list[int] = []

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    def busy_sink(_: bytes, __: int) -> None:
        seen.append(turns)
        time.sleep(0.003)  # stands for work

    counting = asyncio.create_task(count_turns())
    await ReplayFeedConnection(path, 0).run(busy_sink)
    counting.cancel()
    assert len(set(seen)) == 20


async def test_a_cut_off_recording_is_played_to_its_last_block_and_finishes_with_the_reason(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.recording", numbered(3, 10**9))
    path.write_bytes(path.read_bytes()[:-5])
    connection = ReplayFeedConnection(path, 0)
    assert len(await played(connection)) == 3
    assert connection.counts.phase is ConnectionPhase.FINISHED
    assert "was cut off after 3 whole records" in connection.counts.last_error


async def test_a_recording_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "late.recording"
    connection = ReplayFeedConnection(path, 0, retry_s=0.01)
    playing = asyncio.create_task(played(connection))
    async with asyncio.timeout(5):
        await until(lambda: connection.counts.phase is ConnectionPhase.BACKING_OFF)
        assert "late.recording cannot be opened" in connection.counts.last_error
        assert connection.counts.retry_in_s is not None
        recording(tmp_path / "early.recording", numbered(2)).rename(path)
        assert len(await playing) == 2
    assert connection.counts.retry_in_s is None


async def test_a_recording_of_a_provider_without_a_decoder_is_not_played(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.recording", numbered(1), Provider.REPLAY)
    connection = ReplayFeedConnection(path, 0, retry_s=60)
    playing = asyncio.create_task(played(connection))
    async with asyncio.timeout(5):
        await until(lambda: connection.counts.phase is ConnectionPhase.BACKING_OFF)
    assert "is of provider Replay, which has no decoder" in connection.counts.last_error
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert connection.counts.phase is ConnectionPhase.DISCONNECTED


class ScriptedFeed:
    """A feed whose run is a function of the test's own."""

    def __init__(self, script: Callable[[FrameSink], Awaitable[None]]) -> None:
        self._script = script
        self.closed = False

    @property
    def decoder(self) -> FrameDecoder:
        return MassiveDecoder()

    @property
    def counts(self) -> ConnectionCounts:
        return ConnectionCounts()

    async def run(self, sink: FrameSink) -> None:
        try:
            await self._script(sink)
        finally:
            self.closed = True


def read(path: Path) -> list[Record]:
    with RecordingReader(path) as reader:
        return [found for block in reader.blocks() for found in block]


async def test_what_is_recorded_can_be_played_again(tmp_path: Path) -> None:
    first = recording(tmp_path / "first.recording", numbered(1000))
    recorded = await record(
        ReplayFeedConnection(first, 0), tmp_path / "second.recording", asset_class=AssetClass.STOCKS, note="a copy"
    )
    assert (recorded.frames, recorded.dropped, recorded.stopped) == (1000, 0, "")
    assert [frame for _, frame in read(tmp_path / "second.recording")] == [frame for _, frame in numbered(1000)]
    with RecordingReader(tmp_path / "second.recording") as reader:
        assert (reader.header.note, reader.header.asset_class) == ("a copy", AssetClass.STOCKS)


async def endless(sink: FrameSink) -> None:
    sink(b"[1]", START)
    await asyncio.Event().wait()


async def test_recording_for_a_while_closes_the_connection_and_ends_the_file(tmp_path: Path) -> None:
    feed = ScriptedFeed(endless)
    recorded = await record(feed, tmp_path / "a.recording", asset_class=AssetClass.STOCKS, seconds=0.05)
    assert (recorded.frames, feed.closed) == (1, True)
    assert read(tmp_path / "a.recording") == [(START, b"[1]")]


async def test_a_cancelled_recording_is_a_whole_file(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def script(sink: FrameSink) -> None:
        sink(b"[1]", START)
        started.set()
        await asyncio.Event().wait()

    recording_it = asyncio.create_task(
        record(ScriptedFeed(script), tmp_path / "a.recording", asset_class=AssetClass.STOCKS)
    )
    await started.wait()
    recording_it.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording_it
    assert read(tmp_path / "a.recording") == [(START, b"[1]")]


async def test_frames_that_the_disk_is_too_slow_for_are_dropped_and_counted(tmp_path: Path) -> None:
    async def script(sink: FrameSink) -> None:
        for _ in range(100):
            sink(bytes(1000), START)

    recorded = await record(
        ScriptedFeed(script), tmp_path / "a.recording", asset_class=AssetClass.STOCKS, max_waiting_bytes=10_500
    )
    assert (recorded.frames, recorded.dropped, recorded.stopped) == (10, 90, "")
    assert len(read(tmp_path / "a.recording")) == 10


async def test_recording_never_replaces_a_file(tmp_path: Path) -> None:
    path = recording(tmp_path / "a.recording", numbered(1))
    with pytest.raises(RecordingError, match="exists already"):
        await record(ScriptedFeed(endless), path, asset_class=AssetClass.STOCKS)


async def test_a_feed_that_fails_still_leaves_a_whole_file(tmp_path: Path) -> None:
    async def script(sink: FrameSink) -> None:
        sink(b"[1]", START)
        raise RuntimeError("boom")

    with contextlib.suppress(ExceptionGroup):
        await record(ScriptedFeed(script), tmp_path / "a.recording", asset_class=AssetClass.STOCKS)
    assert read(tmp_path / "a.recording") == [(START, b"[1]")]
