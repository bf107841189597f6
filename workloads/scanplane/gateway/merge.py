"""One board out of the parts that a market's partitions wrote.

The cache holds the latest part of every partition and nothing older, so a merged board can mix two instants while
partitions catch up with each other. That is said instead of hidden: the merged tick is the oldest of the parts' ticks,
and ``complete`` is true only when every partition is there and stands at that same tick.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from scanplane.marketdata.partitions import Partition
from scanplane.marketdata.results import BoardPart, BoardRow, Value

__all__ = ["Board", "MergedRow", "PartitionNameError", "merge_parts", "parse_partition", "select_parts"]

_HANDOVER_NS = 5_000_000_000
"""How long a full set of parts is preferred to a newer set that lacks partitions (a market that is being rescaled)."""


class PartitionNameError(ValueError):
    """A text is no partition such as ``0-of-2``."""


class MergedRow(Struct, frozen=True, rename="camel"):
    """One symbol of a board: the value that it is ranked by, and its cells in the order of the board's columns."""

    symbol: str
    rank_value: float
    values: tuple[Value, ...]


class Board(Struct, frozen=True, kw_only=True, rename="camel"):
    """A whole board at a tick, best row first.

    ``matches`` counts all symbols that the scanner accepts, shown or not; ``partitions`` is how many the market has,
    ``partitions_present`` how many of them are in this board. Times are nanoseconds UTC, 0 where unknown. It is stale
    ``stale_after_ns`` after its evaluation, and at once where ``silence`` names a feed that every partition misses.
    """

    market: str
    scanner: str
    columns: tuple[str, ...]
    descending: bool
    limit: int
    tick_ns: int
    matches: int
    complete: bool
    partitions: int
    partitions_present: int
    rows: tuple[MergedRow, ...]
    received_ns: int = 0
    evaluated_ns: int = 0
    data_label: str = ""
    stale_after_ns: int = 0
    silence: str = ""


def parse_partition(text: str) -> Partition:
    """Read ``2-of-4``. Raises PartitionNameError."""
    index, separator, count = text.partition("-of-")
    if not (separator and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise PartitionNameError(f"{text!r} is no partition; one looks like 0-of-2")
    return Partition(int(index), int(count))


def _newest(parts: Mapping[int, BoardPart]) -> tuple[int, int]:
    return max((part.evaluated_ns, part.tick_ns) for part in parts.values())


def select_parts(groups: Mapping[int, Mapping[int, BoardPart]]) -> tuple[int, Mapping[int, BoardPart]]:
    """Return the partition count whose parts make the board now, and those parts by partition index.

    *groups* holds, for each partition count that was ever seen, the parts by index; at least one group with one part.
    The newest group counts; while its partitions are still starting, a full older one is kept for 5 s.
    """
    newest_ns = max(_newest(parts)[0] for parts in groups.values())

    def preference(count: int) -> tuple[bool, tuple[int, int]]:
        parts = groups[count]
        newest = _newest(parts)
        return len(parts) == count and newest_ns - newest[0] <= _HANDOVER_NS, newest

    chosen = max(groups, key=preference)
    return chosen, groups[chosen]


def _comparable(parts: Sequence[BoardPart]) -> list[BoardPart]:
    """Return the parts that ask the same question as the newest one: a changed Scanner reaches partitions one by one."""
    newest = max(parts, key=lambda part: (part.evaluated_ns, part.tick_ns))
    shape = (newest.columns, newest.descending, newest.limit)
    return [part for part in parts if (part.columns, part.descending, part.limit) == shape]


def _best_rows(parts: Sequence[BoardPart], *, descending: bool, limit: int) -> list[BoardRow]:
    rows = [row for part in parts for row in part.rows]
    if len(parts) > 1:
        rows.sort(key=lambda row: (-row.rank_value if descending else row.rank_value, row.symbol))
    return rows[:limit]


def merge_parts(parts: Sequence[BoardPart], partitions: int) -> Board:
    """Merge at least one part of a board, at most one of each of *partitions*: the best rows, ties by symbol ascending."""
    used = _comparable(parts)
    first = used[0]
    ticks = {part.tick_ns for part in used}
    rows = _best_rows(used, descending=first.descending, limit=first.limit)
    return Board(
        market=first.market,
        scanner=first.scanner,
        columns=first.columns,
        descending=first.descending,
        limit=first.limit,
        tick_ns=min(ticks),
        matches=sum(part.matches for part in used),
        complete=len(used) == partitions and len(ticks) == 1,
        partitions=partitions,
        partitions_present=len(used),
        rows=tuple([MergedRow(row.symbol, row.rank_value, row.values) for row in rows]),
        received_ns=max(part.received_ns for part in used),
        evaluated_ns=max(part.evaluated_ns for part in used),
        data_label=first.data_label,
        stale_after_ns=first.stale_after_ns,
        silence=first.silence if all(part.silence for part in used) else "",
    )
