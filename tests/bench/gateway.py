"""How many messages a second a gateway delivers, and what a stalled client does to the others: ``python tests/bench/gateway.py``.

Beside the gateway runs the pattern of the original, on the same server library: ``await send_text`` to one client after the
other. Server and clients are processes of their own on the same machine; the clients only count bytes and look at every
7th time stamp. Boards are written through the cache in memory, as an analyzer would.
"""

import asyncio
import contextlib
import itertools
import json
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scanplane.cache import keys
from scanplane.cache.interface import Write
from scanplane.cache.memory import MemoryCache
from scanplane.gateway.role import Gateway
from scanplane.marketdata.partitions import Partition
from support.gateway import NAMESPACE, TICK_NS, RawClient, new_gateway, part_of

__all__ = ["main"]

_TOPICS = ["boards/*"]
_STAMP = re.compile(rb'"receivedNs":(\d{19})')
_SAMPLE_EVERY = 7
_STALL_SECONDS = 4.0


class OurServer:
    """The gateway, fed through its cache."""

    def __init__(self) -> None:
        self._cache = MemoryCache()
        self._role: Gateway = new_gateway(self._cache, max_clients=5000, max_updates_per_second=1_000_000.0)
        self._tick_ns = TICK_NS

    @property
    def port(self) -> int:
        return self._role.port

    async def run(self, stop: asyncio.Event) -> None:
        await self._role.run(stop)

    async def ready(self) -> None:
        await self._role.standby.wait()

    def clients(self) -> int:
        return self._role.stream.hub.subscriptions

    def deliveries(self) -> int:
        return self._role.stream.counts.deliveries

    async def publish(self, boards: int, rows: int) -> None:
        """Write one tick of *boards* boards, and come back when everybody who reads has it."""
        self._tick_ns += 250_000_000
        content = [(f"SYM{number:03}", 9.0 - number) for number in range(rows)]
        values = {}
        for number in range(boards):
            part = part_of(f"board-{number}", content, tick_ns=self._tick_ns)
            values[keys.board(NAMESPACE, "us-stocks", part.scanner, Partition(0, 1))] = msgspec.json.encode(part)
        streams = self._role.stream
        reading = sum(not connection.paused for connection in streams.connections)
        expected = streams.counts.deliveries + boards * reading
        await self._cache.write(Write(fence_key="bench", generation=1, values=values))
        deadline = time.perf_counter() + 1.0
        while streams.counts.deliveries < expected and time.perf_counter() < deadline:  # noqa: ASYNC110  # busy by intent
            await asyncio.sleep(0)


class OriginalPattern:
    """One ``await send_text`` after the other, for each client of each message."""

    def __init__(self) -> None:
        self._clients: dict[WebSocket, None] = {}
        self._sent = 0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        # as much room in the kernel as the gateway gives
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 262_144)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    async def run(self, stop: asyncio.Event) -> None:
        application = Starlette(routes=[WebSocketRoute("/v1/stream", self._accept)])
        server = uvicorn.Server(uvicorn.Config(application, http="h11", lifespan="off", log_config=None))
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]  # signals are the process's own
        task = asyncio.create_task(server.serve(sockets=[self._socket]))
        await stop.wait()
        server.should_exit = server.force_exit = True
        await task

    async def ready(self) -> None:
        await asyncio.sleep(0.3)

    async def _accept(self, client: WebSocket) -> None:
        await client.accept()
        await client.receive_text()
        await client.send_text('{"type":"subscribed"}')
        self._clients[client] = None
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await client.receive_text()
        self._clients.pop(client, None)

    def clients(self) -> int:
        return len(self._clients)

    def deliveries(self) -> int:
        return self._sent

    async def publish(self, boards: int, rows: int) -> None:
        content = [(f"SYM{number:03}", 9.0 - number) for number in range(rows)]
        for number in range(boards):
            part = part_of(f"board-{number}", content)
            # padded to the length of the gateway's message, which carries freshness as well
            text = msgspec.json.encode(part).decode() + " " * 420
            for client in list(self._clients):
                await client.send_text(text)
                self._sent += 1


Server = OurServer | OriginalPattern
SERVERS: dict[str, Callable[[], Server]] = {"gateway": OurServer, "original pattern": OriginalPattern}


async def _lines() -> AsyncIterator[list[str]]:
    """Commands from the parent, a line each."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


def _say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201  # the answer to the parent


async def _throughput(server: Server, seconds: float, boards: int, rows: int) -> dict[str, float]:
    for _ in range(20):
        await server.publish(boards, rows)
    began, before, cpu = time.perf_counter(), server.deliveries(), time.process_time()
    while time.perf_counter() - began < seconds:
        await server.publish(boards, rows)
        await asyncio.sleep(0)
    count = server.deliveries() - before
    return {"per_second": count / (time.perf_counter() - began), "per_core": count / (time.process_time() - cpu)}


async def _steady(server: Server, seconds: float, boards: int, rows: int, rate: float) -> dict[str, float]:
    """Publish at a fixed rate; a publication that does not end is what a stalled client does to the original."""
    before, end = server.deliveries(), time.perf_counter() + seconds
    next_at = time.perf_counter()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds + 1):
            while time.perf_counter() < end:
                await server.publish(boards, rows)
                next_at += 1 / rate
                await asyncio.sleep(max(0.0, next_at - time.perf_counter()))
    return {"deliveries": server.deliveries() - before}


async def serve(name: str) -> None:
    """Run a server and do what the parent says."""
    server, stop = SERVERS[name](), asyncio.Event()
    task = asyncio.create_task(server.run(stop))
    await server.ready()
    _say(port=server.port)
    async for command, *numbers in _lines():
        if command == "clients":
            while server.clients() < int(numbers[0]):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.02)
            _say(clients=server.clients())
        elif command == "throughput":
            _say(**await _throughput(server, float(numbers[0]), int(numbers[1]), int(numbers[2])))
        elif command == "steady":
            _say(**await _steady(server, float(numbers[0]), int(numbers[1]), int(numbers[2]), float(numbers[3])))
    stop.set()
    task.cancel()


class _Sampler(RawClient):
    """Counts bytes, and looks at a time stamp now and then."""

    latencies_ns: list[int]
    chunks = itertools.count(1)

    def data_received(self, data: bytes) -> None:
        if not self.upgraded.done():
            self.upgraded.set_result(data)
            return
        self.total += len(data)
        if next(self.chunks) % _SAMPLE_EVERY == 0 and (found := _STAMP.search(data)):
            self.latencies_ns.append(time.time_ns() - int(found[1]))


async def _connect(port: int, latencies_ns: list[int], *, stalled: bool = False) -> _Sampler:
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    if stalled:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(0)
    await loop.sock_connect(connection, ("127.0.0.1", port))
    transport, client = await loop.create_connection(lambda: _Sampler("bench"), sock=connection)
    client.latencies_ns = latencies_ns
    await client.upgraded
    client.send({"action": "subscribe", "topics": _TOPICS})
    if stalled:
        transport.pause_reading()
    return client


async def consume(port: int, count: int) -> None:
    """Run the clients and do what the parent says."""
    latencies_ns: list[int] = []
    clients = [await _connect(port, latencies_ns) for _ in range(count)]
    _say(connected=len(clients))
    async for (command,) in _lines():
        if command == "stall":
            clients.append(await _connect(port, latencies_ns, stalled=True))
            _say(stalled=True)
        elif command == "begin":
            latencies_ns.clear()
            _say(begun=True)
        else:
            found = sorted(latencies_ns) or [0]
            shares = {f"p{share}": found[min(len(found) - 1, len(found) * share // 100)] / 1e6 for share in (50, 99)}
            _say(samples=len(latencies_ns), **shares)


class _Child:
    """A process that answers each line with a line of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(await asyncio.wait_for(self._process.stdout.readline(), 120))
        return found

    async def ask(self, *words: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        return await self.answer()


@asynccontextmanager
async def _child(*arguments: object) -> AsyncIterator[_Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, *map(str, arguments), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield _Child(process)
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _pair(name: str, count: int) -> AsyncIterator[tuple[_Child, _Child]]:
    async with _child("serve", name) as server:
        port = (await server.answer())["port"]
        async with _child("consume", port, count) as clients:
            await clients.answer()
            await server.ask("clients", count)
            yield server, clients


async def measure_throughput(name: str, count: int, boards: int, seconds: float) -> dict[str, Any]:
    """Return deliveries a second of messages of about 1 kB, *boards* of them at each tick, to *count* clients."""
    async with _pair(name, count) as (server, _):
        return await server.ask("throughput", seconds, boards, 3)


async def measure_stall(name: str, count: int, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what clients see at 5 boards of 50 rows ten times a second, before and beside a client that never reads."""
    shape = (5, 50, 10)
    async with _pair(name, count) as (server, clients):
        rounds = []
        for stalled in (False, True):
            if stalled:
                await clients.ask("stall")
                await server.ask("clients", count + 1)
                await server.ask("steady", _STALL_SECONDS, *shape)
            await clients.ask("begin")
            counted = await server.ask("steady", seconds, *shape)
            rounds.append({**await clients.ask("report"), **counted})
        return rounds[0], rounds[1]


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # its output


async def main(seconds: float = 4.0) -> None:
    """Measure everything and print it."""
    _print("deliveries a second, messages of about 1 kB (and per second of the server's own processor time)")
    for count in (200, 800):
        for boards in (1, 10):
            rates = {}
            for name in SERVERS:
                found = await measure_throughput(name, count, boards, seconds)
                rates[name] = found["per_core"]
                label = f"{name}, {count} clients, {boards} at a tick"
                _print(f"  {label:<48} {found['per_second']:>10,.0f}  ({found['per_core']:,.0f})")
            _print(f"  {'ratio, by processor time':<48} {rates['gateway'] / rates['original pattern']:>10.1f}")
    _print(
        "\n200 clients, 50 boards of 50 rows a second: latency from write to client, without and beside a stalled client"
    )
    for name in SERVERS:
        for title, found in zip(("without", "stalled"), await measure_stall(name, 200, seconds), strict=True):
            numbers = (
                f"p50 {found['p50']:7.2f} ms  p99 {found['p99']:7.2f} ms" if found["samples"] else "nothing arrives"
            )
            _print(f"  {name + ', ' + title:<48} {numbers}  {found['deliveries'] / seconds:>10,.0f} deliveries/s")


_COMMANDS: dict[str, Callable[..., Awaitable[None]]] = {
    "serve": serve,
    "consume": lambda port, count: consume(int(port), int(count)),
}

if __name__ == "__main__":
    uvloop.run(_COMMANDS[sys.argv[1]](*sys.argv[2:]) if len(sys.argv) > 1 else main())  # type: ignore[arg-type]  # coroutines all
