"""The narrow interface between the roles and a cache.

Three kinds of content: *values* (the latest only, with a push to followers), *streams* (bounded, appended once by id)
and *states* (a map of fields, guarded by the generation of the baton that its writer holds).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

__all__ = ["Cache", "CacheUnavailableError", "Entry", "FencedError", "StateLostError", "Update", "Write"]


class CacheUnavailableError(Exception):
    """The cache can't be reached or refused the credentials; the text says which, without secrets."""


class FencedError(Exception):
    """A newer generation holds the baton: this writer must stop at once."""


class StateLostError(Exception):
    """The cache no longer holds what was saved last: it was restarted without its data, or with older data."""


class Entry(Struct, frozen=True, order=True):
    """One entry of a stream. ``entry_id`` is (milliseconds, ordinal) and grows strictly within a stream."""

    entry_id: tuple[int, int]
    value: bytes


class Write(Struct, frozen=True, kw_only=True):
    """What one evaluation writes: all of it in one round trip, refused as a whole if *generation* is no longer current.

    ``values`` replaces latest values and pushes them to followers; ``table_rows`` sets rows of tables
    (key, then row, then value) without a push, ``removed_rows`` removes rows of tables, before others are set;
    ``entries`` appends to streams what they do not have yet (an entry whose id is not greater than the last one is
    skipped and counted) and pushes the appended ones.
    """

    fence_key: str
    generation: int
    values: Mapping[str, bytes] = {}
    table_rows: Mapping[str, Mapping[str, bytes]] = {}
    removed_rows: Mapping[str, Sequence[str]] = {}
    entries: Mapping[str, Sequence[Entry]] = {}
    max_stream_length: int = 10_000


class Update(Struct, frozen=True):
    """A pushed change: the key of a value or stream, and the new value or appended entry's value."""

    key: str
    value: bytes
    entry_id: tuple[int, int] | None = None


class Cache(Protocol):
    """A connection to a cache, for one namespace."""

    async def write(self, write: Write) -> int:
        """Write the results of one evaluation; return how many stream entries were already there.

        Raises FencedError and CacheUnavailableError.
        """
        ...

    async def read_values(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the latest value of each key."""
        ...

    async def read_rows(self, key: str, rows: Sequence[str]) -> list[bytes | None]:
        """Return rows of a table."""
        ...

    async def read_table(self, key: str) -> dict[str, bytes]:
        """Return a whole table."""
        ...

    async def read_stream(self, key: str, after: tuple[int, int] = (0, 0), limit: int = 1000) -> list[Entry]:
        """Return entries after an id, oldest first."""
        ...

    async def list_keys(self, prefix: str) -> list[str]:
        """Return the keys of values and streams that begin with *prefix*, sorted."""
        ...

    def follow(
        self, prefixes: Sequence[str], *, max_waiting: int = 65_536
    ) -> AbstractAsyncContextManager[AsyncIterator[Update]]:
        """Follow pushed updates of every key that begins with one of *prefixes*, from the moment the context is entered.

        Iteration raises CacheUnavailableError when the connection is lost: read again, then follow again. More than
        *max_waiting* unread updates count as that too.
        """
        ...

    async def save_state(
        self,
        key: str,
        generation: int,
        fields: Mapping[str, bytes | None],
        *,
        mark: str = "",
        previous_mark: str = "",
    ) -> None:
        """Set the given fields of a state (None removes one) in one step; the others stay. Raises FencedError.

        With a *mark* the save can be built upon: a later one names it as its *previous_mark* and is refused with
        StateLostError where the state does not bear it any more, because new fields among older ones would be no state.
        A marked save without a previous one replaces the whole state.
        """
        ...

    async def load_state(self, key: str, generation: int) -> dict[str, bytes]:
        """Claim the state for *generation*, so that older writers are refused, and return all its fields."""
        ...

    async def read_states(self, keys: Sequence[str], fields: Sequence[str]) -> list[list[bytes | None]]:
        """Return the given fields of each state, without claiming any; None for what is not there."""
        ...

    async def read_state(self, key: str) -> dict[str, bytes]:
        """Return all fields of a state without claiming it."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove values, tables, streams or states."""
        ...

    async def expire(self, keys: Sequence[str], seconds: float | None) -> None:
        """Let what is there be removed *seconds* from now, or never (None): writing alone does not keep it."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
