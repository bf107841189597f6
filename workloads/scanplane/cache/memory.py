"""A cache inside one process, with the semantics of the one on Redis. Roles share the object."""

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from scanplane.cache.interface import CacheUnavailableError, Entry, FencedError, StateLostError, Update, Write

__all__ = ["MemoryCache"]


class _Stream:
    """Entries in the order of their ids; ``last_id`` stays when entries are trimmed away."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.last_id = (0, 0)

    def append(self, entry: Entry, max_length: int) -> bool:
        if entry.entry_id <= self.last_id:
            return False
        self.last_id = entry.entry_id
        self.entries.append(entry)
        while len(self.entries) > max_length:
            self.entries.popleft()
        return True

    def after(self, entry_id: tuple[int, int], limit: int) -> list[Entry]:
        entries = list(self.entries)
        start = bisect_right(entries, entry_id, key=lambda entry: entry.entry_id)
        return entries[start : start + limit]


class _Follower:
    """Updates that one follower has not read yet."""

    def __init__(self, prefixes: Sequence[str], max_waiting: int) -> None:
        self._prefixes = tuple(prefixes)
        self._max_waiting = max_waiting
        self._updates: deque[Update] = deque()
        self._arrived = asyncio.Event()
        self._behind = False

    def push(self, update: Update) -> None:
        if self._behind or not update.key.startswith(self._prefixes):
            return
        if len(self._updates) >= self._max_waiting:
            self._behind = True
            self._updates.clear()
        else:
            self._updates.append(update)
        self._arrived.set()

    def __aiter__(self) -> AsyncIterator[Update]:
        return self

    async def __anext__(self) -> Update:
        while not self._updates:
            if self._behind:
                raise CacheUnavailableError(f"more than {self._max_waiting} updates were left unread")
            self._arrived.clear()
            await self._arrived.wait()
        return self._updates.popleft()


class MemoryCache:
    """A Cache that lives and ends with its process."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._tables: dict[str, dict[str, bytes]] = {}
        self._streams: dict[str, _Stream] = {}
        self._states: dict[str, dict[str, bytes]] = {}
        self._generations: dict[str, int] = {}
        self._marks: dict[str, str] = {}
        self._followers: set[_Follower] = set()
        self._expiries: dict[str, float] = {}

    def _pass_fence(self, key: str, generation: int) -> None:
        if self._generations.get(key, generation) > generation:
            raise FencedError("a newer generation holds the baton; stop")
        self._generations[key] = generation

    def _push(self, update: Update) -> None:
        for follower in self._followers:
            follower.push(update)

    async def write(self, write: Write) -> int:
        """Write the results of one evaluation."""
        self._pass_fence(write.fence_key, write.generation)
        for key, value in write.values.items():
            self._values[key] = value
            self._push(Update(key, value))
        for key, names in write.removed_rows.items():
            for name in names:
                self._tables.get(key, {}).pop(name, None)
        for key, rows in write.table_rows.items():
            self._tables.setdefault(key, {}).update(rows)
        skipped = 0
        for key, entries in write.entries.items():
            for entry in entries:
                stream = self._streams.setdefault(key, _Stream())
                if stream.append(entry, write.max_stream_length):
                    self._push(Update(key, entry.value, entry.entry_id))
                else:
                    skipped += 1
        return skipped

    async def read_values(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the latest value of each key."""
        return [self._values.get(key) for key in keys]

    async def read_rows(self, key: str, rows: Sequence[str]) -> list[bytes | None]:
        """Return rows of a table."""
        table = self._tables.get(key, {})
        return [table.get(row) for row in rows]

    async def read_table(self, key: str) -> dict[str, bytes]:
        """Return a whole table."""
        return dict(self._tables.get(key, {}))

    async def read_stream(self, key: str, after: tuple[int, int] = (0, 0), limit: int = 1000) -> list[Entry]:
        """Return entries after an id, oldest first."""
        self._remove_expired()
        stream = self._streams.get(key)
        return stream.after(after, limit) if stream is not None else []

    async def list_keys(self, prefix: str) -> list[str]:
        """Return the keys of values and streams that begin with *prefix*, sorted."""
        self._remove_expired()
        return sorted(key for key in (*self._values, *self._streams) if key.startswith(prefix))

    @asynccontextmanager
    async def follow(
        self, prefixes: Sequence[str], *, max_waiting: int = 65_536
    ) -> AsyncIterator[AsyncIterator[Update]]:
        """Follow pushed updates from the moment the context is entered."""
        follower = _Follower(prefixes, max_waiting)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

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
        self._pass_fence(key, generation)
        if mark:
            if previous_mark and self._marks.get(key) not in {previous_mark, mark}:
                raise StateLostError("the cache does not hold what was saved last")
            if not previous_mark:
                self._states.pop(key, None)
            self._marks[key] = mark
        state = self._states.setdefault(key, {})
        for field, value in fields.items():
            if value is None:
                state.pop(field, None)
            else:
                state[field] = value

    async def load_state(self, key: str, generation: int) -> dict[str, bytes]:
        """Claim the state for *generation* and return all its fields."""
        self._pass_fence(key, generation)
        return dict(self._states.get(key, {}))

    async def read_states(self, keys: Sequence[str], fields: Sequence[str]) -> list[list[bytes | None]]:
        """Return the given fields of each state, without claiming any."""
        states = (self._states.get(key, {}) for key in keys)
        return [[state.get(field) for field in fields] for state in states]

    async def read_state(self, key: str) -> dict[str, bytes]:
        """Return all fields of a state without claiming it."""
        return dict(self._states.get(key, {}))

    async def expire(self, keys: Sequence[str], seconds: float | None) -> None:
        """Let what is there be removed later, or never."""
        for key in keys:
            if seconds is None:
                self._expiries.pop(key, None)
            else:
                self._expiries[key] = time.monotonic() + seconds

    def _remove_expired(self) -> None:
        """Remove what is due; looked at where keys are listed and streams are read, which are all that expires."""
        if self._expiries:
            now = time.monotonic()
            self._remove([key for key, at in self._expiries.items() if at <= now])

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove values, tables, streams or states."""
        self._remove(keys)

    def _remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._expiries.pop(key, None)
            for content in (self._values, self._tables, self._streams, self._states, self._generations, self._marks):
                content.pop(key, None)

    async def close(self) -> None:
        """Nothing to close."""
