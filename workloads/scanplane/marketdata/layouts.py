"""Which numbers of partitions a feed's batches to one market went through: its path.

A *layout* is a number of partitions, and a *stay* is the time that one feed spent in one. When the number changes, the feed's
listener ends its stay in every partition's stream with a *seal*, a batch of its own that says that nothing of this feed
follows here, and goes on in the queues of the next. The path is written to the cache before the first seal is sent, so
that whoever is killed in between is followed by one who knows what was begun. Pure.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

__all__ = [
    "MAX_STAYS",
    "Path",
    "Paths",
    "Seal",
    "Stay",
    "decode_path",
    "encode_path",
    "next_stay",
    "stay_at",
    "with_seal",
    "with_stay",
]

MAX_STAYS = 32
"""A path remembers so many; what the oldest left behind is beyond every time to live by then."""


class Seal(Struct, frozen=True, array_like=True):
    """The number that the seal has in each partition's stream, to know what is missing should the seal itself be lost."""

    numbered_since: int
    sequences: tuple[int, ...]


class Stay(Struct, frozen=True, kw_only=True):
    """A feed in a layout, since the listener's epoch ``since``. The limits are those of the partition queues."""

    partitions: int
    since: int
    time_to_live_ns: int
    max_bytes: int
    seal: Seal | None = None


Path = tuple[Stay, ...]
"""Every stay of one feed in one market, oldest first; the last one has no seal and is where its batches go now."""

_DECODER = msgspec.json.Decoder(Path)


def encode_path(path: Path) -> bytes:
    """Encode for the cache."""
    return msgspec.json.encode(path)


def decode_path(document: bytes) -> Path:
    """Decode what :func:`encode_path` wrote. Raises msgspec.DecodeError."""
    path: Path = _DECODER.decode(document)
    return path


def with_stay(path: Path, stay: Stay) -> Path:
    """Return *path* with *stay* as its last; as it was if its last stay has the same layout, but for the limits of now."""
    if path and path[-1].partitions == stay.partitions:
        return (*path[:-1], msgspec.structs.replace(stay, since=path[-1].since))
    return (*path, stay)[-MAX_STAYS:]


def with_seal(path: Path, since: int, seal: Seal) -> Path:
    """Return *path* with the stay that began at *since* sealed."""
    return tuple(msgspec.structs.replace(stay, seal=seal) if stay.since == since else stay for stay in path)


def stay_at(path: Sequence[Stay], since: int) -> Stay | None:
    """Return the stay that began at *since*; None for one that the path does not know (any more)."""
    return next((stay for stay in path if stay.since == since), None)


def next_stay(path: Sequence[Stay], since: int, partitions: int = 0) -> Stay | None:
    """Return the first stay after *since* that is not in a layout of *partitions*."""
    return next((stay for stay in path if stay.since > since and stay.partitions != partitions), None)


Paths = Mapping[str, Path]
"""Every feed's path, by feed."""
