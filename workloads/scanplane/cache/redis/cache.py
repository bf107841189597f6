"""Redis behind the Cache interface."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import chain
from typing import Any

from scanplane.cache.interface import Entry, Update, Write
from scanplane.cache.redis.connection import (
    COMMAND_TIMEOUT_S,
    MAX_CONNECTIONS,
    cache_errors,
    make_client,
    redis_address,
)
from scanplane.cache.redis.following import escape_pattern, follow
from scanplane.cache.redis.scripts import GENERATION_FIELD, MARK_FIELD, SAVE_STATE, WRITE

__all__ = ["RedisCache"]

_SCAN_COUNT = 1000
_KEYS_OF_ONE_READ = 2000


class RedisCache:
    """A Cache. Connects when it is first used; raises CacheUnavailableError for a URL that is none."""

    def __init__(self, url: str) -> None:
        # redis-py types every answer as bytes or str, by how the client decodes; this one never does.
        self._client: Any = make_client(url)
        self._address = redis_address(url)
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)  # the client itself refuses what it has no connection for
        self._write = self._client.register_script(WRITE)
        self._save_state = self._client.register_script(SAVE_STATE)
        self._claim_state = self._client.register_script(SAVE_STATE)

    def __repr__(self) -> str:
        return f"RedisCache({self._address})"

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Any]:
        with cache_errors(self._address):
            async with asyncio.timeout(COMMAND_TIMEOUT_S), self._places:
                yield self._client

    async def write(self, write: Write) -> int:
        """Write the results of one evaluation in one round trip."""
        keys = [write.fence_key, *write.values, *write.removed_rows, *write.table_rows, *write.entries]
        counts = (len(write.values), len(write.removed_rows), len(write.table_rows))
        arguments: list[Any] = [write.generation, *counts, write.max_stream_length]
        arguments += write.values.values()
        for names in write.removed_rows.values():
            arguments += (len(names), *names)
        for rows in write.table_rows.values():
            arguments.append(len(rows))
            arguments += chain.from_iterable(rows.items())
        for entries in write.entries.values():
            arguments.append(len(entries))
            arguments += chain.from_iterable(
                (f"{entry.entry_id[0]}-{entry.entry_id[1]}", entry.value) for entry in entries
            )
        async with self._asking():
            return int(await self._write(keys=keys, args=arguments))

    async def read_values(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the latest value of each key."""
        values: list[bytes | None] = []
        for some in _chunks(keys):
            async with self._asking() as client:
                values += await client.mget(some)
        return values

    async def read_rows(self, key: str, rows: Sequence[str]) -> list[bytes | None]:
        """Return rows of a table."""
        values: list[bytes | None] = []
        for some in _chunks(rows):
            async with self._asking() as client:
                values += await client.hmget(key, list(some))
        return values

    async def read_table(self, key: str) -> dict[str, bytes]:
        """Return a whole table."""
        async with self._asking() as client:
            return _decode_fields(await client.hgetall(key))

    async def read_stream(self, key: str, after: tuple[int, int] = (0, 0), limit: int = 1000) -> list[Entry]:
        """Return entries after an id, oldest first."""
        async with self._asking() as client:
            found = await client.xrange(key, min=f"({after[0]}-{after[1]}", count=limit)
        return [Entry(_decode_entry_id(identity), fields[b"value"]) for identity, fields in found]

    async def list_keys(self, prefix: str) -> list[str]:
        """Return the keys of values and streams that begin with *prefix*, sorted."""
        pattern = f"{escape_pattern(prefix)}*"
        found: set[str] = set()
        for kind in ("string", "stream"):
            cursor = 0
            while True:
                async with self._asking() as client:
                    cursor, keys = await client.scan(cursor, match=pattern, count=_SCAN_COUNT, _type=kind)
                found.update(key.decode() for key in keys)
                if cursor == 0:
                    break
        return sorted(found)

    def follow(
        self, prefixes: Sequence[str], *, max_waiting: int = 65_536
    ) -> AbstractAsyncContextManager[AsyncIterator[Update]]:
        """Follow pushed updates from the moment the context is entered."""
        return follow(self._client.connection_pool, self._address, prefixes, max_waiting)

    async def save_state(
        self,
        key: str,
        generation: int,
        fields: Mapping[str, bytes | None],
        *,
        mark: str = "",
        previous_mark: str = "",
    ) -> None:
        """Set or remove fields of a state in one step."""
        to_set = {field: value for field, value in fields.items() if value is not None}
        to_remove = [field for field, value in fields.items() if value is None]
        arguments: list[Any] = [generation, mark, previous_mark, len(to_set)]
        arguments += [*chain.from_iterable(to_set.items()), *to_remove]
        async with self._asking():
            await self._save_state(keys=[key], args=arguments)

    async def load_state(self, key: str, generation: int) -> dict[str, bytes]:
        """Claim the state for *generation* and return all its fields."""
        async with self._asking() as client:
            await self._claim_state(keys=[key], args=[generation, "", "", 0])
            fields = _decode_fields(await client.hgetall(key))
        return _own_fields(fields)

    async def read_states(self, keys: Sequence[str], fields: Sequence[str]) -> list[list[bytes | None]]:
        """Return the given fields of each state in one round trip, without claiming any."""
        states: list[list[bytes | None]] = []
        for some in _chunks(keys):
            async with self._asking() as client:
                pipeline = client.pipeline(transaction=False)
                for key in some:
                    pipeline.hmget(key, list(fields))
                states += await pipeline.execute()
        return states

    async def read_state(self, key: str) -> dict[str, bytes]:
        """Return all fields of a state without claiming it."""
        async with self._asking() as client:
            return _own_fields(_decode_fields(await client.hgetall(key)))

    async def expire(self, keys: Sequence[str], seconds: float | None) -> None:
        """Let what is there be removed later, or never."""
        for some in _chunks(keys):
            async with self._asking() as client:
                pipeline = client.pipeline(transaction=False)
                for key in some:
                    if seconds is None:
                        pipeline.persist(key)
                    else:
                        pipeline.pexpire(key, round(seconds * 1000))
                await pipeline.execute()

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove values, tables, streams or states."""
        for some in _chunks(keys):
            async with self._asking() as client:
                await client.unlink(*some)

    async def close(self) -> None:
        """Close every connection of the pool."""
        with cache_errors(self._address):
            await self._client.aclose()
            await self._client.connection_pool.disconnect()


def _chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _KEYS_OF_ONE_READ):
        yield items[start : start + _KEYS_OF_ONE_READ]


def _decode_fields(fields: Mapping[bytes, bytes]) -> dict[str, bytes]:
    return {field.decode(): value for field, value in fields.items()}


def _own_fields(fields: Mapping[str, bytes]) -> dict[str, bytes]:
    """Leave out what the scripts keep beside a state's fields."""
    return {field: value for field, value in fields.items() if field not in {GENERATION_FIELD, MARK_FIELD}}


def _decode_entry_id(identity: bytes) -> tuple[int, int]:
    milliseconds, _, ordinal = identity.partition(b"-")
    return int(milliseconds), int(ordinal)
