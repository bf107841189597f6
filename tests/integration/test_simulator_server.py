"""The simulated provider over real sockets: its protocol, its misbehaviour, and what it holds back while nobody listens."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import msgspec
import pytest
from websockets.exceptions import InvalidStatus

from scanplane.feeds.massive.messages import TradeMessage
from scanplane.feeds.replay.files import RecordingWriter
from scanplane.feeds.replay.recording import RecordingHeader
from scanplane.marketdata.channels import AssetClass
from scanplane.resources.feed import Provider
from scanplane.simulator.server import ListenError, Simulator
from scanplane.simulator.sessions.channels import ChannelSession
from scanplane.simulator.sessions.interface import Block, ReferenceTicker, SessionFileError
from scanplane.simulator.sessions.recorded import RecordedSession
from scanplane.simulator.settings import Authentication, Cut, Ending, Eviction, SimulatorSettings, Start
from support.simulator_client import RawClient, raw_client, request

_START_MS = 1_395_840_600_000
_TIMEOUT_S = 20.0


class _Numbers:
    """Trades numbered from 1, one each millisecond, of four symbols in turn."""

    name = "numbers"
    asset_classes = frozenset({AssetClass.STOCKS})
    start_ns = _START_MS * 1_000_000

    def __init__(self, count: int, *, block: int = 500) -> None:
        self.count = count
        self._block = block

    def reference(self) -> Sequence[ReferenceTicker]:
        return (ReferenceTicker("S0", 12.5, 3000.0),)

    def blocks(self) -> Iterator[Block]:
        for first in range(1, self.count + 1, self._block):
            numbers = range(first, min(first + self._block, self.count + 1))
            yield Block(
                [(_START_MS + number) * 1_000_000 for number in numbers],
                [
                    TradeMessage(symbol=f"S{number % 4}", time=_START_MS + number, price=1.0, size=1, sequence=number)
                    for number in numbers
                ],
            )


class _Broken(_Numbers):
    def blocks(self) -> Iterator[Block]:
        yield from super().blocks()
        raise SessionFileError("the file ends in the middle")


def _numbers(client: RawClient) -> list[int]:
    return [event["q"] for event in client.events]


async def _finish(simulator: Simulator) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        await simulator.finished.wait()


async def test_the_conversation_is_word_for_word_the_providers() -> None:
    async with Simulator(_Numbers(3)) as simulator, raw_client(f"{simulator.url}/stocks") as client:
        assert await client.read_frame() == [
            {"ev": "status", "status": "connected", "message": "Connected Successfully"}
        ]
        await client.ask("auth", "demo")
        assert await client.read_frame() == [{"ev": "status", "status": "auth_success", "message": "authenticated"}]
        await client.subscribe("A.*", "ZZ.*", "T.S1")
        assert await client.read_frame() == [
            {"ev": "status", "status": "success", "message": "subscribed to: A.*"},
            {"ev": "status", "status": "success", "message": "subscribed to: T.S1"},
        ]
        assert await client.read_frame() == [{"ev": "T", "sym": "S1", "t": _START_MS + 1, "p": 1.0, "s": 1, "q": 1}]
        await client.ask("unsubscribe", "A.*")
        assert await client.read_frame() == [{"ev": "status", "status": "success", "message": "unsubscribed to: A.*"}]


async def test_a_wrong_key_is_refused_and_closed() -> None:
    async with Simulator(_Numbers(3)) as simulator, raw_client(f"{simulator.url}/stocks") as client:
        await client.authenticate("wrong")
        assert client.statuses[-1] == ("auth_failed", "authentication failed")
        await client.read_to_end()
        assert client.connection.close_code == 1008
        assert simulator.connections.authentication_failures == 1


async def test_refusing_authentication_refuses_the_right_key() -> None:
    settings = SimulatorSettings(authentication=Authentication.REFUSE)
    async with Simulator(_Numbers(3), settings) as simulator, raw_client(f"{simulator.url}/stocks") as client:
        await client.authenticate()
        assert client.statuses[-1][0] == "auth_failed"


@pytest.mark.parametrize("authentication", [Authentication.CHECK, Authentication.TIME_OUT])
async def test_whoever_is_not_authenticated_in_time_is_told_and_closed(authentication: Authentication) -> None:
    settings = SimulatorSettings(authentication=authentication, authentication_timeout_s=0.1)
    async with Simulator(_Numbers(3), settings) as simulator, raw_client(f"{simulator.url}/stocks") as client:
        if authentication is Authentication.TIME_OUT:
            await client.ask("auth", "demo")
        await client.read_to_end()
        assert client.statuses[-1] == ("auth_timeout", "No authentication request received.")
        assert client.connection.close_code == 1008


async def test_what_is_no_request_is_answered_with_an_error_and_the_talk_goes_on() -> None:
    async with Simulator(_Numbers(3)) as simulator, raw_client(f"{simulator.url}/stocks") as client:
        await client.read_frame()
        await client.connection.send("hello")
        await client.read_frame()
        assert client.statuses[-1] == ("error", "Invalid JSON")
        await client.ask("auth", "demo")
        await client.read_frame()
        assert client.statuses[-1][0] == "auth_success"


async def test_an_unentitled_topic_is_not_authorized_and_the_others_are_served() -> None:
    settings = SimulatorSettings(unentitled=frozenset({"Q"}))
    async with (
        Simulator(_Numbers(3), settings) as simulator,
        raw_client(f"{simulator.url}/stocks", "Q.*", "T.*") as client,
    ):
        await client.read_events(3)
    assert ("error", "not authorized to subscribe to: Q.*") in client.statuses
    assert ("success", "subscribed to: T.*") in client.statuses


async def test_option_quotes_are_bounded_to_a_thousand_contracts() -> None:
    async with (
        Simulator(ChannelSession(AssetClass.OPTIONS)) as simulator,
        raw_client(f"{simulator.url}/options") as client,
    ):
        await client.authenticate()
        await client.subscribe("Q.*", *(f"Q.O:X{number}" for number in range(1001)))
        await client.read_frame()
    refused = [message for status, message in client.statuses if status == "error"]
    accepted = [message for _, message in client.statuses if message.startswith("subscribed to")]
    assert (len(refused), len(accepted)) == (2, 1000)


@pytest.mark.parametrize("fewest_most", [(1, 1), (1, 10), (500, 500)])
async def test_every_event_arrives_once_and_in_order_whatever_the_frames(fewest_most: tuple[int, int]) -> None:
    settings = SimulatorSettings(frame_events=fewest_most, ending=Ending.CLOSE)
    async with Simulator(_Numbers(5000), settings) as simulator, raw_client(f"{simulator.url}/stocks", "T.*") as client:
        await client.read_to_end()
    assert _numbers(client) == list(range(1, 5001))
    assert client.connection.close_code == 1001
    assert simulator.status().unheard == 0


async def test_mixed_frames_hold_several_kinds_and_unmixed_ones_a_single_kind() -> None:
    kinds = {}
    for mixed in (True, False):
        settings = SimulatorSettings(mixed_frames=mixed, ending=Ending.CLOSE)
        async with (
            Simulator(ChannelSession(AssetClass.STOCKS), settings) as simulator,
            raw_client(f"{simulator.url}/stocks", "T.*", "Q.*", "A.*") as client,
        ):
            await client.read_to_end()
        kinds[mixed] = {len({event["ev"] for event in msgspec.json.decode(frame)}) for frame in client.frames}
    assert kinds == {True: {3}, False: {1}}


async def test_each_client_gets_what_it_asked_for() -> None:
    settings = SimulatorSettings(ending=Ending.CLOSE, settle_s=0.3)
    async with Simulator(_Numbers(400), settings) as simulator:
        url = f"{simulator.url}/stocks"
        async with (
            raw_client(url, "T.*") as all_of_it,
            raw_client(url, "T.S1", "T.S2") as some,
            raw_client(url, "A.*") as none,
            asyncio.TaskGroup() as tasks,
        ):
            for client in (all_of_it, some, none):
                tasks.create_task(client.read_to_end())
    assert _numbers(all_of_it) == list(range(1, 401))
    assert _numbers(some) == [number for number in range(1, 401) if number % 4 in {1, 2}]
    assert none.events == []


async def test_a_recorded_event_without_a_readable_symbol_is_for_those_who_take_every_symbol(tmp_path: Path) -> None:
    path = tmp_path / "bad.rec"
    header = RecordingHeader(provider=Provider.MASSIVE, asset_class=AssetClass.STOCKS, started_ns=1)
    good = '{"ev":"T","sym":"AAPL","q":2},{"ev":"Q","sym":"AAPL","q":3}'
    with RecordingWriter(path, header) as writer:
        for number, events in enumerate(('{"ev":"T","sym":7,"q":1}', '{"ev":"T","sym":"S","p":1e999}', good), start=2):
            writer.append(number, f"[{events}]".encode())
    settings = SimulatorSettings(ending=Ending.CLOSE, settle_s=0.3)
    async with Simulator(RecordedSession(path), settings) as simulator:
        url = f"{simulator.url}/stocks"
        async with raw_client(url, "T.AAPL") as one, raw_client(url, "T.*") as every, asyncio.TaskGroup() as tasks:
            tasks.create_task(one.read_to_end())
            tasks.create_task(every.read_to_end())
    assert (_numbers(one), one.garbage) == ([2], [])
    assert (_numbers(every), every.garbage) == ([1, 2], [b'[{"ev":"T","sym":"S","p":1e999}]'])


async def test_a_real_market_goes_on_while_nobody_listens_and_counts_what_nobody_heard() -> None:
    settings = SimulatorSettings(speed=2.0, start=Start.IMMEDIATELY, ending=Ending.CLOSE)
    async with Simulator(_Numbers(1000), settings) as simulator:
        async with raw_client(f"{simulator.url}/stocks", "T.*") as client:
            await client.read_events(100)
            await client.close_in_full()
        heard = _numbers(client)
        await _finish(simulator)
        status = simulator.status()
    assert heard == list(range(heard[0], heard[0] + len(heard)))
    assert status.events == 1000
    assert status.unheard == 1000 - len(heard) > 0


async def test_a_session_that_holds_goes_on_with_the_very_next_event_for_the_next_client() -> None:
    settings = SimulatorSettings(speed=100.0, hold=True, ending=Ending.CLOSE, frame_events=(1, 10))
    heard: list[int] = []
    async with Simulator(_Numbers(20_000), settings) as simulator:
        for target in (100, 2500, 7000, 7001):
            async with raw_client(f"{simulator.url}/stocks", "T.*") as client:
                await client.read_events(target - len(heard))
                await client.close_in_full()
            heard.extend(_numbers(client))
        async with raw_client(f"{simulator.url}/stocks", "T.*") as client:
            await client.read_to_end()
        heard.extend(_numbers(client))
    assert heard == list(range(1, 20_001))
    assert simulator.status().unheard == 0
    assert simulator.connections.maximum == 1
    assert simulator.connections.total == 5


async def test_at_full_speed_a_session_always_holds() -> None:
    heard: list[int] = []
    async with Simulator(_Numbers(300_000), SimulatorSettings(ending=Ending.CLOSE)) as simulator:
        async with raw_client(f"{simulator.url}/stocks", "T.*") as client:
            await client.read_events(50_000)
            await client.close_in_full()
        heard.extend(_numbers(client))
        assert not simulator.finished.is_set()
        async with raw_client(f"{simulator.url}/stocks", "T.*") as client:
            await client.read_to_end()
        heard.extend(_numbers(client))
    assert heard == list(range(1, 300_001))


async def test_a_held_session_waits_until_everything_is_subscribed_again() -> None:
    settings = SimulatorSettings(speed=50.0, hold=True, ending=Ending.CLOSE)
    async with Simulator(_Numbers(4000), settings) as simulator:
        heard: list[int] = []
        async with raw_client(f"{simulator.url}/stocks") as client:
            await client.authenticate()
            await client.connection.send(request("subscribe", "T.S0,T.S1,T.S2,T.S3"))
            await client.read_events(200)
            await client.close_in_full()
        heard.extend(_numbers(client))
        simulator._audience._settle_s = 3600.0
        async with raw_client(f"{simulator.url}/stocks") as client:
            await client.authenticate()
            for symbol in range(4):
                await client.subscribe(f"T.S{symbol}")
                await client.read_frame()
            await client.read_events(200)
            await client.close_in_full()
        heard.extend(_numbers(client))
    assert heard == list(range(1, len(heard) + 1))


@pytest.mark.parametrize("abrupt", [True, False])
async def test_a_cut_comes_at_the_very_event_and_ends_every_connection(*, abrupt: bool) -> None:
    settings = SimulatorSettings(cuts=(Cut(after_events=1234, abrupt=abrupt),), ending=Ending.CLOSE)
    async with Simulator(_Numbers(3000), settings) as simulator:
        async with raw_client(f"{simulator.url}/stocks", "T.*") as client:
            await client.read_to_end()
        before = _numbers(client)
        code = client.connection.close_code
        async with raw_client(f"{simulator.url}/stocks", "T.*") as client:
            await client.read_to_end()
        after = _numbers(client)
    assert after == list(range(1235, 3001))
    if abrupt:
        assert before == list(range(1, len(before) + 1))
        assert code in {None, 1006}
    else:
        assert before == list(range(1, 1235))
        assert code == 1001


async def test_a_cut_by_time_ends_the_connection() -> None:
    settings = SimulatorSettings(speed=1.0, cuts=(Cut(after_seconds=0.1, abrupt=False),))
    async with Simulator(_Numbers(100_000), settings) as simulator:
        async with raw_client(f"{simulator.url}/stocks", "T.*") as client:
            await client.read_to_end()
        assert client.connection.close_code == 1001
        assert 0 < len(client.events) < 100_000


@pytest.mark.parametrize("evict", list(Eviction))
@pytest.mark.parametrize("after_subscribe", [False, True])
async def test_a_connection_too_many_is_evicted_after_all_looked_well(
    evict: Eviction, *, after_subscribe: bool
) -> None:
    settings = SimulatorSettings(connection_limit=1, evict=evict, limit_after_subscribe=after_subscribe, speed=0.001)
    async with Simulator(_Numbers(3), settings) as simulator:
        url = f"{simulator.url}/stocks"
        async with raw_client(url, "T.*") as oldest:
            await oldest.read_frame()
            async with raw_client(url, "T.*") as newest:
                victim, survivor = (oldest, newest) if evict is Eviction.OLDEST else (newest, oldest)
                await victim.read_to_end()
                assert survivor.connection.close_code is None
    assert [status for status, _ in victim.statuses][:2] == ["connected", "auth_success"]
    assert victim.statuses[-1][0] == "max_connections"
    assert victim.connection.close_code == 1008
    if after_subscribe or evict is Eviction.OLDEST:
        assert ("success", "subscribed to: T.*") in victim.statuses
    assert simulator.connections.evicted == 1
    assert simulator.connections.maximum == 2


async def test_a_client_that_does_not_read_is_disconnected_and_the_others_are_not() -> None:
    settings = SimulatorSettings(speed=5000.0, max_buffer_bytes=200_000, ending=Ending.CLOSE, settle_s=0.3)
    async with Simulator(_Numbers(400_000), settings) as simulator:
        url = f"{simulator.url}/stocks"
        async with raw_client(url, "T.*") as slow, raw_client(url, "T.S1") as quick:
            slow.connection.transport.pause_reading()
            await quick.read_to_end()
            assert simulator.connections.slow_consumers == 1
            slow.connection.transport.resume_reading()
            await slow.read_to_end()
        assert len(quick.events) == 100_000
        assert len(slow.events) < 400_000
        assert quick.connection.close_code == 1001
        assert slow.connection.close_code != 1001


async def test_hostile_frames_come_between_the_good_ones() -> None:
    settings = SimulatorSettings(hostile_rate=0.3, frame_events=(5, 5), ending=Ending.CLOSE)
    async with Simulator(_Numbers(2000), settings) as simulator, raw_client(f"{simulator.url}/stocks", "T.*") as client:
        await client.read_to_end()
    good = [event["q"] for event in client.events if event.get("sym") in {"S0", "S1", "S2", "S3"}]
    assert good == list(range(1, 2001))
    assert len(client.garbage) > 10
    assert simulator.status().hostile_frames > len(client.garbage)


async def test_status_and_reference_are_served_over_http() -> None:
    async with Simulator(_Numbers(3)) as simulator, httpx.AsyncClient(base_url=simulator.rest_url) as http:
        before = (await http.get("/simulator/status")).json()
        async with raw_client(f"{simulator.url}/stocks", "T.*") as client:
            await client.read_events(3)
            await _finish(simulator)
            after = (await http.get("/simulator/status")).json()
        refused = await http.get("/v2/snapshot/locale/us/markets/stocks/tickers")
        snapshot = await http.get("/v2/snapshot/locale/us/markets/stocks/tickers", params={"apiKey": "demo"})
        market = await http.get("/v1/marketstatus/now", headers={"Authorization": "Bearer demo"})
        unknown = await http.get("/v9/nothing")
        not_websocket = await http.get("/stocks")
    assert (before["started"], before["finished"], before["connections"]["total"]) == (False, False, 0)
    assert (after["started"], after["finished"], after["events"]) == (True, True, 3)
    assert after["connections"]["now"] == after["connections"]["maximum"] == 1
    assert after["log"][0]["path"] == "/stocks"
    assert refused.status_code == 401
    assert snapshot.json()["tickers"][0]["prevDay"] == {"c": 12.5, "v": 3000.0}
    assert market.json()["market"] == "open"
    assert (unknown.status_code, not_websocket.status_code) == (404, 404)


async def test_connections_can_be_cut_over_http() -> None:
    async with (
        Simulator(_Numbers(100_000), SimulatorSettings(speed=0.01)) as simulator,
        raw_client(f"{simulator.url}/stocks", "T.*") as client,
        httpx.AsyncClient() as http,
    ):
        await client.read_frame()
        await http.get(f"{simulator.rest_url}/simulator/cut", params={"abrupt": "false"})
        await client.read_to_end()
        assert client.connection.close_code == 1001
    assert simulator.connections.now == 0


async def test_a_path_that_is_no_asset_class_is_refused() -> None:
    async with Simulator(_Numbers(3)) as simulator:
        with pytest.raises(InvalidStatus, match="404"):
            async with raw_client(f"{simulator.url}/futures"):
                pass


async def test_a_session_that_breaks_says_why() -> None:
    async with Simulator(_Broken(10)) as simulator, raw_client(f"{simulator.url}/stocks", "T.*") as client:
        await client.read_events(10)
        async with asyncio.timeout(_TIMEOUT_S):
            await simulator.ended.wait()
    assert str(simulator.failure) == "the file ends in the middle"
    assert not simulator.finished.is_set()


async def test_a_port_in_use_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=f"port {port} on 127.0.0.1 is in use"):
            async with Simulator(_Numbers(3), SimulatorSettings(port=port)):
                pass


async def test_leaving_the_simulator_closes_every_connection() -> None:
    async with (
        Simulator(_Numbers(10**6), SimulatorSettings(speed=0.01)) as simulator,
        raw_client(f"{simulator.url}/stocks", "T.*") as client,
    ):
        await client.read_frame()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.read_to_end())
            await simulator.__aexit__(None, None, None)
        assert client.connection.close_code is not None
        assert simulator.connections.now == 0
