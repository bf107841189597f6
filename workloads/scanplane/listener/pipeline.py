"""From raw frames to batches: one task that decodes in slices and never starves the socket.

Everything it knows of time is the host's clock at receipt; event time is the routers' business.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

from scanplane.feeds.interface import FrameDecoder, RejectionReason
from scanplane.listener.frames import FrameBuffer
from scanplane.listener.routing import Router
from scanplane.listener.silence import SilenceWatch
from scanplane.telemetry.latency import LatencyHistogram

__all__ = ["Pipeline"]

SLICE_S = 0.004
LOOK_NS = 50_000_000
STALLED_NS = 1_000_000_000
"""Whoever has not looked for so long, though he looks every 0.1 s, was stalled: what he did not hear was not silence."""


class Pipeline:
    """Decodes what is in *buffer* and gives it to *routers*; flushes what has waited for its route's delay.

    ``is_streaming`` tells whether the connection is there, ``is_finished`` that nothing will ever come again. ``room`` tells
    whether the broker keeps up.
    """

    def __init__(
        self,
        buffer: FrameBuffer,
        decoder: FrameDecoder,
        routers: Sequence[Router],
        is_streaming: Callable[[], bool],
        latency: LatencyHistogram,
        room: Callable[[], bool] = lambda: True,
        is_finished: Callable[[], bool] = lambda: False,
    ) -> None:
        self.rejected: Counter[RejectionReason] = Counter()
        self.events = 0
        self.last_received_ns = 0
        self._buffer = buffer
        self._decoder = decoder
        self._routers = routers
        self._is_streaming = is_streaming
        self._is_finished = is_finished
        self._looked_ns = time.time_ns()
        self._watches = [SilenceWatch(router, self._looked_ns) for router in routers]
        self._latency = latency
        self._room = room
        self._ending = False
        self._delay_s = min((router.route.batch_delay_ns for router in routers), default=0) / 1e9
        self._held_since: float | None = None

    def end(self) -> None:
        """Let ``run`` return once the buffer is empty."""
        self._ending = True
        self._buffer.wake()

    async def run(self) -> None:
        """Process until ``end`` is called; then everything is handed on, room or not: what does not fit is the publisher's
        to drop and to count, and an end that waited for a broker that does not keep up might never come.
        """
        while not (self._ending and not self._buffer):
            filled = await self._buffer.filled(self._until_due_s())
            if filled and (self._ending or self._room()):
                self._slice()
            elif filled:
                await asyncio.sleep(0.001)  # the broker is behind: frames wait here, where they are bounded and counted
            if self._held_since is not None and time.monotonic() - self._held_since >= self._delay_s:
                self._flush()
            self._watch_silence()
            await asyncio.sleep(0)
        for router in self._routers:
            router.close(time.time_ns())
        self._flush()

    def _slice(self) -> None:
        """Decode for a few milliseconds; then others have their turn."""
        until = time.monotonic() + SLICE_S
        while self._buffer:
            frame, received_ns = self._buffer.take()
            decoded = self._decoder.decode(frame)
            for reason, count in decoded.rejected.items():
                self.rejected[reason] += count
            for channel, events in decoded.runs:
                self.events += len(events)
                for router in self._routers:
                    router.take(channel, events, received_ns)
            self.last_received_ns = received_ns
            now = time.monotonic()
            if self._held_since is None and any(router.holds_events for router in self._routers):
                self._held_since = now
            if now >= until:
                return

    def _flush(self) -> None:
        for router in self._routers:
            router.flush()
        self._held_since = None
        if self.last_received_ns:
            self._latency.record_ns(time.time_ns() - self.last_received_ns)

    def _until_due_s(self) -> float:
        if self._held_since is None:
            return 0.1
        return max(0.0, self._held_since + self._delay_s - time.monotonic())

    def _watch_silence(self) -> None:
        """Look at each market as of the instant up to which everything that was received is taken."""
        host_ns = self.last_received_ns if self._buffer else time.time_ns()
        since_ns = host_ns - self._looked_ns
        if -STALLED_NS <= since_ns < LOOK_NS:
            return
        self._looked_ns = host_ns
        is_streaming, is_finished = self._is_streaming(), self._is_finished() and not self._buffer
        for watch in self._watches:
            if abs(since_ns) > STALLED_NS:
                watch.excuse(host_ns)
            watch.look(host_ns, self.last_received_ns, is_streaming=is_streaming, is_finished=is_finished)
        if self._held_since is None:
            for router in self._routers:
                router.flush()
