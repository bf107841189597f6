"""The stream over real sockets: what clients get, and what they may not do."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from scanplane.cache import keys
from scanplane.cache.factory import open_cache
from scanplane.cache.interface import Cache
from scanplane.cache.memory import MemoryCache
from scanplane.gateway import stream as stream_module
from scanplane.gateway.protocol import CloseReason
from scanplane.gateway.session import MAX_MESSAGES_PER_SECOND, MAX_SUBSCRIPTIONS
from scanplane.marketdata.partitions import Partition
from scanplane.marketdata.results import QuoteRow
from support.findings import say
from support.gateway import (
    NAMESPACE,
    SECOND_NS,
    TICK_NS,
    Analyst,
    RawClient,
    RunningGateway,
    StreamClient,
    eventually,
    part_of,
    running_gateway,
    signal_of,
)

GAPPERS = "boards/us-stocks/gappers"
SIGNALS = "signals/us-stocks/gappers"
TOKENS = {"dashboards": {"alice": "alices-long-token", "bob": "bobs-long-token"}}


def kinds_and_numbers(client: StreamClient, topic: str) -> list[tuple[str, int]]:
    return [(message["type"], message["sequence"]) for message in client.of_topic(topic)]


async def refused(gateway: RunningGateway, status: int, **options: Any) -> dict[str, Any]:
    """Expect the upgrade to be refused, and return the error's body."""
    with pytest.raises(InvalidStatus) as caught:
        async with gateway.client(**options):
            pass
    response = caught.value.response
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = json.loads(response.body or b"")
    assert set(body) == {"error"}
    return body | {"headers": response.headers}


async def test_a_client_gets_a_snapshot_and_then_every_update_without_gap_or_repeat() -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of(), signals=[signal_of(1)])
        async with gateway.client("boards/*", "signals/*") as client:
            for number in range(1, 30):
                tick_ns = TICK_NS + number * SECOND_NS
                await gateway.analyst.write(part_of(tick_ns=tick_ns), signals=[signal_of(1 + number)])
                await client.first("signal", sequence=1 + number)
                await client.until(lambda _, at=tick_ns: client.of_topic(GAPPERS)[-1]["data"]["tickNs"] == at)
            boards, signals = kinds_and_numbers(client, GAPPERS), kinds_and_numbers(client, SIGNALS)
    assert [number for _, number in boards] == list(range(boards[0][1], boards[0][1] + 30))
    assert [kind for kind, _ in boards] == ["snapshot"] + ["update"] * 29
    assert signals == [("snapshot", 1), *(("signal", number) for number in range(2, 31))]
    say(f"a snapshot, then {len(boards) - 1} updates and {len(signals) - 1} signals: 0 missing, 0 repeated")


async def test_a_gateway_begins_with_what_the_cache_already_holds() -> None:
    cache = MemoryCache()
    await Analyst(cache).write(part_of(), signals=[signal_of(1), signal_of(2)])
    async with running_gateway(cache) as gateway, gateway.client("*") as client:
        board = await client.first("snapshot", topic=GAPPERS)
        signals = await client.first("snapshot", topic=SIGNALS)
    assert [row["symbol"] for row in board["data"]["rows"]] == ["AAPL", "MSFT"]
    assert [signal["signalId"] for signal in signals["data"]] == ["gappers-1", "gappers-2"]
    assert signals["sequence"] == 2


# --- patterns ---

MARKETS, SCANNERS = ("us-stocks", "crypto"), ("gappers", "losers", "volume")
EVERYTHING = {
    f"{kind}/{market}/{scanner}" for kind in ("boards", "signals") for market in MARKETS for scanner in SCANNERS
}
MATCHING = {
    "*": EVERYTHING,
    "boards/us-stocks/*": {f"boards/us-stocks/{scanner}" for scanner in SCANNERS},
    "signals/*/gappers": {SIGNALS, "signals/crypto/gappers"},
    "*/crypto/*": {topic for topic in EVERYTHING if "/crypto/" in topic},
    GAPPERS: {GAPPERS},
}
VERSIONS = 20


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.server)])
async def any_cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    """A cache that no other test uses."""
    url = None if request.param == "memory" else request.getfixturevalue("start_redis")().url
    cache = open_cache(url, NAMESPACE)
    yield cache
    await cache.close()


def came(client: StreamClient) -> dict[str, list[Any]]:
    """What came of every topic, in order: the instant of each board, the id of each signal."""
    found: dict[str, list[Any]] = {}
    for message in client.messages:
        if "topic" in message:
            data = message["data"]
            parts = data if isinstance(data, list) else [data]  # a snapshot of signals is a list
            found.setdefault(message["topic"], []).extend(part.get("signalId", part["tickNs"]) for part in parts)
    return found


def versions_of(topic: str, count: int) -> list[Any]:
    kind, _, scanner = topic.split("/")
    return [f"{scanner}-{number}" if kind == "signals" else TICK_NS + number for number in range(1, count + 1)]


async def test_wildcard_and_exact_subscribers_receive_everything_that_matches(any_cache: Cache) -> None:
    async with running_gateway(any_cache) as gateway, AsyncExitStack() as stack:
        clients = {pattern: await stack.enter_async_context(gateway.client(pattern)) for pattern in MATCHING}
        for number in range(1, VERSIONS + 1):
            for market in MARKETS:
                parts = [part_of(scanner, market=market, tick_ns=TICK_NS + number) for scanner in SCANNERS]
                signals = [signal_of(number, market=market, scanner=scanner) for scanner in SCANNERS]
                await gateway.analyst.write(*parts, signals=signals, market=market)
            for pattern, client in clients.items():  # of a board a newer version may replace one that waits
                expected = {topic: versions_of(topic, number) for topic in MATCHING[pattern]}
                await client.until(lambda _, seen=client, all_of_it=expected: came(seen) == all_of_it)
        for pattern, topics in MATCHING.items():
            assert came(clients[pattern]) == {topic: versions_of(topic, VERSIONS) for topic in topics}
    for pattern, topics in MATCHING.items():
        told = f"{pattern}: {len(topics)} of {len(EVERYTHING)} topics"
        say(f"{told}, {len(topics) * VERSIONS} versions, 0 missing, 0 repeated, 0 of other topics")


# --- what a topic is like ---


async def test_partitions_of_one_tick_are_published_together() -> None:
    async with running_gateway() as gateway:
        for index in range(3):
            await gateway.analyst.write(part_of(partition=f"{index}-of-3", rows=[(f"S{index}", 1.0 + index)]))
        async with gateway.client("boards/*") as client:
            await client.first("snapshot", topic=GAPPERS)
            for tick in range(1, 10):
                for index in range(3):
                    part = part_of(
                        partition=f"{index}-of-3", rows=[(f"S{index}", 1.0 + index)], tick_ns=TICK_NS + tick * SECOND_NS
                    )
                    await gateway.analyst.write(part, partition=Partition(index, 3))
                tick_ns = TICK_NS + tick * SECOND_NS
                await client.until(lambda _, at=tick_ns: client.of_topic(GAPPERS)[-1]["data"]["tickNs"] == at)
            boards = [message["data"] for message in client.of_topic(GAPPERS)]
    assert all(board["complete"] for board in boards[1:])
    assert [[row["symbol"] for row in board["rows"]] for board in boards[1:]] == [["S2", "S1", "S0"]] * 9


async def test_a_board_of_which_a_partition_is_missing_comes_and_says_so() -> None:
    async with running_gateway() as gateway, gateway.client("boards/*") as client:
        await gateway.analyst.write(part_of(partition="0-of-2"))
        message = await client.first("snapshot", topic=GAPPERS)
    assert (message["data"]["complete"], message["data"]["partitionsPresent"]) == (False, 1)


async def test_a_quote_comes_for_whoever_asks_for_its_symbol() -> None:
    async with running_gateway() as gateway, gateway.client("quotes/us-stocks/AAPL", "quotes/us-stocks/NONE") as client:
        for price in (1.0, 2.0):
            await gateway.analyst.write(quotes=[QuoteRow("us-stocks", "AAPL", TICK_NS, {"price": price})])
            await client.until(
                lambda _, at=price: any(
                    m["data"].get("values", {}).get("price") == at for m in client.of_topic("quotes/us-stocks/AAPL")
                )
            )
        unknown = await client.first("snapshot", topic="quotes/us-stocks/NONE")
        await client.send(action="unsubscribe", topics=["quotes/us-stocks/AAPL"], id=2)
        left = await client.first("unsubscribed", id=2)
    assert unknown["data"] == {"market": "us-stocks", "symbol": "NONE", "known": False}
    assert left["subscriptions"] == ["quotes/us-stocks/NONE"]


async def test_updates_of_a_topic_are_limited_and_the_newest_wins() -> None:
    async with running_gateway(max_updates_per_second=2.0) as gateway, gateway.client("boards/*") as client:
        for number in range(200):
            await gateway.analyst.write(part_of(tick_ns=TICK_NS + number))
        await client.until(
            lambda _: client.of_topic(GAPPERS)[-1:] and client.of_topic(GAPPERS)[-1]["data"]["tickNs"] == TICK_NS + 199
        )
        assert len(client.of_topic(GAPPERS)) <= 4
        assert gateway.role.status().figures["updates_conflated_total"] > 100


async def test_a_removed_board_is_told() -> None:
    async with running_gateway() as gateway, gateway.client("boards/*") as client:
        await gateway.analyst.write(part_of())
        await client.first("snapshot", topic=GAPPERS)
        await gateway.analyst.cache.delete([gateway.analyst.key_of(part_of())])
        await client.first("removed", topic=GAPPERS)
        assert (await gateway.json("/v1/boards"))["boards"] == []


async def test_the_signals_of_a_recording_that_is_played_again_are_told_again() -> None:
    async with running_gateway() as gateway, gateway.client("signals/*") as client:
        for number in range(2):
            await gateway.analyst.write(signals=[signal_of(1), signal_of(2)])
            await client.first("signal", sequence=2 * (number + 1))
            await gateway.analyst.cache.delete([keys.signals(NAMESPACE, "us-stocks", Partition(0, 1))])
    signals = [message["data"]["signalId"] for message in client.messages if message["type"] == "signal"]
    assert signals == ["gappers-1", "gappers-2"] * 2


async def test_two_gateways_of_one_cache_tell_the_same() -> None:
    cache = MemoryCache()
    async with (
        running_gateway(cache) as one,
        running_gateway(cache) as other,
        one.client("*") as here,
        other.client("*") as there,
    ):
        await one.analyst.write(part_of(), signals=[signal_of(1)])
        boards = [await client.first("snapshot", topic=GAPPERS) for client in (here, there)]
        signals = [await client.first("signal") for client in (here, there)]
    assert boards[0]["data"] == boards[1]["data"]
    assert signals[0]["data"] == signals[1]["data"]


async def test_a_pattern_that_matches_nothing_is_answered_with_a_hint() -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of())
        async with gateway.client() as client:
            await client.send(action="subscribe", topics=["boards/us-stocks/gapers"], id=9)
            answer = await client.first("subscribed", id=9)
    assert answer["hints"] == [f"boards/us-stocks/gapers matches nothing yet; did you mean {GAPPERS}?"]


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ({"action": "subscribe", "topics": ["nothing/at/all"], "id": 1}, "a topic begins with boards"),
        ({"action": "subscribe", "topics": [], "id": 1}, "is empty"),
        ({"action": "dance"}, "dance"),
        ({"action": "auth", "token": "x", "id": 1}, "already authenticated"),
    ],
)
async def test_a_message_that_makes_no_sense_is_answered_and_the_connection_stays(
    message: dict[str, Any], hint: str
) -> None:
    async with running_gateway() as gateway, gateway.client() as client:
        await client.send(**message)
        assert hint in (await client.first("error"))["message"]
        await client.send(action="ping", id="still-there")
        await client.first("pong", id="still-there")


async def test_subscriptions_are_bounded() -> None:
    async with running_gateway() as gateway, gateway.client() as client:
        many = [f"quotes/us-stocks/S{number}" for number in range(MAX_SUBSCRIPTIONS + 1)]
        await client.send(action="subscribe", topics=many, id=1)
        assert "use a pattern" in (await client.first("error"))["message"]
        await client.send(action="subscribe", topics=many[:-1], id=2)
        assert len((await client.first("subscribed", id=2))["subscriptions"]) == MAX_SUBSCRIPTIONS


async def test_clients_are_bounded_and_a_place_that_is_left_can_be_taken() -> None:
    async with running_gateway(max_clients=2) as gateway:
        async with gateway.client("*"):
            async with gateway.client("*"):
                answer = await refused(gateway, 503)
                assert "all 2 places are taken" in answer["error"]
                assert answer["headers"]["Retry-After"]
            await eventually(lambda: gateway.role.status().figures["clients"] == 1)
            async with gateway.client("*"):
                pass
        assert gateway.role.status().figures["clients_refused_full_total"] == 1


async def test_a_message_that_is_too_long_ends_the_connection() -> None:
    async with running_gateway() as gateway, gateway.client() as client:
        await client.send(action="subscribe", topics=["x" * 70_000])
        assert (await client.closed())[0] == 1009


async def test_a_binary_message_ends_the_connection() -> None:
    async with running_gateway() as gateway, gateway.client() as client:
        await client.connection.send(b"\x00\x01")
        assert (await client.closed())[0] == 1003


async def test_nothing_follows_the_gateways_close() -> None:
    async with running_gateway() as gateway:
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_connection(lambda: RawClient("localhost"), "127.0.0.1", gateway.role.port)
        await asyncio.wait_for(client.upgraded, 20)
        transport.write(b"\x82\x80\0\0\0\0")  # a binary message
        reason = CloseReason.UNSUPPORTED[1].encode()
        await eventually(lambda: reason in client.received)
        gateway.role.stream.tell_lag()
        await asyncio.wait_for(client.lost, 20)
    assert client.received.endswith(reason)


async def test_a_message_in_fragments_is_read_as_one() -> None:
    async with running_gateway() as gateway, gateway.client() as client:
        await client.connection.send(['{"action":', '"ping",', '"id":7}'])
        await client.first("pong", id=7)


async def test_a_client_that_talks_too_much_is_disconnected() -> None:
    async with running_gateway() as gateway, gateway.client() as client:
        for _ in range(3 * MAX_MESSAGES_PER_SECOND):
            await client.send(action="ping")
        code, reason = await client.closed()
        assert (code, gateway.role.status().figures["clients_dropped_policy_total"]) == (1008, 1)
        assert "messages a second" in reason


async def test_a_client_that_answers_no_ping_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_PING_SECONDS", 0.2)
    async with running_gateway() as gateway, gateway.client("*") as lively:
        loop = asyncio.get_running_loop()
        _, mute = await loop.create_connection(lambda: RawClient("localhost"), "127.0.0.1", gateway.role.port)
        await asyncio.wait_for(mute.lost, 20)
        assert gateway.role.status().figures["clients_dropped_silent_total"] == 1
        await lively.send(action="ping", id=1)
        await lively.first("pong", id=1)


async def test_an_upgrade_elsewhere_is_refused() -> None:
    async with running_gateway() as gateway:
        with pytest.raises(InvalidStatus) as caught:
            async with connect(gateway.stream_url + "/elsewhere"):
                pass
        assert caught.value.response.status_code == 404


async def test_a_stopping_gateway_says_good_bye() -> None:
    async with running_gateway() as gateway, gateway.client("*") as client:
        gateway.stop.set()
        code, reason = await client.closed()
    assert (code, reason) == (1001, "the gateway is stopping; connect again")


async def test_a_token_in_the_header_opens_the_stream_and_names_the_client() -> None:
    headers = {"Authorization": "Bearer alices-long-token"}
    async with (
        running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway,
        gateway.client("*", additional_headers=headers) as client,
    ):
        assert (await client.first("hello"))["client"] == "alice"
        status = await gateway.json("/v1/status", headers=headers)
        assert status["clients"] == {"alice": 1}


async def test_a_wrong_token_in_the_header_is_refused_before_the_upgrade() -> None:
    async with running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway:
        answer = await refused(gateway, 401, additional_headers={"Authorization": "Bearer wrong"})
        assert answer["headers"]["WWW-Authenticate"].startswith("Bearer")
        assert gateway.role.status().figures["clients_refused_unauthorized_total"] == 1


async def test_a_browser_can_bring_its_token_as_a_subprotocol() -> None:
    word = base64.urlsafe_b64encode(b"bobs-long-token").decode().rstrip("=")
    protocols = [Subprotocol("scanplane.v1"), Subprotocol(f"bearer.{word}")]
    async with (
        running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway,
        gateway.client("*", subprotocols=protocols) as client,
    ):
        assert client.connection.subprotocol == "scanplane.v1"
        assert (await client.first("hello"))["client"] == "bob"


async def test_a_token_can_be_the_first_message() -> None:
    async with running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway, gateway.client() as client:
        assert not (await client.first("hello"))["authenticated"]
        await client.send(action="auth", token="alices-long-token")
        await client.first("hello", authenticated=True, client="alice")
        await client.send(action="subscribe", topics=["*"], id=1)
        await client.first("subscribed", id=1)


async def test_a_wrong_token_in_a_message_ends_the_connection() -> None:
    async with running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway, gateway.client() as client:
        await client.send(action="auth", token="wrong")
        assert (await client.closed())[0] == 4401


async def test_nothing_is_told_before_the_token() -> None:
    async with running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway:
        await gateway.analyst.write(part_of(), signals=[signal_of(1)])
        async with gateway.client() as client:
            await gateway.analyst.write(part_of(tick_ns=TICK_NS + 1), signals=[signal_of(2)])
            await client.send(action="subscribe", topics=["*"])
            assert (await client.closed())[0] == 4401
            assert [message["type"] for message in client.messages] == ["hello"]


async def test_whoever_gives_no_token_in_time_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_AUTH_SECONDS", 0.1)
    async with running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway, gateway.client() as client:
        assert (await client.closed())[0] == 4401


async def test_tokens_stay_out_of_the_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="scanplane")
    caplog.set_level(logging.DEBUG, logger="uvicorn")
    async with running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway:
        async with gateway.client("*", additional_headers={"Authorization": "Bearer alices-long-token"}):
            pass
        async with gateway.client() as client:
            await client.send(action="auth", token="bobs-long-token")
            await client.first("hello", authenticated=True)
    ours = [record.getMessage() + str(record.__dict__) for record in caplog.records]
    assert any("client came" in text for text in ours)
    assert not [text for text in ours if "long-token" in text]


async def test_a_page_of_another_origin_may_not_read_where_no_tokens_are_asked_for() -> None:
    async with running_gateway() as gateway:
        await refused(gateway, 403, origin=Origin("https://elsewhere.example"))
        async with gateway.client("*", origin=Origin(gateway.role.url)):
            pass


async def test_a_page_of_another_origin_may_read_with_a_token() -> None:
    async with (
        running_gateway(secrets=TOKENS, tokens_secret="dashboards") as gateway,
        gateway.client(
            "*",
            origin=Origin("https://elsewhere.example"),
            additional_headers={"Authorization": "Bearer alices-long-token"},
        ) as client,
    ):
        assert (await client.first("hello"))["authenticated"]
