"""A client that stops reading costs bounded memory, and nobody else anything."""

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from scanplane.gateway.stream import StreamConnection
from support.findings import say
from support.gateway import (
    PATIENCE_S,
    TICK_NS,
    RawClient,
    RunningGateway,
    StreamClient,
    eventually,
    part_of,
    running_gateway,
    signal_of,
)

ROWS = [(f"SYMBOL-{number:04}", float(number)) for number in range(150)]
SCANNERS = ("gappers", "losers", "volume")
HEALTHY = 5


def has_all(client: StreamClient, tick_ns: int) -> bool:
    """Whether the client has every board of a tick."""
    boards = [client.of_topic(f"boards/us-stocks/{name}") for name in SCANNERS]
    return all(seen and seen[-1]["data"]["tickNs"] == tick_ns for seen in boards)


@asynccontextmanager
async def stalled_client(gateway: RunningGateway, *topics: str) -> AsyncIterator[RawClient]:
    """A client that subscribes and then never reads again, with as little room in the kernel as there can be."""
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(0)
    await loop.sock_connect(connection, ("127.0.0.1", gateway.role.port))
    transport, client = await loop.create_connection(lambda: RawClient("localhost"), sock=connection)
    try:
        await asyncio.wait_for(client.upgraded, PATIENCE_S)
        client.send({"action": "subscribe", "topics": list(topics), "id": 1})
        await eventually(lambda: b'"subscribed"' in client.received)
        transport.pause_reading()
        yield client
    finally:
        transport.abort()


def connection_of_stalled(gateway: RunningGateway) -> StreamConnection:
    """The gateway's side of the client that has most waiting."""
    connections = gateway.role.stream.connections
    return max(connections, key=lambda each: (each.paused, each.session.outbox.waiting_bytes))


async def publish_in_lockstep(gateway: RunningGateway, versions: range, *, signals: bool = False) -> list[list[Any]]:
    """Publish each version only when every healthy client has the one before; return what each saw, in order.

    If a stalled client held anybody up, a step would never end.
    """
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(gateway.client("*")) for _ in range(HEALTHY)]
        for number in versions:
            tick_ns = TICK_NS + number
            parts = [part_of(name, ROWS, tick_ns=tick_ns, limit=150) for name in SCANNERS]
            await gateway.analyst.write(*parts, signals=[signal_of(number)] if signals else ())
            for client in clients:
                await client.until(lambda _, client=client, at=tick_ns: has_all(client, at))
        first = TICK_NS + versions[0]
        return [
            [(m["topic"], m["data"]["tickNs"] - first) for m in client.messages if "boards" in m.get("topic", "")]
            for client in clients
        ]


async def test_a_stalled_client_changes_nothing_for_the_others() -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of(rows=ROWS, limit=150))
        control = await publish_in_lockstep(gateway, range(1, 51))
        async with stalled_client(gateway, "boards/*"):
            beside_a_stalled_one = await publish_in_lockstep(gateway, range(101, 201))
            assert connection_of_stalled(gateway).paused
    versions = {len(seen) for seen in control}, {len(seen) for seen in beside_a_stalled_one}
    assert versions[0] <= {150, 151, 152, 153}
    assert versions[1] <= {300, 301, 302, 303}


ROUNDS, VERSIONS, PAUSE_S = 4, 40, 0.02
"""Without a stalled client and beside one in turns; the best round of each counts, since a busy machine spoils some of both."""


async def publish_steadily(gateway: RunningGateway, clients: Sequence[StreamClient], first: int) -> list[float]:
    """Publish some versions, whoever has the one before; return after how many ms each client had each board or a newer."""
    loop = asyncio.get_running_loop()
    written_ns: dict[int, int] = {}
    begins = [len(client.messages) for client in clients]
    due_s = loop.time()
    for tick_ns in range(TICK_NS + first, TICK_NS + first + VERSIONS):
        parts = [part_of(name, ROWS, tick_ns=tick_ns, limit=150) for name in SCANNERS]
        written_ns[tick_ns] = time.monotonic_ns()
        await gateway.analyst.write(*parts)
        due_s += PAUSE_S
        await asyncio.sleep(max(0.0, due_s - loop.time()))
    last_ns = max(written_ns)
    for client in clients:
        await client.until(lambda _, client=client: has_all(client, last_ns))
    return [
        (at_ns - written_ns[tick_ns]) / 1e6
        for client, begin in zip(clients, begins, strict=True)
        for name in SCANNERS
        for tick_ns, at_ns in first_arrivals(client, f"boards/us-stocks/{name}", begin, sorted(written_ns))
    ]


def first_arrivals(client: StreamClient, topic: str, begin: int, ticks_ns: Sequence[int]) -> list[tuple[int, int]]:
    """When the client had each version of a topic: itself, or a newer one that took its place."""
    came = [
        (message["data"]["tickNs"], at_ns)
        for message, at_ns in zip(client.messages[begin:], client.arrived_ns[begin:], strict=True)
        if message.get("topic") == topic
    ]
    return [(tick_ns, next(at_ns for seen_ns, at_ns in came if seen_ns >= tick_ns)) for tick_ns in ticks_ns]


def p99(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


async def test_a_stalled_client_changes_nobody_elses_latency() -> None:
    calm_ms, troubled_ms = math.inf, math.inf
    async with running_gateway() as gateway, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(gateway.client("boards/*")) for _ in range(HEALTHY)]
        await publish_steadily(gateway, clients, 1)  # what is new is slow
        for number in range(1, ROUNDS + 1):
            calm_ms = min(calm_ms, p99(await publish_steadily(gateway, clients, 2000 * number)))
            async with stalled_client(gateway, "boards/*"):
                troubled_ms = min(troubled_ms, p99(await publish_steadily(gateway, clients, 2000 * number + 1000)))
                assert connection_of_stalled(gateway).paused
    say(f"p99 to {HEALTHY} clients {calm_ms:.1f} ms, beside a stalled one {troubled_ms:.1f} ms")
    say(f"that is {troubled_ms / calm_ms:.2f} times as long")
    assert troubled_ms <= 5 * calm_ms + 20


async def test_a_stalled_client_costs_bounded_memory() -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of(rows=ROWS, limit=150))
        async with stalled_client(gateway, "boards/*"):
            sizes = []
            for start in (1, 201, 401):
                await publish_in_lockstep(gateway, range(start, start + 60))
                stalled = connection_of_stalled(gateway)
                outbox = stalled.session.outbox
                sizes.append((outbox.waiting_topics, stalled.buffered_bytes))
            assert stalled.paused
            assert sizes[0] == sizes[1] == sizes[2]
            waiting_topics, buffered_bytes = sizes[-1]
            assert waiting_topics == len(SCANNERS)
            assert buffered_bytes < 200_000
            # no more than the word that it missed something
            assert outbox.waiting_bytes < 200
            assert outbox.conflated > 300


async def test_a_stalled_client_that_reads_again_gets_the_newest_and_is_told_what_it_missed() -> None:
    async with running_gateway() as gateway:
        await gateway.analyst.write(part_of(rows=ROWS, limit=150))
        async with stalled_client(gateway, "boards/*") as client:
            await publish_in_lockstep(gateway, range(1, 101))
            assert connection_of_stalled(gateway).paused
            client.received.clear()
            client.transport.resume_reading()
            newest = f'"tickNs":{TICK_NS + 100}'.encode()
            await eventually(lambda: client.received.count(newest) >= 3 and b'"type":"lag"' in client.received)
            # what had been written before the stall, and then the newest version: nothing in between
            assert client.received.count(b'"type":"update"') < 60


async def test_a_stalled_client_that_should_hear_signals_is_dropped_and_counted_and_the_others_hear_all() -> None:
    async with running_gateway(max_client_bytes=65_536) as gateway:
        await gateway.analyst.write(part_of(rows=ROWS, limit=150))
        async with stalled_client(gateway, "*") as client, gateway.client("signals/*") as witness:
            await publish_in_lockstep(gateway, range(1, 251), signals=True)
            await witness.first("signal", sequence=250)
            assert gateway.role.status().figures["clients_dropped_slow_total"] == 1
            numbers = [message["sequence"] for message in witness.messages if message["type"] == "signal"]
            assert numbers == list(range(1, 251))
            client.received.clear()
            client.transport.resume_reading()
            await asyncio.wait_for(client.lost, PATIENCE_S)
