"""A bare client of the provider's protocol for tests of the simulator: it sends what it is told and keeps what comes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

TIMEOUT_S = 20.0


def request(action: str, params: str) -> str:
    return msgspec.json.encode({"action": action, "params": params}).decode()


class RawClient:
    """One connection. ``events`` are all data events in order, ``statuses`` (status, message) of the connection's own."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.events: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self.statuses: list[tuple[str, str]] = []
        self.garbage: list[bytes] = []

    async def read_frame(self) -> list[dict[str, Any]]:
        """Read one frame, keep and return its messages. Raises ConnectionClosed and TimeoutError."""
        async with asyncio.timeout(TIMEOUT_S):
            frame = await self.connection.recv(decode=False)
        try:
            messages = msgspec.json.decode(frame)
        except msgspec.DecodeError:
            messages = None
        if not (isinstance(messages, list) and all(isinstance(message, dict) for message in messages)):
            self.garbage.append(frame)
            return []
        for message in messages:
            if message.get("ev") == "status":
                self.statuses.append((message["status"], message["message"]))
            else:
                self.events.append(message)
        if any(message.get("ev") != "status" for message in messages):
            self.frames.append(frame)
        return messages

    async def ask(self, action: str, params: str) -> None:
        await self.connection.send(request(action, params))

    async def authenticate(self, key: str = "demo") -> None:
        """Say hello with a key and wait for the answer to it."""
        await self.read_frame()
        await self.ask("auth", key)
        await self.read_frame()

    async def subscribe(self, *topics: str) -> None:
        await self.ask("subscribe", ",".join(topics))

    async def read_events(self, count: int) -> None:
        """Read until there are at least *count* events."""
        while len(self.events) < count:
            await self.read_frame()

    async def read_to_end(self) -> None:
        """Read until the connection is closed."""
        try:
            while True:
                await self.read_frame()
        except ConnectionClosed:
            return

    async def close_in_full(self) -> None:
        """Close properly and read all that was sent before the server's answer."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.read_to_end())
            await self.connection.close()

    def count_by_type(self) -> Counter[str]:
        return Counter(event["ev"] for event in self.events)


@asynccontextmanager
async def raw_client(url: str, *topics: str, key: str = "demo") -> AsyncIterator[RawClient]:
    """Connect to *url* (with its path), authenticate and subscribe to *topics*, if any."""
    async with connect(url, compression=None, max_size=None, ping_interval=None, close_timeout=5) as connection:
        client = RawClient(connection)
        if topics:
            await client.authenticate(key)
            await client.subscribe(*topics)
        yield client
