"""What a listener counts of its clocks shows in its status, over all its terms."""

import msgspec

from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.listener.clock import REWIND_AFTER
from scanplane.listener.frames import FrameBuffer
from scanplane.listener.pipeline import Pipeline
from scanplane.listener.routing import Router
from scanplane.listener.totals import StreamTotals
from scanplane.telemetry.latency import LatencyHistogram
from support.routes import ROUTE

SECOND = 10**9
HOUR = 3600 * SECOND
START = 1_381_219_200 * SECOND


def frame(*times_ns: int) -> bytes:
    trade = {"ev": "T", "sym": "BAC", "x": 4, "p": 14.0, "s": 100, "q": 1}
    return msgspec.json.encode([trade | {"t": at // 10**6} for at in times_ns])


async def play(totals: StreamTotals, *times_ns: int) -> None:
    """Play one term."""
    buffer = FrameBuffer()
    router = Router("massive", ROUTE, 1, lambda _batch: None)
    latency = LatencyHistogram("receipt_to_publish", "Not looked at.")
    pipeline = Pipeline(buffer, MassiveDecoder(), [router], lambda: True, latency)
    totals.begin(pipeline, [router], {})
    buffer.put(frame(*times_ns), START + 1000 * HOUR)
    pipeline.end()
    await pipeline.run()
    assert totals.figures()["rewinds_total"] > 0
    totals.end()


async def test_rewinds_refused_jumps_and_late_events_are_figures() -> None:
    totals = StreamTotals()
    await play(totals, START + 5 * HOUR, *[START] * REWIND_AFTER)
    late, wrong, right = START - SECOND, START + 3 * HOUR, [START + number * SECOND for number in range(1, 4)]
    await play(totals, START + 5 * HOUR, *[START] * REWIND_AFTER, late, wrong, *right)
    figures = totals.figures()
    names = ("rewinds_total", "refused_clock_jumps_total", "late_events_total")
    assert [figures[name] for name in names] == [2, 1, 1]
