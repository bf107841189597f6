"""A provider in a few lines: a real WebSocket server on loopback whose every connection follows a test's script."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

__all__ = ["CONNECTED", "Provider", "acknowledge", "deaf_provider", "scripted_provider", "status", "until"]

Script = Callable[[ServerConnection, int], Awaitable[None]]
"""Plays one connection; gets its number, from 0. Its end closes the connection."""


def status(name: str, message: str = "") -> str:
    """Return a frame with one status."""
    return json.dumps([{"ev": "status", "status": name, "message": message}])


CONNECTED = status("connected", "Connected Successfully")


async def acknowledge(socket: ServerConnection, *, except_for: frozenset[str] = frozenset()) -> str:
    """Greet, take any key and acknowledge the topics of one subscribe message; return the key."""
    await socket.send(CONNECTED)
    key = json.loads(await socket.recv())["params"]
    await socket.send(status("auth_success", "authenticated"))
    for topic in json.loads(await socket.recv())["params"].split(","):
        if topic not in except_for:
            await socket.send(status("success", f"subscribed to: {topic}"))
    return str(key)


class Provider:
    """What a test asks about its provider: where it is and whom it saw."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.close_codes: list[int | None] = []
        self.changed = asyncio.Event()


@asynccontextmanager
async def scripted_provider(script: Script) -> AsyncIterator[Provider]:
    """Serve *script* on a free port while the context lasts."""
    provider = Provider()

    async def handle(socket: ServerConnection) -> None:
        number = provider.connections
        provider.connections += 1
        provider.open += 1
        provider.most_open = max(provider.most_open, provider.open)
        try:
            await script(socket, number)
        except ConnectionClosed:
            pass
        finally:
            await socket.close()
            provider.open -= 1
            provider.close_codes.append(socket.close_code)

    async with serve(handle, "127.0.0.1", 0, compression=None, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        provider.endpoint = f"ws://127.0.0.1:{port}/stocks"
        yield provider


@asynccontextmanager
async def deaf_provider(frames: list[str]) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Serve one that sends *frames* and never hears anything, not even a close; yields its endpoint and an event that
    is set when the client's socket is gone.
    """
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(
            line.split(": ")[1] for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
        )
        for frame in frames:
            data = frame.encode()
            length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
            writer.write(b"\x81" + length + data)
        try:
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/stocks", gone


async def until(condition: Callable[[], bool]) -> None:
    """Return once *condition* holds, looking at it in every turn of the event loop; for what has no event to wait on."""
    while not condition():  # noqa: ASYNC110  # the state of a connection is a property, as its users read it
        await asyncio.sleep(0)
