"""Proof that the event loop turns: how late a timer fires.

A loop that is blocked by one long computation is late for everything else. The probe sets itself a timer four times a
second and records by how much it was missed; its last beat shows a loop that stands still to whoever looks from
outside of it.
"""

import asyncio
import time

from scanplane.telemetry.latency import LatencyHistogram

__all__ = ["LagProbe"]

_INTERVAL_SECONDS = 0.25


class LagProbe:
    """Measures the event loop that runs it, into *histogram*."""

    def __init__(self, histogram: LatencyHistogram) -> None:
        self.histogram = histogram
        self._last_beat_ns = time.monotonic_ns()

    @property
    def silent_ns(self) -> int:
        """Nanoseconds since the loop last turned, as far as the probe knows."""
        return time.monotonic_ns() - self._last_beat_ns

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.monotonic_ns() + round(_INTERVAL_SECONDS * 1e9)
            await asyncio.sleep(_INTERVAL_SECONDS)
            self._last_beat_ns = time.monotonic_ns()
            self.histogram.record_ns(self._last_beat_ns - due)
