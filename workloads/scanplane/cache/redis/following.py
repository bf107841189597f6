"""Following keys by pattern subscriptions.

Redis sends a message once for each subscribed pattern that matches its channel, and says which. Prefixes that another
one covers are left out before subscribing, so the patterns never overlap, and an update is handed on by the channel it came on:
subscribing to many keys, one or all of them gives the same updates, each once.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection

from scanplane.cache.interface import CacheUnavailableError, Update
from scanplane.cache.redis.connection import COMMAND_TIMEOUT_S, cache_errors
from scanplane.cache.redis.scripts import APPENDED

__all__ = ["decode_update", "disjoint_prefixes", "escape_pattern", "follow"]

_LOG = logging.getLogger(__name__)
_PROBE_INTERVAL_S = 5.0
_SPECIAL = frozenset("*?[]\\")


def escape_pattern(text: str) -> str:
    """Return *text* so that a Redis pattern takes every character of it literally."""
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in text)


def disjoint_prefixes(prefixes: Iterable[str]) -> list[str]:
    """Return *prefixes* without those that begin with another one, sorted."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept


def decode_update(channel: bytes, payload: bytes) -> Update:
    """Decode a push. Raises ValueError if it is none of ours."""
    key = channel.decode()
    if payload[:1] != APPENDED:
        return Update(key, payload[1:])
    identity, separator, value = payload[1:].partition(b" ")
    milliseconds, _, ordinal = identity.partition(b"-")
    if not separator:
        raise ValueError("an appended entry without an id")
    return Update(key, value, (int(milliseconds), int(ordinal)))


class _Follower:
    """Reads pushes as they come, for the network does not wait; hands them out in order."""

    def __init__(self, connection: AbstractConnection, address: str, max_waiting: int) -> None:
        self._connection = connection
        self._address = address
        self._max_waiting = max_waiting
        self._updates: deque[Update] = deque()
        self._arrived = asyncio.Event()
        self._failure: str | None = None

    async def subscribe(self, prefixes: Sequence[str]) -> None:
        patterns = [f"{escape_pattern(prefix)}*" for prefix in disjoint_prefixes(prefixes)]
        if not patterns:
            return
        await self._connection.send_command("PSUBSCRIBE", *patterns)
        for _ in patterns:
            await self._connection.read_response(timeout=COMMAND_TIMEOUT_S)

    async def read(self) -> None:
        """Read until the connection is lost or the reader falls behind; either ends the iteration."""
        try:
            with cache_errors(self._address):
                await self._read()
        except CacheUnavailableError as error:
            self._fail(str(error))

    async def _read(self) -> None:
        unanswered = False
        while True:
            message: Any = None
            with suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_INTERVAL_S):
                    message = await self._connection.read_response(timeout=math.inf, disconnect_on_error=False)
            if message is None:
                if unanswered:
                    raise TimeoutError
                unanswered = True
                await self._connection.send_command("PING", check_health=False)
                continue
            unanswered = False
            if message[0] != b"pmessage":
                continue
            if len(self._updates) >= self._max_waiting:
                self._fail(f"more than {self._max_waiting} updates from Redis at {self._address} were left unread")
                return
            try:
                self._updates.append(decode_update(message[2], message[3]))
            except ValueError as error:
                _LOG.warning("a foreign message on channel %r is left out: %s", message[2], error)
            self._arrived.set()

    def _fail(self, why: str) -> None:
        self._failure = why
        self._arrived.set()

    def __aiter__(self) -> AsyncIterator[Update]:
        return self

    async def __anext__(self) -> Update:
        while True:
            if self._failure is not None:
                raise CacheUnavailableError(self._failure)
            if self._updates:
                return self._updates.popleft()
            self._arrived.clear()
            await self._arrived.wait()


@asynccontextmanager
async def follow(
    pool: ConnectionPool, address: str, prefixes: Sequence[str], max_waiting: int
) -> AsyncIterator[AsyncIterator[Update]]:
    """Follow on a connection of its own. Raises CacheUnavailableError."""
    make_connection: Callable[[], Any] = pool.make_connection  # redis-py gives neither this nor connect() types
    connection = make_connection()
    follower = _Follower(connection, address, max_waiting)
    reader: asyncio.Task[None] | None = None
    try:
        with cache_errors(address):
            await connection.connect()
            await follower.subscribe(prefixes)
        reader = asyncio.create_task(follower.read(), name=f"updates from {address}")
        yield follower
    finally:
        if reader is not None:
            reader.cancel()
            await asyncio.wait([reader])
        with suppress(OSError):
            await connection.disconnect(nowait=True)
