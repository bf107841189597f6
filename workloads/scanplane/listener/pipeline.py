"""From raw frames to batches: one task that decodes in slices and never starves the socket.

Everything it knows of time is the host's clock at receipt; event time is the routers' business.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence

from scanplane.feeds.interface import FrameDecoder, RejectionReason
from scanplane.listener.frames import FrameBuffer
from scanplane.listener.routing import Router
from scanplane.listener.silence import SILENCE_S, SilenceWatch
from scanplane.telemetry.latency import LatencyHistogram

__all__ = ["Pipeline"]

SLICE_S = 0.004
STALLED_S = 1.0
"""Whoever has not looked for so long, though he looks every 0.1 s, was stalled: what he did not hear was not silence."""


class Pipeline:
    """Decodes what is in *buffer* and gives it to *routers*; flushes what has waited for its route's delay.

    ``is_streaming`` tells whether silence means a silent market, since while a connection is away it means nothing;
    ``is_finished`` that nothing will ever come again. ``room`` tells whether the broker keeps up.
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
        self._watches = [SilenceWatch(router) for router in routers]
        self._latency = latency
        self._room = room
        self._ending = False
        self._delay_s = min((router.route.batch_delay_ns for router in routers), default=0) / 1e9
        self._held_since: float | None = None
        self._last_frame = self._last_look = time.monotonic()

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
            if not self._buffer:
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
            self._last_frame = now
            for watch in self._watches:
                watch.hear(received_ns)
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
        """Close what is open in a silent market; a live one is ticked by the host's clock from then on."""
        now = time.monotonic()
        if now - self._last_look > STALLED_S:
            self._last_frame = now
        self._last_look = now
        if not self._is_streaming():
            return
        silent_s = math.inf if self._is_finished() else now - self._last_frame
        if silent_s < SILENCE_S:
            return
        host_ns = time.time_ns()
        for watch in self._watches:
            watch.look(silent_s, host_ns)
        self._flush_ticks()

    def _flush_ticks(self) -> None:
        for router in self._routers:
            if router.holds_events:
                router.flush()
