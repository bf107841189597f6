"""Pages of signals out of the cache's streams, in the order of their ticks, nothing missed and nothing twice."""

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from scanplane.cache import keys
from scanplane.cache.interface import Cache, Entry
from scanplane.gateway.cursors import LAST_ORDINAL
from scanplane.marketdata.results import Signal

__all__ = ["SignalPage", "read_signal_page"]

_PAGE = 1000
_MAX_ROUNDS = 20
_RESET_MS = 60_000
_DECODER = msgspec.json.Decoder(Signal)

Position = tuple[int, int]


class SignalPage(Struct, frozen=True):
    """Signals, and where to go on: positions by stream name (``us-stocks:0-of-1``)."""

    signals: tuple[Signal, ...]
    positions: dict[str, Position]
    more: bool


async def read_signal_page(
    cache: Cache,
    namespace: str,
    since: Mapping[str, Position] | int,
    wanted: Callable[[Signal], bool],
    *,
    limit: int,
    newest_position: Callable[[str], Position],
) -> SignalPage:
    """Read up to *limit* signals that are *wanted*, after a cursor or a time in nanoseconds.

    Each round reads a bounded piece of every stream; after 20 rounds the page ends, so that a rare signal in long streams
    costs several requests instead of one endless one. *newest_position* tells how far a stream goes as the gateway knows it: a
    cursor far beyond it is from a recording that was started again, and begins anew. Raises CacheUnavailableError.
    """
    prefix = keys.signals_prefix(namespace)
    streams = await cache.list_keys(prefix)
    positions = dict(since) if isinstance(since, Mapping) else {}
    for stream in streams:
        name = stream.removeprefix(prefix)
        if isinstance(since, int):
            positions[name] = max((since // 1_000_000 - 1, LAST_ORDINAL), (0, 0))
        elif positions.get(name, (0, 0))[0] > newest_position(stream)[0] + _RESET_MS:
            positions[name] = (0, 0)
    start_ns = since if isinstance(since, int) else 0
    found: list[Signal] = []
    for _ in range(_MAX_ROUNDS):
        merged, has_more = await _read_round(cache, prefix, streams, positions)
        for entry, name in merged:
            if len(found) == limit:
                return SignalPage(tuple(found), positions, more=True)
            positions[name] = entry.entry_id
            signal = _decoded(entry)
            if signal is not None and signal.tick_ns >= start_ns and wanted(signal):
                found.append(signal)
        if not has_more:
            return SignalPage(tuple(found), positions, more=False)
    return SignalPage(tuple(found), positions, more=True)


async def _read_round(
    cache: Cache, prefix: str, streams: list[str], positions: dict[str, Position]
) -> tuple[list[tuple[Entry, str]], bool]:
    """Return the next entries of all streams by id, as far as their order is sure, and whether there are more."""
    merged: list[tuple[Entry, str]] = []
    horizon: Position | None = None
    for stream in streams:
        name = stream.removeprefix(prefix)
        entries = await cache.read_stream(stream, positions.get(name, (0, 0)), _PAGE)
        merged += [(entry, name) for entry in entries]
        if len(entries) == _PAGE:
            last = entries[-1].entry_id
            horizon = last if horizon is None else min(horizon, last)
    merged.sort(key=lambda pair: (pair[0].entry_id, pair[1]))
    if horizon is None:
        return merged, False
    return [pair for pair in merged if pair[0].entry_id <= horizon], True


def _decoded(entry: Entry) -> Signal | None:
    """Return the signal; None for one that can't be read, which the follower has counted and logged."""
    try:
        return _DECODER.decode(entry.value)
    except msgspec.DecodeError:
        return None
