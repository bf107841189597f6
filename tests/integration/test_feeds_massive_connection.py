"""The connection to Massive against real sockets: what it survives, what it tells, and how it ends."""

import asyncio
import contextlib
import http
import json
import logging
import time
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers

from scanplane.feeds.interface import ConnectionPhase, FeedConnection
from scanplane.feeds.massive.backoff import BackoffTimes
from scanplane.feeds.massive.connection import MassiveFeedConnection, MassiveTimes
from scanplane.marketdata.channels import Channel
from support.feeds_provider import CONNECTED, acknowledge, deaf_provider, scripted_provider, status, until

KEY = "kEy-that-must-not-leak"
TOPICS = ("A.*", "T.AAPL")
QUICK = MassiveTimes(
    open_s=2.0,
    handshake_s=2.0,
    acknowledge_s=0.05,
    close_s=0.3,
    backoff=BackoffTimes(first_s=0.01, longest_s=0.02, connection_limit_s=0.05, first_authentication_s=0.05),
)
PATIENT = MassiveTimes(backoff=BackoffTimes(first_s=600.0, longest_s=600.0))


def trade(number: int) -> str:
    return json.dumps([{"ev": "T", "sym": "AAPL", "t": 1_700_000_000_000, "p": 1.5, "s": 1, "q": number}])


class Running:
    """A connection that runs, and what it handed over."""

    def __init__(self, connection: FeedConnection) -> None:
        self.connection = connection
        self.frames: list[tuple[bytes, int]] = []
        self._arrived = asyncio.Condition()
        self.task = asyncio.create_task(connection.run(self.sink))

    def sink(self, frame: bytes, received_ns: int) -> None:
        self.frames.append((frame, received_ns))

    @property
    def texts(self) -> list[str]:
        return [frame.decode() for frame, _ in self.frames]

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@contextlib.asynccontextmanager
async def running(
    endpoint: str, times: MassiveTimes = QUICK, topics: tuple[str, ...] = TOPICS
) -> AsyncIterator[Running]:
    run = Running(MassiveFeedConnection(endpoint, KEY, topics, times=times, jitter=lambda: 1.0))
    try:
        async with asyncio.timeout(10):
            yield run
    finally:
        await run.stop()


async def test_data_arrives_in_order_with_the_time_of_its_receipt() -> None:
    async def script(socket: ServerConnection, _: int) -> None:
        assert await acknowledge(socket) == KEY
        for number in range(1000):
            await socket.send(trade(number))
        await socket.wait_closed()

    before = time.time_ns()
    async with scripted_provider(script) as provider, running(provider.endpoint) as run:
        await until(lambda: len(run.frames) == 1000)
        counts = run.connection.counts
    assert run.texts == [trade(number) for number in range(1000)]
    stamps = [stamp for _, stamp in run.frames]
    assert before <= stamps[0] <= stamps[-1] <= time.time_ns()
    assert (counts.phase, counts.connects, counts.frames) == (ConnectionPhase.STREAMING, 1, 1000)
    assert counts.bytes == sum(len(text) for text in run.texts)
    assert counts.unacknowledged == ()
    assert run.connection.counts.phase is ConnectionPhase.DISCONNECTED


async def test_statuses_inside_data_are_heard_and_the_data_is_kept() -> None:
    mixed = json.dumps([json.loads(status("success", "subscribed to: A.*"))[0], json.loads(trade(1))[0]])
    last = json.dumps([json.loads(trade(2))[0], json.loads(status("max_connections", "Maximum"))[0]])

    async def script(socket: ServerConnection, _: int) -> None:
        await acknowledge(socket, except_for=frozenset(TOPICS))
        await socket.send(mixed)
        await socket.send(last)
        await socket.wait_closed()

    async with scripted_provider(script) as provider, running(provider.endpoint, PATIENT, ("A.*",)) as run:
        await until(lambda: run.connection.counts.connection_limit_refusals == 1)
    assert run.texts == [mixed, last]
    decoded = run.connection.decoder.decode(run.frames[0][0])
    assert [(channel, len(events)) for channel, events in decoded.runs] == [(Channel.TRADES, 1)]
    assert decoded.rejected == {}


async def test_a_cut_connection_is_made_again_and_never_beside_another() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await acknowledge(socket)
        await socket.send(trade(number))
        if number < 3:
            socket.transport.abort()
        await socket.wait_closed()

    async with scripted_provider(script) as provider, running(provider.endpoint) as run:
        await until(lambda: len(run.frames) == 4)
        counts = run.connection.counts
        assert provider.most_open == 1
    assert run.texts == [trade(number) for number in range(4)]
    assert (counts.connects, counts.disconnects) == (4, 3)
    assert "connection lost" in counts.last_error


async def test_a_provider_that_closes_properly_is_connected_to_again() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await acknowledge(socket)
        await socket.send(trade(number))
        if number == 0:
            await socket.close(1001, "going away for maintenance")
        await socket.wait_closed()

    async with scripted_provider(script) as provider, running(provider.endpoint) as run:
        await until(lambda: len(run.frames) == 2)
        assert "going away for maintenance" in run.connection.counts.last_error


async def test_a_refused_key_is_counted_and_tried_again() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        if number == 2:
            await acknowledge(socket)
            await socket.wait_closed()
            return
        await socket.send(CONNECTED)
        await socket.recv()
        await socket.send(status("auth_failed", f"authentication failed for {KEY}"))
        await socket.wait_closed()

    async with scripted_provider(script) as provider, running(provider.endpoint) as run:
        await until(lambda: run.connection.counts.phase is ConnectionPhase.STREAMING)
        counts = run.connection.counts
    assert counts.authentication_failures == 2
    assert counts.last_error == "the provider said auth_failed: authentication failed for ***"


async def test_a_connection_too_many_cools_down_for_a_minute_though_it_was_acknowledged() -> None:
    async def script(socket: ServerConnection, _: int) -> None:
        await acknowledge(socket)
        await socket.send(trade(1))
        await socket.send(status("max_connections", "Maximum number of websocket connections exceeded."))
        await socket.close(1008)

    async with scripted_provider(script) as provider, running(provider.endpoint, MassiveTimes()) as run:
        await until(lambda: run.connection.counts.phase is ConnectionPhase.BACKING_OFF)
        counts = run.connection.counts
        assert counts.retry_in_s is not None
        assert 60.0 < counts.retry_in_s <= 75.0
        assert provider.connections == 1
    assert counts.connection_limit_refusals == 1
    assert run.texts == [trade(1)]
    assert "Maximum number of websocket connections exceeded" in counts.last_error
    assert run.connection.counts.retry_in_s is None


async def test_topics_without_an_answer_are_told_while_the_others_stream(caplog: pytest.LogCaptureFixture) -> None:
    async def script(socket: ServerConnection, _: int) -> None:
        await acknowledge(socket, except_for=frozenset({"T.AAPL"}))
        await socket.send(status("error", "not authorized"))
        await socket.send(trade(1))
        await socket.wait_closed()

    async with scripted_provider(script) as provider, running(provider.endpoint) as run:
        await until(lambda: run.connection.counts.phase is ConnectionPhase.STREAMING)
        counts = run.connection.counts
        assert counts.unacknowledged == ("T.AAPL",)
        assert counts.last_error == "the provider said error: not authorized"
        assert run.texts == [trade(1)]
        assert provider.open == 1
    assert "did not acknowledge 1 of 2 topics: T.AAPL" in caplog.text


@pytest.mark.parametrize("greets", [False, True])
async def test_a_silent_provider_is_left_after_a_while(*, greets: bool) -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        if number == 0:
            if greets:
                await socket.send(CONNECTED)
        else:
            await acknowledge(socket)
        await socket.wait_closed()

    times = MassiveTimes(handshake_s=0.05, close_s=0.3, backoff=QUICK.backoff)
    async with scripted_provider(script) as provider, running(provider.endpoint, times) as run:
        await until(lambda: run.connection.counts.phase is ConnectionPhase.STREAMING)
        assert "the provider is silent" in run.connection.counts.last_error
        assert provider.most_open == 1


async def test_a_provider_that_is_not_there_is_told_and_waited_for() -> None:
    async def script(socket: ServerConnection, _: int) -> None:
        await socket.wait_closed()

    async with scripted_provider(script) as provider:
        endpoint = provider.endpoint
    async with running(endpoint, PATIENT) as run:
        await until(lambda: run.connection.counts.phase is ConnectionPhase.BACKING_OFF)
        counts = run.connection.counts
    assert counts.connects == 0
    assert counts.last_error.startswith(f"cannot connect to {endpoint}: ")


@pytest.mark.parametrize(("code", "failures"), [(401, 1), (403, 1), (429, 0), (500, 0)])
async def test_a_key_may_be_refused_by_http_too(code: int, failures: int) -> None:
    def refuse(socket: ServerConnection, _: Request) -> Response:
        return socket.respond(http.HTTPStatus(code), f"no, {KEY}")

    async def handle(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(handle, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with running(f"ws://127.0.0.1:{port}/stocks", PATIENT) as run:
            await until(lambda: run.connection.counts.phase is ConnectionPhase.BACKING_OFF)
            counts = run.connection.counts
    assert counts.authentication_failures == failures
    assert str(code) in counts.last_error
    assert KEY not in counts.last_error


async def test_the_key_does_not_follow_a_redirect_to_another_server() -> None:
    heard: list[str] = []

    async def eavesdrop(socket: ServerConnection, _: int) -> None:
        await socket.send(CONNECTED)
        heard.append(str(await socket.recv()))

    async with scripted_provider(eavesdrop) as other:

        def redirect(_: ServerConnection, __: Request) -> Response:
            return Response(302, "Found", Headers({"Location": other.endpoint, "Content-Length": "0"}))

        async def handle(socket: ServerConnection) -> None:
            await socket.wait_closed()

        async with serve(handle, "127.0.0.1", 0, process_request=redirect) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with running(f"ws://127.0.0.1:{port}/stocks", PATIENT) as run:
                await until(lambda: run.connection.counts.phase is ConnectionPhase.BACKING_OFF)
                assert "redirected to 127.0.0.1" in run.connection.counts.last_error
    assert heard == []


async def test_a_stop_ends_with_the_closing_handshake_and_a_closed_socket() -> None:
    async def script(socket: ServerConnection, _: int) -> None:
        await acknowledge(socket)
        await socket.send(trade(1))
        await socket.wait_closed()

    async with scripted_provider(script) as provider:
        async with running(provider.endpoint) as run:
            await until(lambda: len(run.frames) == 1)
            await run.stop()
            assert run.connection.counts.phase is ConnectionPhase.DISCONNECTED
            assert run.connection.counts.disconnects == 1
        await until(lambda: provider.open == 0)
        assert provider.close_codes == [1000]


async def test_a_stop_in_a_flood_still_ends_with_the_closing_handshake_and_keeps_what_came() -> None:
    big = trade(0) + " " * 60_000
    sent = 0

    async def script(socket: ServerConnection, _: int) -> None:
        nonlocal sent
        await acknowledge(socket)
        while True:
            await socket.send(big)
            sent += 1

    times = MassiveTimes(close_s=5.0)
    async with scripted_provider(script) as provider:
        async with running(provider.endpoint, times) as run:
            await until(lambda: len(run.frames) >= 200)
            await run.stop()
        await until(lambda: provider.open == 0)
        assert provider.close_codes == [1000]
    # The frame that was being sent when the close came in may or may not have gone out.
    assert len(run.frames) in {sent, sent + 1}


async def test_a_provider_that_does_not_answer_a_close_is_left_within_the_bound() -> None:
    acknowledged = [status("success", f"subscribed to: {topic}") for topic in TOPICS]
    frames = [CONNECTED, status("auth_success"), *acknowledged, trade(1)]
    async with deaf_provider(frames) as (endpoint, gone), running(endpoint) as run:
        await until(lambda: len(run.frames) == 1)
        await run.stop()
        await gone.wait()
        assert run.connection.counts.phase is ConnectionPhase.DISCONNECTED


async def test_a_second_stop_does_not_leave_the_socket_open() -> None:
    async with deaf_provider([CONNECTED]) as (endpoint, gone):
        async with running(endpoint, MassiveTimes(close_s=600.0)) as run:
            await until(lambda: run.connection.counts.phase is ConnectionPhase.AUTHENTICATING)
            run.task.cancel()
            await until(lambda: run.connection.counts.phase is ConnectionPhase.DISCONNECTED)
            assert not run.task.done()
            await run.stop()
            assert run.task.done()
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_frame_beyond_the_limit_costs_the_connection_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanplane.feeds.massive.connection.MAX_FRAME_BYTES", 1000)

    async def script(socket: ServerConnection, number: int) -> None:
        await acknowledge(socket)
        if number == 0:
            await socket.send("x" * 1001)
        await socket.send(trade(number))
        await socket.wait_closed()

    async with scripted_provider(script) as provider, running(provider.endpoint) as run:
        await until(lambda: len(run.frames) == 1)
        assert run.texts == [trade(1)]
        assert "1009" in run.connection.counts.last_error


async def test_the_key_is_in_no_log_error_or_count_even_at_the_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def script(socket: ServerConnection, number: int) -> None:
        if number == 0:
            assert await acknowledge(socket) == KEY
            await socket.send(status("error", f"topic refused for {KEY}"))
            await socket.send(trade(1))
            await socket.close(1011, f"lost {KEY}")
        else:
            await socket.send(CONNECTED)
            await socket.recv()
            await socket.send(status("auth_failed", KEY))
            await socket.wait_closed()

    # The provider here runs in the same process, and its own side of the library logs whole frames.
    logging.getLogger("websockets.server").setLevel(logging.INFO)
    try:
        async with scripted_provider(script) as provider, running(provider.endpoint) as run:
            await until(lambda: run.connection.counts.authentication_failures == 1)
            counts = run.connection.counts
    finally:
        logging.getLogger("websockets.server").setLevel(logging.NOTSET)
    assert "connected to ws://127.0.0.1" in caplog.text
    assert KEY not in caplog.text
    assert KEY not in repr(counts)
    assert KEY not in repr(run.connection)


async def test_user_and_password_of_an_endpoint_are_not_told() -> None:
    async with running("ws://user:hidden@127.0.0.1:1/stocks?token=hidden", PATIENT) as run:
        await until(lambda: run.connection.counts.phase is ConnectionPhase.BACKING_OFF)
        assert run.connection.counts.last_error.startswith("cannot connect to ws://127.0.0.1:1/stocks: ")
        assert "hidden" not in run.connection.counts.last_error
