"""Plays a recording as if its provider sent it now."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from scanplane.feeds.interface import ConnectionCounts, ConnectionPhase, FrameDecoder, FrameSink
from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.feeds.replay.files import RecordingReader
from scanplane.feeds.replay.recording import Record, RecordingError
from scanplane.resources.feed import Provider

__all__ = ["ReplayFeedConnection"]

_LOGGER = logging.getLogger(__name__)

_YIELD_NS = 2_000_000
_SHORTEST_SLEEP_S = 0.001


class ReplayFeedConnection:
    """A recording as a feed's connection (see :class:`scanplane.feeds.interface.FeedConnection`).

    *speed* is times real time by the recorded times of receipt; 0 plays without waiting. A sink cannot say "not now",
    but a file, unlike a provider, can wait: *throttle* is awaited before every frame and returns when the sink's owner
    has room again, so that nothing is dropped however fast it is played. Whether or not it waits, the event loop gets
    its turn at least every 2 ms. A recording that cannot be opened is tried again every *retry_s* seconds, since its
    volume may yet arrive; one that is cut off is played up to there and then finished, with ``last_error`` set.
    """

    def __init__(
        self,
        path: Path,
        speed: float,
        *,
        throttle: Callable[[], Awaitable[None]] | None = None,
        decoder: FrameDecoder | None = None,
        retry_s: float = 5.0,
    ) -> None:
        self._path = path
        self._speed = speed
        self._throttle = throttle
        self._decoder = decoder or MassiveDecoder()
        self._retry_s = retry_s
        self._phase = ConnectionPhase.DISCONNECTED
        self._connects = 0
        self._disconnects = 0
        self._frames = 0
        self._bytes = 0
        self._last_error = ""
        self._retry_at: float | None = None

    @property
    def decoder(self) -> FrameDecoder:
        """What understands the recording's frames."""
        return self._decoder

    @property
    def counts(self) -> ConnectionCounts:
        """Totals and the present state."""
        return ConnectionCounts(
            phase=self._phase,
            connects=self._connects,
            disconnects=self._disconnects,
            frames=self._frames,
            bytes=self._bytes,
            last_error=self._last_error,
            retry_in_s=None if self._retry_at is None else max(0.0, self._retry_at - time.monotonic()),
        )

    async def run(self, sink: FrameSink) -> None:
        """Play the recording once; returns at its end."""
        try:
            reader = await self._open()
            self._connects += 1
            self._phase = ConnectionPhase.STREAMING
            try:
                await self._play(reader, sink)
            finally:
                self._disconnects += 1
                await asyncio.to_thread(reader.close)
        except BaseException:
            self._phase = ConnectionPhase.DISCONNECTED
            raise
        self._phase = ConnectionPhase.FINISHED

    async def _open(self) -> RecordingReader:
        while True:
            self._phase = ConnectionPhase.CONNECTING
            try:
                return await asyncio.to_thread(_open_of_known_provider, self._path)
            except RecordingError as error:
                self._last_error = str(error)
            _LOGGER.warning("%s; next attempt in %.0f s", self._last_error, self._retry_s)
            self._phase = ConnectionPhase.BACKING_OFF
            self._retry_at = time.monotonic() + self._retry_s
            try:
                await asyncio.sleep(self._retry_s)
            finally:
                self._retry_at = None

    async def _play(self, reader: RecordingReader, sink: FrameSink) -> None:
        _LOGGER.info("playing %s at speed %g: %s", self._path, self._speed, reader.header.note or "no note")
        blocks = reader.blocks()
        clock = _Clock(self._speed)
        try:
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                await self._play_block(block, clock, sink)
        except RecordingError as error:
            self._last_error = str(error)
            _LOGGER.error("%s", error)  # noqa: TRY400  # the message is complete; a traceback would say nothing more
            return
        if reader.end is not None and reader.end.stopped:
            self._last_error = f"recording {self._path} was broken off when it was made: {reader.end.stopped}"
            _LOGGER.warning("%s", self._last_error)

    async def _play_block(self, block: list[Record], clock: "_Clock", sink: FrameSink) -> None:
        for received_ns, frame in block:
            await clock.wait_until(received_ns)
            if self._throttle is not None:
                await self._throttle()
            self._frames += 1
            self._bytes += len(frame)
            sink(frame, time.time_ns())


class _Clock:
    """Says when a recorded instant has come, and lets others run in between."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._recorded_start_ns: int | None = None
        self._start_ns = self._yielded_ns = time.monotonic_ns()

    async def wait_until(self, recorded_ns: int) -> None:
        if self._recorded_start_ns is None:
            self._recorded_start_ns = recorded_ns
        now_ns = time.monotonic_ns()
        if self._speed > 0:
            due_ns = self._start_ns + (recorded_ns - self._recorded_start_ns) / self._speed
            wait_s = (due_ns - now_ns) / 1e9
            if wait_s >= _SHORTEST_SLEEP_S:
                await asyncio.sleep(wait_s)
                self._yielded_ns = time.monotonic_ns()
                return
        if now_ns - self._yielded_ns >= _YIELD_NS:
            await asyncio.sleep(0)
            self._yielded_ns = time.monotonic_ns()


def _open_of_known_provider(path: Path) -> RecordingReader:
    reader = RecordingReader(path)
    if reader.header.provider is not Provider.MASSIVE:
        reader.close()
        raise RecordingError(f"recording {path} is of provider {reader.header.provider}, which has no decoder")
    return reader
