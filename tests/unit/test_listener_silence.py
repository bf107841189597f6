"""What a silent market means, at any pace and with a broker that does not keep up."""

import asyncio
import time

import msgspec
import pytest
from msgspec.structs import replace

from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.gateway.freshness import is_live
from scanplane.listener.frames import FrameBuffer
from scanplane.listener.pipeline import Pipeline
from scanplane.listener.routing import Router
from scanplane.listener.silence import SILENCE_S, Pace, SilenceWatch
from scanplane.marketdata.batches import Batch, decode_tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Trade
from scanplane.plan.configuration import Route
from scanplane.telemetry.latency import LatencyHistogram

SECOND = 10**9
MINUTE = 60 * SECOND
START = 1_381_219_200 * SECOND
HOST = START + 10 * 365 * 24 * 3600 * SECOND
ROUTE = Route(
    market="us-stocks",
    partitions=1,
    channels={Channel.TRADES: None},
    stamps_ticks=True,
    evaluation_interval_ns=MINUTE,
    time_to_live_ns=30 * SECOND,
    max_bytes=2**29,
    publisher_confirms=True,
    batch_delay_ns=5_000_000,
)
LATENCY = LatencyHistogram("receipt_to_publish", "Not looked at.")


def ticks(sent: list[Batch], market: str = "us-stocks") -> list[int]:
    chosen = [batch for batch in sent if batch.header.channel is None and batch.header.market == market]
    return [decode_tick(batch.body).tick_ns for batch in chosen]


def frame(at_ns: int) -> bytes:
    return msgspec.json.encode([{"ev": "T", "sym": "BAC", "x": 4, "p": 14.0, "s": 100, "t": at_ns // 10**6, "q": 1}])


@pytest.mark.parametrize(("speed", "seconds"), [(1, 60), (0.5, 120), (20, 3), (30, SILENCE_S), (2000, SILENCE_S)])
def test_an_interval_is_over_when_its_time_has_passed_at_the_markets_own_pace(speed: float, seconds: float) -> None:
    pace = Pace()
    for step in range(1000):
        pace.observe(START + int(step * SECOND * speed), HOST + step * SECOND)
    assert pace.silence_s(MINUTE) == pytest.approx(seconds)


def test_a_pace_that_nothing_was_measured_of_is_that_of_a_live_market() -> None:
    pace = Pace()
    assert pace.silence_s(MINUTE) == 60
    pace.observe(START, HOST)
    pace.observe(START + SECOND, HOST)
    assert pace.silence_s(MINUTE) == 60


def test_a_recording_that_begins_again_is_measured_from_there() -> None:
    pace = Pace()
    pace.observe(START + 3600 * SECOND, HOST)
    pace.observe(START, HOST + 10 * SECOND)
    pace.observe(START + 40 * SECOND, HOST + 14 * SECOND)
    assert pace.speed == pytest.approx(10)


def test_events_after_two_seconds_of_silence_within_an_interval_do_not_miss_its_tick() -> None:
    sent: list[Batch] = []
    router = Router("massive", ROUTE, 1, sent.append)
    watch = SilenceWatch(router)
    for seconds in range(5):
        router.take(Channel.TRADES, [Trade("BAC", START + seconds * SECOND, 14.0, 100)], HOST + seconds * SECOND)
        watch.hear(HOST + seconds * SECOND)
    watch.look(3.0, HOST + 7 * SECOND)
    assert ticks(sent) == [START]
    watch.look(60.0, HOST + 64 * SECOND)
    assert ticks(sent) == [START, START + MINUTE]


def test_the_silence_of_a_feed_closes_the_interval_of_each_of_its_markets() -> None:
    sent: list[Batch] = []
    routers = [Router("massive", replace(ROUTE, market=market), 1, sent.append) for market in ("here", "there")]
    watches = [SilenceWatch(router) for router in routers]
    for router, watch in zip(routers, watches, strict=True):
        router.take(Channel.TRADES, [Trade("BAC", START, 14.0, 100)], HOST)
        watch.hear(HOST)
        watch.look(100.0, HOST + 100 * SECOND)
    assert ticks(sent, "here") == ticks(sent, "there") == [START, START + MINUTE]


def test_a_live_market_is_ticked_by_the_host_clock_less_its_lag() -> None:
    sent: list[Batch] = []
    router = Router("massive", replace(ROUTE, evaluation_interval_ns=SECOND), 1, sent.append)
    watch = SilenceWatch(router)
    lag = 15 * MINUTE
    router.take(Channel.TRADES, [Trade("BAC", START, 14.0, 100)], START + lag)
    watch.hear(START + lag)
    for seconds in (3, 4, 5):
        watch.look(seconds, START + lag + seconds * SECOND)
    assert ticks(sent) == [START + seconds * SECOND for seconds in (0, 1, 3, 4, 5)]


def test_a_tick_by_the_host_clock_is_as_new_as_the_clock_and_not_as_old_as_the_last_event() -> None:
    sent: list[Batch] = []
    router = Router("massive", replace(ROUTE, evaluation_interval_ns=SECOND), 1, sent.append)
    watch = SilenceWatch(router)
    router.take(Channel.TRADES, [Trade("BAC", START, 14.0, 100)], START + 1)
    watch.hear(START + 1)
    watch.look(3600.0, START + 3600 * SECOND + 1)
    (closing, host) = [batch.header for batch in sent if batch.header.channel is None][-2:]
    assert closing.last_received_ns == START + 1
    assert host.last_received_ns == host.first_received_ns == START + 3600 * SECOND + 1
    assert is_live(decode_tick(sent[-1].body).tick_ns, host.last_received_ns)


async def test_a_finished_recordings_last_interval_is_closed_at_once() -> None:
    sent: list[Batch] = []
    closed = asyncio.Event()

    def publish(batch: Batch) -> None:
        sent.append(batch)
        if len(ticks(sent)) == 2:
            closed.set()

    buffer = FrameBuffer()
    router = Router("recording", ROUTE, 1, publish)
    pipeline = Pipeline(buffer, MassiveDecoder(), [router], lambda: True, LATENCY, is_finished=lambda: True)
    buffer.put(frame(START), time.time_ns())
    running = asyncio.create_task(pipeline.run())
    async with asyncio.timeout(SILENCE_S / 2):
        await closed.wait()
    pipeline.end()
    await running
    assert ticks(sent) == [START, START + MINUTE]


async def test_the_end_does_not_wait_for_a_broker_that_has_no_room() -> None:
    sent: list[Batch] = []
    buffer = FrameBuffer()
    router = Router("massive", ROUTE, 1, sent.append)
    pipeline = Pipeline(buffer, MassiveDecoder(), [router], lambda: True, LATENCY, room=lambda: False)
    for number in range(3):
        buffer.put(frame(START + number * SECOND), time.time_ns())
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(0.01)
    assert (pipeline.events, len(buffer)) == (0, 3)
    pipeline.end()
    async with asyncio.timeout(5):
        await running
    assert (pipeline.events, len(buffer)) == (3, 0)
    assert sum(batch.header.count for batch in sent if batch.header.channel is not None) == 3
