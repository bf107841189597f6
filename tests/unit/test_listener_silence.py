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
from scanplane.listener.routing import Router, RouteState
from scanplane.listener.silence import SILENCE_NS, SilenceWatch
from scanplane.marketdata.batches import Batch, decode_tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Trade
from scanplane.plan.configuration import Route
from scanplane.telemetry.latency import LatencyHistogram
from support.routes import ROUTE

SECOND = 10**9
MINUTE = 60 * SECOND
START = 1_381_219_200 * SECOND
HOST = START + 10 * 365 * 24 * 3600 * SECOND
ROUTE_BY_MINUTE = msgspec.structs.replace(ROUTE, evaluation_interval_ns=MINUTE)
LATENCY = LatencyHistogram("receipt_to_publish", "Not looked at.")


def ticks(sent: list[Batch], market: str = "us-stocks") -> list[int]:
    chosen = [batch for batch in sent if batch.header.channel is None and batch.header.market == market]
    return [decode_tick(batch.body).tick_ns for batch in chosen]


def frame(at_ns: int, symbol: str = "BAC", count: int = 1) -> bytes:
    trade = {"ev": "T", "sym": symbol, "x": 4, "p": 14.0, "s": 100, "t": at_ns // 10**6, "q": 1}
    return msgspec.json.encode([trade] * count)


class Market:
    """A market of a Feed, whose host's clock goes on by looks: one every tenth of a second."""

    def __init__(self, route: Route = ROUTE_BY_MINUTE, state: RouteState | None = None, *, host_ns: int = HOST) -> None:
        self.sent: list[Batch] = []
        self.router = Router("massive", route, 1, self.sent.append, state=state)
        self.host_ns = self.heard_ns = host_ns
        self._watch = SilenceWatch(self.router, host_ns)

    @property
    def ticks(self) -> list[int]:
        return ticks(self.sent, self.router.route.market)

    def take(self, *times_ns: int) -> None:
        """Let trades come, here and now."""
        self.heard_ns = self.host_ns
        self.router.take(Channel.TRADES, [Trade("BAC", at, 14.0, 100) for at in times_ns], self.host_ns)

    def excuse(self) -> None:
        """Say that nothing was heard of what came up to now."""
        self._watch.excuse(self.host_ns)

    def pass_time(self, seconds: float, *, is_streaming: bool = True, others: bool = False) -> None:
        """Look for so long, while something or nothing comes to the other markets of the Feed."""
        for _ in range(round(seconds * 10)):
            self.host_ns += SECOND // 10
            if others:
                self.heard_ns = self.host_ns
            self._watch.look(self.host_ns, self.heard_ns, is_streaming=is_streaming)


@pytest.mark.parametrize(("speed", "seconds"), [(1, 60), (0.5, 120), (20, 3), (30, 2), (500, 2)])
def test_an_interval_is_over_when_its_time_has_passed_at_the_markets_own_pace(speed: float, seconds: float) -> None:
    market = Market()
    for number in range(101):
        market.pass_time(0.1)
        market.take(START + int(number * speed * SECOND / 10))
    before = market.ticks
    market.pass_time(seconds - 0.1)
    assert market.ticks == before
    market.pass_time(0.1)
    assert market.ticks == [*before, before[-1] + MINUTE]


def test_a_recording_waits_while_its_connection_is_away_and_is_not_silent_when_it_is_back() -> None:
    market = Market(replace(ROUTE, evaluation_interval_ns=SECOND))
    market.take(START)
    market.pass_time(60.0, is_streaming=False)
    market.pass_time(1.9)
    market.take(START + 1)
    assert market.ticks == [START]


def test_a_recording_is_closed_by_the_silence_of_its_feed_alone() -> None:
    market = Market()
    market.take(START)
    market.pass_time(100.0, others=True)
    assert market.ticks == [START]
    market.pass_time(60.0)
    assert market.ticks == [START, START + MINUTE]


def live(interval_ns: int = SECOND, *, lag_ns: int = 0, state: RouteState | None = None, **route: bool) -> Market:
    return Market(replace(ROUTE, evaluation_interval_ns=interval_ns, **route), state, host_ns=START + lag_ns)


@pytest.mark.parametrize("lag", [-SECOND // 2, 0, SECOND // 3, 15 * MINUTE])
def test_a_live_market_is_ticked_by_the_host_clock_less_its_lag_whatever_comes_to_others(lag: int) -> None:
    for others in (False, True):
        market = live(lag_ns=lag)
        market.take(START)
        market.pass_time(1.9, others=others)
        assert market.ticks == [START]
        market.pass_time(4.1, others=others)
        seen = 6 * SECOND + min(lag, 0)
        assert market.ticks == [START + at for at in range(0, seen + 1, SECOND)]


def test_late_events_do_not_keep_a_silent_market_from_being_ticked() -> None:
    market = live()
    market.take(START + SECOND)
    for _ in range(60):
        market.pass_time(0.1)
        market.take(START)
    assert market.ticks[-1] == START + 6 * SECOND
    assert market.router.clock is not None
    assert market.router.clock.counts.late_events == 60


def test_a_long_interval_of_a_live_market_is_closed_when_its_time_is_over() -> None:
    market = live(MINUTE)
    market.take(START)
    market.pass_time(59.9)
    assert market.ticks == [START]
    market.pass_time(0.1)
    assert market.ticks == [START, START + MINUTE]


def test_a_market_to_which_others_deliver_goes_on_while_its_clock_is_away() -> None:
    market = live(ticks_while_away=True)
    market.take(START)
    market.pass_time(60.0, is_streaming=False)
    assert market.ticks == [START + seconds * SECOND for seconds in range(61)]


def test_a_market_to_which_nobody_else_delivers_stands_while_its_clock_is_away() -> None:
    market = live()
    market.take(START)
    market.pass_time(60.0, is_streaming=False)
    assert market.ticks == [START]


def test_a_clock_that_was_handed_over_goes_on_before_its_first_event() -> None:
    first = live()
    first.take(START)
    market = live(state=first.router.state, ticks_while_away=True)
    market.pass_time(10.0, is_streaming=False)
    assert market.ticks[-1] == START + 10 * SECOND


def test_what_a_stalled_process_did_not_hear_was_not_silence() -> None:
    market = live()
    market.take(START)
    market.host_ns += 60 * SECOND
    market.excuse()
    market.pass_time(1.9)
    assert market.ticks == [START]
    market.pass_time(0.1)
    assert market.ticks[-1] == START + 62 * SECOND


@pytest.mark.parametrize("interval", [SECOND // 4, SECOND, 10 * SECOND, MINUTE])
def test_a_change_to_a_delayed_feed_leaves_boards_going_on_and_its_clock_is_caught_up_with(interval: int) -> None:
    real_time = live(interval)
    real_time.take(START)
    market = live(interval, state=real_time.router.state)
    assert market.router.clock is not None
    quarter = 15 * MINUTE
    for _ in range(14 * 60 * 10):
        market.pass_time(0.1)
        market.take(market.host_ns - quarter)
    ticks, expected = market.ticks, 14 * MINUTE // max(2 * SECOND, 2 * interval)
    first = START - START % interval
    assert ticks == [first + number * interval for number in range(1, len(ticks) + 1)]
    assert expected - 1 <= len(ticks) <= expected
    assert market.router.clock.counts.late_events == 14 * 60 * 10
    while market.host_ns < START + 40 * MINUTE:
        market.pass_time(0.1)
        market.take(market.host_ns - quarter)
    assert 0 <= START + 25 * MINUTE - market.ticks[-1] <= interval


def test_a_tick_by_the_host_clock_is_as_new_as_the_clock_and_not_as_old_as_the_last_event() -> None:
    market = live()
    market.take(START)
    market.pass_time(3600.0)
    headers = [batch.header for batch in market.sent if batch.header.channel is None]
    assert headers[0].last_received_ns == START
    assert headers[-1].last_received_ns == headers[-1].first_received_ns == market.host_ns
    assert is_live(market.ticks[-1], headers[-1].last_received_ns)


async def test_a_finished_recordings_last_interval_is_closed_at_once() -> None:
    sent: list[Batch] = []
    closed = asyncio.Event()

    def publish(batch: Batch) -> None:
        sent.append(batch)
        if len(ticks(sent)) == 2:
            closed.set()

    buffer = FrameBuffer()
    router = Router("recording", ROUTE_BY_MINUTE, 1, publish)
    pipeline = Pipeline(buffer, MassiveDecoder(), [router], lambda: True, LATENCY, is_finished=lambda: True)
    buffer.put(frame(START), time.time_ns())
    running = asyncio.create_task(pipeline.run())
    async with asyncio.timeout(SILENCE_NS / 2e9):
        await closed.wait()
    pipeline.end()
    await running
    assert ticks(sent) == [START, START + MINUTE]


def quiet_and_busy(sent: list[Batch]) -> list[Router]:
    routes = [
        replace(ROUTE, market=market, channels={Channel.TRADES: (symbol,)}, evaluation_interval_ns=SECOND // 4)
        for market, symbol in (("quiet", "XYZ"), ("busy", "SPY"))
    ]
    return [Router("massive", route, 1, sent.append) for route in routes]


async def test_a_quiet_market_is_ticked_while_another_one_of_its_feed_trades_on() -> None:
    sent: list[Batch] = []
    buffer = FrameBuffer()
    pipeline = Pipeline(buffer, MassiveDecoder(), quiet_and_busy(sent), lambda: True, LATENCY)
    running = asyncio.create_task(pipeline.run())
    buffer.put(frame(time.time_ns(), "XYZ"), time.time_ns())
    async with asyncio.timeout(2 * SILENCE_NS / 1e9):
        while len(ticks(sent, "quiet")) < 3:
            buffer.put(frame(time.time_ns(), "SPY"), time.time_ns())
            await asyncio.sleep(0.05)
    pipeline.end()
    await running


async def test_a_quiet_market_is_ticked_though_frames_of_another_one_never_cease_to_wait() -> None:
    sent: list[Batch] = []
    buffer = FrameBuffer()
    begin = time.time_ns() - 20 * SECOND
    buffer.put(frame(begin, "XYZ"), begin)
    for number in range(5000):
        at = begin + number * 2_000_000
        buffer.put(frame(at, "SPY", 20), at)
    pipeline = Pipeline(buffer, MassiveDecoder(), quiet_and_busy(sent), lambda: True, LATENCY)
    pipeline.end()
    await pipeline.run()
    quiet = ticks(sent, "quiet")
    assert len(quiet) > 10
    assert begin + 9 * SECOND < quiet[-1] <= begin + 10 * SECOND


async def test_the_end_does_not_wait_for_a_broker_that_has_no_room() -> None:
    sent: list[Batch] = []
    buffer = FrameBuffer()
    router = Router("massive", ROUTE_BY_MINUTE, 1, sent.append)
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
