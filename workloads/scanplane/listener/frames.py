"""Raw frames between the socket and the decoder: bounded in bytes, and honest about what did not fit."""

import asyncio
from collections import deque

from msgspec import Struct

__all__ = ["FrameBuffer", "FrameCounts"]

MAX_BYTES = 64 * 1024 * 1024
_RESUME_BYTES = MAX_BYTES // 4


class FrameCounts(Struct, kw_only=True):
    """Totals for status and metrics."""

    frames: int = 0
    bytes: int = 0
    dropped_frames: int = 0
    dropped_bytes: int = 0
    throttled: int = 0


class FrameBuffer:
    """A queue that the socket task puts into without ever waiting, and the processing task takes from.

    When it is half full, ``room`` holds back the source: a recording stops, a provider's data stays in the buffers between us and
    the provider. Should it fill all the same, the oldest frame is dropped and counted: fresh data is worth more than old.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.counts = FrameCounts()
        self._frames: deque[tuple[bytes, int]] = deque()
        self._held_bytes = 0
        self._max_bytes = max_bytes
        self._resume_bytes = min(_RESUME_BYTES, max_bytes // 4)
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def held_bytes(self) -> int:
        """Bytes that wait."""
        return self._held_bytes

    def put(self, frame: bytes, received_ns: int) -> None:
        """Add a frame and the host's clock at its receipt."""
        size = len(frame)
        self.counts.frames += 1
        self.counts.bytes += size
        self._held_bytes += size
        self._frames.append((frame, received_ns))
        while self._held_bytes > self._max_bytes and len(self._frames) > 1:
            dropped = len(self._frames.popleft()[0])
            self._held_bytes -= dropped
            self.counts.dropped_frames += 1
            self.counts.dropped_bytes += dropped
        if self._held_bytes > self._resume_bytes * 2:
            self._room.clear()
        self._filled.set()

    def take(self) -> tuple[bytes, int]:
        """Remove and return the oldest frame. Raises IndexError where there is none."""
        frame, received_ns = self._frames.popleft()
        self._held_bytes -= len(frame)
        if self._held_bytes <= self._resume_bytes:
            self._room.set()
        if not self._frames:
            self._filled.clear()
        return frame, received_ns

    def wake(self) -> None:
        """Let ``filled`` return though nothing has come."""
        self._filled.set()

    async def room(self) -> None:
        """Wait until the buffer is well below its bound."""
        if not self._room.is_set():
            self.counts.throttled += 1
            await self._room.wait()

    async def filled(self, timeout_s: float) -> bool:
        """Wait for a frame for at most *timeout_s* seconds; tell whether there is one."""
        if not self._frames:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._filled.wait()
            except TimeoutError:
                return False
        return bool(self._frames)
