"""From the cache into the view: read everything, then follow, and begin again whenever the connection is lost.

Following starts before reading, so nothing falls between the two; what was read and then also comes as a push is
recognised by the view. While the cache is away clients stay connected, keep what they have, and are told that it is stale.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from scanplane.cache import keys
from scanplane.cache.interface import Cache, CacheUnavailableError, Update
from scanplane.gateway.merge import PartitionNameError, parse_partition
from scanplane.gateway.view import EntryId, ScannerKey, View
from scanplane.marketdata.results import BoardPart, Signal
from scanplane.roles.backoff import Backoff
from scanplane.telemetry.status import RoleStatus

__all__ = ["CacheFollower", "FollowerCounts", "ViewListener"]

_LOG = logging.getLogger(__name__)
_CHECK_SECONDS = 3.0
_PAGE = 1000
_VALUES_AT_ONCE = 256
_UPDATES_AT_ONCE = 256

_PARTS = msgspec.json.Decoder(BoardPart)
_SIGNALS = msgspec.json.Decoder(Signal)
_STATUSES = msgspec.json.Decoder(RoleStatus)


class FollowerCounts(Struct, kw_only=True):
    """Totals of what came from the cache."""

    updates: int = 0
    malformed: int = 0
    losses: int = 0


class ViewListener(Protocol):
    """Who is told what changed in the view."""

    def board_changed(self, key: ScannerKey, pushed: BoardPart | None = None) -> None:
        """A part of a board is new: *pushed* has just been written, None was read and may be old, or is gone."""
        ...

    def board_removed(self, key: ScannerKey) -> None:
        """A board is gone."""
        ...

    def signal_added(self, signal: Signal) -> None:
        """A signal came."""
        ...

    def signals_read(self, key: ScannerKey) -> None:
        """The history of a scanner's signals was read for the first time."""
        ...

    def status_changed(self, name: str) -> None:
        """A status is new."""
        ...

    def status_removed(self, name: str) -> None:
        """A status is gone."""
        ...


class CacheFollower:
    """Keeps *view* equal to the cache and tells *listener*; *connection_changed* is called with "" or the one-line problem."""

    def __init__(
        self,
        cache: Cache,
        namespace: str,
        view: View,
        listener: ViewListener,
        connection_changed: Callable[[str], None],
    ) -> None:
        self.counts = FollowerCounts()
        self._cache = cache
        self._namespace = namespace
        self._view = view
        self._listener = listener
        self._connection_changed = connection_changed
        self._boards_prefix = keys.boards_prefix(namespace)
        self._signals_prefix = keys.signals_prefix(namespace)
        self._status_prefix = keys.status_prefix(namespace)
        self._malformed_keys: set[str] = set()
        self._has_loaded = False

    async def run(self) -> None:
        """Follow until cancelled."""
        pauses = Backoff()
        prefixes = (self._boards_prefix, self._signals_prefix, self._status_prefix)
        while True:
            try:
                async with self._cache.follow(prefixes) as updates:
                    await self._load()
                    self._has_loaded = True
                    pauses.reset()
                    self._connection_changed("")
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._watch_removals())
                        group.create_task(self._apply_all(updates))
            except* CacheUnavailableError as errors:
                self._lose(errors)
            await asyncio.sleep(pauses.next_seconds())

    def _lose(self, errors: ExceptionGroup[CacheUnavailableError]) -> None:
        self.counts.losses += 1
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        self._connection_changed(f"the cache is lost: {first}")

    async def _apply_all(self, updates: AsyncIterator[Update]) -> None:
        async for update in updates:
            self.counts.updates += 1
            self._apply(update)
            if self.counts.updates % _UPDATES_AT_ONCE == 0:
                # an iterator that always has something never gives way to the clients by itself
                await asyncio.sleep(0)

    def _apply(self, update: Update) -> None:
        if update.key.startswith(self._boards_prefix):
            self._take_part(update.key, update.value, pushed=True)
        elif update.key.startswith(self._signals_prefix):
            if update.entry_id is not None:
                self._take_signal(update.key, update.entry_id, update.value)
        else:
            self._take_status(update.key, update.value)

    async def _load(self) -> None:
        """Read boards, signals and statuses, and forget what is not there any more."""
        for prefix, take in ((self._boards_prefix, self._read_part), (self._status_prefix, self._take_status)):
            found = await self._cache.list_keys(prefix)
            for start in range(0, len(found), _VALUES_AT_ONCE):
                some = found[start : start + _VALUES_AT_ONCE]
                for key, value in zip(some, await self._cache.read_values(some), strict=True):
                    if value is not None:
                        take(key, value)
        for stream in await self._cache.list_keys(self._signals_prefix):
            await self._load_stream(stream)
        if not self._has_loaded:
            for scanner in self._view.signal_keys():
                self._listener.signals_read(scanner)
        await self._forget_removed()

    async def _load_stream(self, stream: str) -> None:
        position = self._view.position(stream)
        while entries := await self._cache.read_stream(stream, position, _PAGE):
            for entry in entries:
                self._take_signal(stream, entry.entry_id, entry.value)
            if len(entries) < _PAGE:
                return
            position = entries[-1].entry_id  # not the view's: it knows nothing of what can't be read

    async def _watch_removals(self) -> None:
        """Removals are not pushed: look for them now and then."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await self._forget_removed()

    async def _forget_removed(self) -> None:
        parts, names, streams = self._view.parts(), list(self._view.statuses), self._view.streams()
        there = set(await self._cache.list_keys(self._boards_prefix))
        for part in parts:
            if self._part_key(part) not in there:
                key = (part.market, part.scanner)
                is_gone = self._view.drop_part(part)
                (self._listener.board_removed if is_gone else self._listener.board_changed)(key)
        there = set(await self._cache.list_keys(self._status_prefix))
        for name in names:
            if self._status_prefix + name not in there and self._view.statuses.pop(name, None) is not None:
                self._listener.status_removed(name)
        positions = {stream: self._view.position(stream) for stream in streams}
        there = set(await self._cache.list_keys(self._signals_prefix))
        for stream, position in positions.items():
            if stream not in there and self._view.position(stream) == position:
                self._view.forget_stream(stream)

    def _part_key(self, part: BoardPart) -> str:
        return keys.board(self._namespace, part.market, part.scanner, parse_partition(part.partition))

    def _read_part(self, key: str, value: bytes) -> None:
        self._take_part(key, value, pushed=False)

    def _take_part(self, key: str, value: bytes, *, pushed: bool) -> None:
        try:
            part = _PARTS.decode(value)
            changed = self._view.put_part(part, pushed=pushed)
        except (msgspec.DecodeError, PartitionNameError) as error:
            self._report_malformed(key, error)
            return
        if changed:
            self._listener.board_changed((part.market, part.scanner), part if pushed else None)

    def _take_signal(self, stream: str, entry_id: EntryId, value: bytes) -> None:
        try:
            signal = _SIGNALS.decode(value)
        except msgspec.DecodeError as error:
            self._report_malformed(stream, error)
            return
        if self._view.put_signal(stream, entry_id, signal) and self._has_loaded:
            self._listener.signal_added(signal)

    def _take_status(self, key: str, value: bytes) -> None:
        try:
            status = _STATUSES.decode(value)
        except msgspec.DecodeError as error:
            self._report_malformed(key, error)
            return
        name = key.removeprefix(self._status_prefix)
        if self._view.statuses.get(name) != status:
            self._view.statuses[name] = status
            self._listener.status_changed(name)

    def _report_malformed(self, key: str, error: Exception) -> None:
        """Count every value that can't be read, and log each key's first."""
        self.counts.malformed += 1
        if key not in self._malformed_keys and len(self._malformed_keys) < _PAGE:
            self._malformed_keys.add(key)
            _LOG.warning("%s can't be read: %s", key, error, extra={"key": key})
