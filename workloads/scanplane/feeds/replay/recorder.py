"""Records what a feed's connection sends, without ever slowing it."""

import asyncio
import logging
import time
from collections import deque
from pathlib import Path

from msgspec import Struct

from scanplane.feeds.interface import FeedConnection
from scanplane.feeds.replay.files import RecordingWriter
from scanplane.feeds.replay.recording import Record, RecordingError, RecordingHeader
from scanplane.marketdata.channels import AssetClass
from scanplane.resources.feed import Provider

__all__ = ["Recorded", "record"]

_LOGGER = logging.getLogger(__name__)

MAX_WAITING_BYTES = 64 * 1024 * 1024


class Recorded(Struct, frozen=True, kw_only=True):
    """What became of a recording: frames in the file, frames dropped because the disk was too slow or refused, and
    why it stopped early (empty where it did not).
    """

    frames: int
    dropped: int
    stopped: str


class _Waiting:
    """Frames between the socket and the disk, bounded in bytes; a frame too many is dropped and counted."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._frames: deque[Record] = deque()
        self._bytes = 0
        self.dropped = 0
        self.taken = 0
        self.arrived = asyncio.Event()

    def put(self, frame: bytes, received_ns: int) -> None:
        if self._bytes + len(frame) > self._max_bytes:
            self.dropped += 1
            return
        self._frames.append((received_ns, frame))
        self._bytes += len(frame)
        self.arrived.set()

    def take(self) -> list[Record]:
        frames = list(self._frames)
        self._frames.clear()
        self._bytes = 0
        self.taken += len(frames)
        self.arrived.clear()
        return frames


async def record(
    connection: FeedConnection,
    path: Path,
    *,
    asset_class: AssetClass,
    note: str = "",
    seconds: float | None = None,
    stop: asyncio.Event | None = None,
    max_waiting_bytes: int = MAX_WAITING_BYTES,
) -> Recorded:
    """Record *connection* to a new file for *seconds* (None: until the connection ends, *stop*, or this is cancelled).

    The file is ended properly in every case; when cancelled too, and then CancelledError goes on. When the disk
    refuses to take more, recording ends and the result says so. Raises RecordingError if the file cannot be made.
    """
    header = RecordingHeader(provider=Provider.MASSIVE, asset_class=asset_class, started_ns=time.time_ns(), note=note)
    writer = await asyncio.to_thread(RecordingWriter, path, header)
    waiting = _Waiting(max_waiting_bytes)
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            writing = group.create_task(_write_until_refused(writer, waiting))
            reading = group.create_task(connection.run(waiting.put))
            stopping = group.create_task((stop or asyncio.Event()).wait())
            await asyncio.wait((reading, writing, stopping), return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, writing, stopping):
                task.cancel()
    except TimeoutError:
        pass
    finally:
        await asyncio.to_thread(_finish, writer, waiting)
        _LOGGER.info("recorded %d frames in %s, dropped %d", writer.records, path, waiting.dropped)
    lost = waiting.taken - writer.records
    return Recorded(frames=writer.records, dropped=waiting.dropped + lost, stopped=writer.stopped)


async def _write_until_refused(writer: RecordingWriter, waiting: _Waiting) -> None:
    while True:
        await waiting.arrived.wait()
        writing = asyncio.ensure_future(asyncio.to_thread(_append_all, writer, waiting.take()))
        try:
            accepted = await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait((writing,))  # the thread goes on regardless, and the file is not ours until it is done
            raise
        if not accepted:
            return


def _append_all(writer: RecordingWriter, frames: list[Record]) -> bool:
    """Append what the file takes; return False when the disk takes no more. A frame too large for a block is left out."""
    for received_ns, frame in frames:
        try:
            writer.append(received_ns, frame)
        except RecordingError as error:
            _LOGGER.error("%s", error)  # noqa: TRY400  # the message is complete; a traceback would say nothing more
            if writer.stopped:
                return False
    return True


def _finish(writer: RecordingWriter, waiting: _Waiting) -> None:
    _append_all(writer, waiting.take())
    try:
        writer.close()
    except RecordingError as error:
        _LOGGER.error("%s", error)  # noqa: TRY400  # as above
