"""A gateway in this process, the parts that analyzers would write, and a client that notes all it is told."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self, cast

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect

from scanplane.broker.interface import Broker
from scanplane.cache import keys
from scanplane.cache.interface import Cache, Entry, Write
from scanplane.cache.memory import MemoryCache
from scanplane.gateway.role import Gateway
from scanplane.marketdata.partitions import Partition
from scanplane.marketdata.results import BoardPart, BoardRow, QuoteRow, Signal
from scanplane.plan.configuration import GatewayConfiguration, SecretKey, Services
from scanplane.resources.data_plane import LogLevel
from scanplane.roles.interface import RoleServices, SecretMissingError
from scanplane.telemetry.setup import TelemetrySettings, start_telemetry

NAMESPACE = "test"
PATIENCE_S = 20.0
TICK_NS = 1_767_621_600_000_000_000
SECOND_NS = 1_000_000_000


class _Secrets:
    def __init__(self, secrets: Mapping[str, Mapping[str, str]]) -> None:
        self._secrets = secrets

    def read(self, key: SecretKey) -> str:
        return self.read_all(key.name)[key.key]

    def read_all(self, name: str) -> dict[str, str]:
        if name not in self._secrets:
            raise SecretMissingError(f"secret {name!r} is missing")
        return dict(self._secrets[name])


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until *condition* holds of something that tells nobody when it changes."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)


def configuration_of(**changes: Any) -> GatewayConfiguration:
    """A gateway's configuration on a free port."""
    configuration = GatewayConfiguration(
        services=Services(
            namespace=NAMESPACE,
            broker_url=None,
            cache_url=None,
            log_level=LogLevel.INFO,
            otlp_endpoint=None,
            trace_ratio=0.0,
            export_interval_ns=SECOND_NS,
        ),
        port=0,
        tokens_secret=None,
        max_clients=100,
        max_client_bytes=1_048_576,
        max_updates_per_second=1000.0,
        credentials_digest="",
        sources={},
    )
    return msgspec.structs.replace(configuration, **changes)


def part_of(
    scanner: str = "gappers",
    rows: Sequence[tuple[str, float]] = (("AAPL", 5.0), ("MSFT", 4.0)),
    *,
    market: str = "us-stocks",
    partition: str = "0-of-1",
    tick_ns: int = TICK_NS,
    limit: int = 50,
    descending: bool = True,
    received_ns: int | None = None,
    evaluated_ns: int | None = None,
    columns: tuple[str, ...] = ("price", "gap_percent"),
    data_label: str = "",
) -> BoardPart:
    """A part of a board, evaluated now; each row has a price of 10 and its rank value."""
    now_ns = time.time_ns()
    return BoardPart(
        market=market,
        scanner=scanner,
        partition=partition,
        columns=columns,
        descending=descending,
        limit=limit,
        tick_ns=tick_ns,
        matches=len(rows),
        rows=tuple(BoardRow(symbol, value, (10.0, value)) for symbol, value in rows),
        received_ns=now_ns if received_ns is None else received_ns,
        evaluated_ns=now_ns if evaluated_ns is None else evaluated_ns,
        data_label=data_label,
    )


def signal_of(number: int, *, market: str = "us-stocks", scanner: str = "gappers", symbol: str = "AAPL") -> Signal:
    """The *number*-th signal, a second after the one before it."""
    return Signal(
        signal_id=f"{scanner}-{number}",
        market=market,
        scanner=scanner,
        symbol=symbol,
        tick_ns=TICK_NS + number * SECOND_NS,
        price=10.0 + number,
        columns=("price",),
        values=(10.0 + number,),
        explanation="gap_percent 5.1 >= 4",
        received_ns=time.time_ns(),
        evaluated_ns=time.time_ns(),
    )


class Analyst:
    """Writes to the cache as an analyzer does."""

    def __init__(self, cache: Cache, namespace: str = NAMESPACE) -> None:
        self.cache = cache
        self._namespace = namespace

    async def write(
        self,
        *parts: BoardPart,
        signals: Sequence[Signal] = (),
        quotes: Sequence[QuoteRow] = (),
        partition: Partition | None = None,
        market: str = "us-stocks",
    ) -> None:
        partition = partition or Partition(0, 1)
        entries = [
            Entry((signal.tick_ns // 1_000_000, number), msgspec.json.encode(signal))
            for number, signal in enumerate(signals, start=1)
        ]
        await self.cache.write(
            Write(
                fence_key=keys.state(self._namespace, market, partition),
                generation=1,
                values={self.key_of(part): msgspec.json.encode(part) for part in parts},
                entries={keys.signals(self._namespace, market, partition): entries} if entries else {},
                table_rows={
                    keys.quotes(self._namespace, market): {row.symbol: msgspec.json.encode(row) for row in quotes}
                }
                if quotes
                else {},
            )
        )

    def key_of(self, part: BoardPart) -> str:
        index, count = part.partition.split("-of-")
        return keys.board(self._namespace, part.market, part.scanner, Partition(int(index), int(count)))


class StreamClient:
    """A WebSocket client that notes every message, and in ``arrived_ns`` when it came, by the host's monotonic clock."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.messages: list[dict[str, Any]] = []
        self.arrived_ns: list[int] = []
        self._arrived = asyncio.Condition()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reader is not None
        await self.connection.close()
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        with suppress(Exception):
            async for text in self.connection:
                self.arrived_ns.append(time.monotonic_ns())
                self.messages.append(json.loads(text))
                async with self._arrived:
                    self._arrived.notify_all()
        async with self._arrived:
            self._arrived.notify_all()

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def until(self, reached: Callable[[list[dict[str, Any]]], Any]) -> list[dict[str, Any]]:
        """Wait until *reached* says yes of the messages so far, and return them."""
        try:
            async with asyncio.timeout(PATIENCE_S), self._arrived:
                await self._arrived.wait_for(lambda: reached(self.messages))
        except TimeoutError:
            tail = "\n".join(str(message)[:300] for message in self.messages[-5:])
            raise AssertionError(f"not reached; the last of {len(self.messages)} messages:\n{tail}") from None
        return self.messages

    async def first(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Wait for the first message of *kind* with these fields, and return it."""

        def find(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [m for m in messages if m["type"] == kind and all(m.get(k) == v for k, v in fields.items())]

        return find(await self.until(find))[0]

    def of_topic(self, topic: str) -> list[dict[str, Any]]:
        """Return the messages of *topic* so far."""
        return [message for message in self.messages if message.get("topic") == topic]

    async def closed(self) -> tuple[int, str]:
        """Wait until the gateway closes, and return code and reason."""
        async with asyncio.timeout(PATIENCE_S):
            await self.connection.wait_closed()
        return self.connection.close_code or 0, self.connection.close_reason or ""


class RunningGateway:
    """A gateway and what tests ask of it."""

    def __init__(self, role: Gateway, cache: Cache) -> None:
        self.role = role
        self.analyst = Analyst(cache)
        self.http = httpx.AsyncClient(base_url=role.url, timeout=PATIENCE_S)
        self.stop = asyncio.Event()

    @property
    def stream_url(self) -> str:
        return self.role.url.replace("http://", "ws://") + "/v1/stream"

    @asynccontextmanager
    async def client(self, *topics: str, **options: Any) -> AsyncIterator[StreamClient]:
        """Connect, and subscribe to *topics* if there are any."""
        async with (
            connect(self.stream_url, compression=None, max_size=None, **options) as connection,
            StreamClient(connection) as client,
        ):
            if topics:
                await client.send(action="subscribe", topics=list(topics), id=1)
                await client.first("subscribed", id=1)
            yield client

    async def json(self, path: str, status: int = 200, **options: Any) -> Any:
        response = await self.http.get(path, **options)
        assert response.status_code == status, response.text
        return response.json()


def new_gateway(
    cache: Cache | None = None, *, secrets: Mapping[str, Mapping[str, str]] | None = None, **changes: Any
) -> Gateway:
    """A gateway that does not run yet, whose telemetry nobody looks at."""
    broker: Broker = None  # type: ignore[assignment]  # a gateway never touches the broker
    services = RoleServices(broker=broker, cache=cache or MemoryCache(), secrets=_Secrets(secrets or {}), files=Path())
    telemetry = start_telemetry(
        TelemetrySettings(service_name="test", instance="gateway", namespace=NAMESPACE, prometheus=False)
    )
    return Gateway(configuration_of(**changes), services, telemetry, host="127.0.0.1")


@asynccontextmanager
async def running_gateway(
    cache: Cache | None = None, *, secrets: Mapping[str, Mapping[str, str]] | None = None, **changes: Any
) -> AsyncIterator[RunningGateway]:
    """Run a gateway on a free port within the context; wait until it has read the cache."""
    cache = cache if cache is not None else MemoryCache()
    role = new_gateway(cache, secrets=secrets, **changes)
    stop = asyncio.Event()
    task = asyncio.create_task(role.run(stop))
    waiting = asyncio.create_task(role.standby.wait())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        running = RunningGateway(role, cache)
        running.stop = stop
        async with running.http:
            yield running
    finally:
        waiting.cancel()
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await task


class RawClient(asyncio.Protocol):
    """A socket that speaks just enough WebSocket to subscribe, answers no ping, and can stop reading."""

    def __init__(self, host: str) -> None:
        self.received = bytearray()
        self.total = 0
        self.upgraded = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()
        self._host = host

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /v1/stream HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.transport.write(request.encode())

    def data_received(self, data: bytes) -> None:
        if not self.upgraded.done():
            self.upgraded.set_result(data)
            return
        self.total += len(data)
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(exc)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a masked text frame (the mask is zero)."""
        text = json.dumps(message).encode()
        length = bytes([0x80 | len(text)]) if len(text) < 126 else bytes([0x80 | 126]) + len(text).to_bytes(2)
        self.transport.write(b"\x81" + length + b"\0\0\0\0" + text)
