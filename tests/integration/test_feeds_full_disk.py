"""Recording onto a file system that really is full."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanplane.feeds.interface import ConnectionCounts, FrameDecoder, FrameSink
from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.feeds.replay.files import RecordingReader
from scanplane.feeds.replay.recorder import record
from scanplane.marketdata.channels import AssetClass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


class Flood:
    """A feed of 8 MiB that does not compress, in frames of 4 KiB, and that would never end by itself."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    @property
    def decoder(self) -> FrameDecoder:
        return MassiveDecoder()

    @property
    def counts(self) -> ConnectionCounts:
        return ConnectionCounts()

    async def run(self, sink: FrameSink) -> None:
        try:
            for number in range(2048):
                frame = os.urandom(4096)
                self.sent.append(frame)
                sink(frame, number)
            await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_a_full_disk_ends_the_recording_visibly_and_leaves_a_readable_file(small_disk: Path) -> None:
    feed = Flood()
    recorded = await record(feed, small_disk / "a.recording", asset_class=AssetClass.STOCKS)
    assert feed.closed
    assert recorded.stopped.endswith("No space left on device")
    assert recorded.frames > 0
    assert recorded.frames + recorded.dropped == len(feed.sent)
    with RecordingReader(small_disk / "a.recording") as reader:
        kept = [frame for block in reader.blocks() for _, frame in block]
        assert reader.end is not None
        assert reader.end.stopped == "No space left on device"
    assert kept == feed.sent[: recorded.frames]
