"""Which partition of a market a symbol belongs to: stable across processes, versions and machines."""

import zlib

from msgspec import Struct

__all__ = ["Partition", "partition_of"]


class Partition(Struct, frozen=True, order=True):
    """One of *count* equal shares of a market's symbols; written ``2-of-4``."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"


def partition_of(symbol: str, count: int) -> int:
    """Return the partition index of *symbol* among *count* partitions, from 0.

    CRC-32 of the UTF-8 name: cheap, spread evenly, and the same everywhere (``hash`` is salted per process).
    """
    return zlib.crc32(symbol.encode()) % count
