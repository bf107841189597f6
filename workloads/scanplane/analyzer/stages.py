"""Which layout a market's analyzers are in, when they are done with it, and which comes next.

A *stage* is a layout as the analyzers live through it. Its states are numbered alike, one for each partition, and each is made of
all states of the stage before, once every feed that left that layout has sealed every partition of it. Everything here follows
from what the cache says (the feeds' paths, the positions in the states), so that all analyzers come to the same answer
whichever of them asks, before and after a crash. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from msgspec import Struct

from scanplane.analyzer.positions import Position
from scanplane.broker.interface import QueueLimits
from scanplane.marketdata.layouts import Path, Paths, Stay, next_stay, stay_at
from scanplane.marketdata.partitions import Partition

__all__ = [
    "SavedPartition",
    "Stage",
    "StageMark",
    "begin_positions",
    "current_stage",
    "feeds_awaited",
    "is_over",
    "may_be_left",
    "shares_of",
]

Marks = Mapping[str, Position]


class StageMark(Struct, frozen=True, array_like=True):
    """What a state says of its stage. ``is_settled``: it has evaluated and written in it. The limits are its queue's."""

    stage: int
    is_settled: bool
    time_to_live_ns: int
    max_bytes: int

    @property
    def limits(self) -> QueueLimits:
        """The limits of the queue that it consumes."""
        return QueueLimits(time_to_live_ns=self.time_to_live_ns, max_bytes=self.max_bytes)


class SavedPartition(Struct, frozen=True, kw_only=True):
    """What the cache says of one partition's state."""

    stage: int
    positions: Marks
    is_settled: bool = False
    limits: QueueLimits | None = None


class Stage(Struct, frozen=True, kw_only=True):
    """A layout to work in; *sources* are the partitions of the stage before, whose states it is made of."""

    number: int
    partitions: int
    sources: tuple[Partition, ...] = ()

    @property
    def members(self) -> list[Partition]:
        """Its partitions."""
        return [Partition(index, self.partitions) for index in range(self.partitions)]


def shares_of(stage: Stage, analyzer: Partition) -> list[Partition]:
    """Return the partitions of *stage* that *analyzer* is responsible for: of a stage like its own, just its own."""
    return [member for member in stage.members if member.index % analyzer.count == analyzer.index]


def feeds_awaited(partitions: int, marks: Marks, paths: Paths, feeds: AbstractSet[str]) -> Iterator[str]:
    """Yield the feeds whose seal is still to come before a layout of *partitions* is over, where *marks* are the positions.

    That is every feed in it but one that stays while others went and come back: it sees no change of the number at all.
    """
    comes_back = any(
        mark.sealed and any(stay.partitions == partitions for stay in _after(paths.get(feed, ()), mark.layout_since))
        for feed, mark in marks.items()
    )
    for feed in sorted(feeds):
        path = paths.get(feed, ())
        mark = marks.get(feed)
        if mark is not None and mark.sealed:
            continue
        stay = _stay_of(mark, path)
        if stay is None and mark is None:
            continue
        if stay is not None and stay.partitions != partitions:
            continue
        since = stay.since if mark is None and stay is not None else mark.layout_since if mark is not None else 0
        if comes_back and next_stay(path, since, partitions) is None:
            continue
        yield feed


def is_over(partitions: int, marks: Marks, paths: Paths, feeds: AbstractSet[str]) -> bool:
    """Say whether a partition of such a layout has everything that will come to it before its feeds go elsewhere."""
    has_left = any(
        mark.sealed and next_stay(paths.get(feed, ()), mark.layout_since, partitions) for feed, mark in marks.items()
    )
    has_ended = any(mark.sealed for feed, mark in marks.items() if feed not in feeds)
    return (has_left or has_ended) and not any(feeds_awaited(partitions, marks, paths, feeds))


def may_be_left(stage: Stage, marks: Marks, paths: Paths, target: int) -> bool:
    """Say whether *stage* is one to be left, as far as is known: a feed went on, or the number is to be another."""
    return stage.partitions != target or any(
        next_stay(paths.get(feed, ()), mark.layout_since, stage.partitions) for feed, mark in marks.items()
    )


def current_stage(
    saved: Mapping[Partition, SavedPartition], paths: Paths, feeds: AbstractSet[str], target: int
) -> Stage:
    """Return the stage to work in: the newest that was begun, or the next where that is over in every partition."""
    if not saved:
        firsts = [path[0] for feed, path in paths.items() if path and feed in feeds]
        return Stage(number=0, partitions=_earliest(firsts, target))
    number = max(each.stage for each in saved.values())
    begun = {partition: each for partition, each in saved.items() if each.stage == number}
    partitions = max(begun, key=lambda each: (_newest(begun[each].positions), each.count != target)).count
    members = [Partition(index, partitions) for index in range(partitions)]
    if all(member in begun and is_over(partitions, begun[member].positions, paths, feeds) for member in members):
        following = _following([begun[member].positions for member in members], paths, feeds, target)
        if following != partitions:
            return Stage(number=number + 1, partitions=following, sources=tuple(members))
    sources = sorted(partition for partition, each in saved.items() if each.stage == number - 1)
    return Stage(number=number, partitions=partitions, sources=tuple(sources))


def begin_positions(stage: Stage, sources: Iterable[Marks], own: Marks, paths: Paths) -> dict[str, Position]:
    """Return the positions that a partition of *stage* begins with, from those of the *sources*.

    *own* are its positions in an earlier stage of the same layout: a feed that stayed goes on by them.
    """
    positions: dict[str, Position] = {}
    for feed, (since, sealed) in _merged(sources).items():
        following = next_stay(paths.get(feed, ()), since) if sealed else None
        if sealed and following is None:
            continue  # it is gone; should it come back, it comes as a new one
        mine = own.get(feed)
        if following is not None and following.partitions == stage.partitions:
            positions[feed] = Position(0, -1, following.since, following.since)
        elif mine is not None and not sealed and not mine.sealed and mine.layout_since == since:
            positions[feed] = mine
        else:
            positions[feed] = Position(0, -1, 0, since, sealed)
    return positions


def _after(path: Path, since: int) -> Iterator[Stay]:
    return (stay for stay in path if stay.since > since)


def _stay_of(mark: Position | None, path: Path) -> Stay | None:
    """Return the stay that a feed is in here; one that was not heard of yet is in its first."""
    if mark is None:
        return path[0] if path else None
    return stay_at(path, mark.layout_since)


def _following(marks: list[Marks], paths: Paths, feeds: AbstractSet[str], target: int) -> int:
    merged = _merged(marks)
    left = [
        stay for feed, (since, sealed) in merged.items() if sealed and (stay := next_stay(paths.get(feed, ()), since))
    ]
    unheard = [path[0] for feed, path in paths.items() if path and feed in feeds and feed not in merged]
    return _earliest(left or unheard, target)


def _earliest(stays: list[Stay], otherwise: int) -> int:
    return min(stays, key=lambda stay: stay.since).partitions if stays else otherwise


def _merged(sources: Iterable[Marks]) -> dict[str, tuple[int, bool]]:
    """Return how far each feed is in all of the partitions together: sealed only where it is sealed in all that know it."""
    merged: dict[str, tuple[int, bool]] = {}
    for marks in sources:
        for feed, mark in marks.items():
            since, sealed = merged.get(feed, (mark.layout_since, True))
            merged[feed] = (max(since, mark.layout_since), sealed and mark.sealed)
    return merged


def _newest(marks: Marks) -> int:
    return max((mark.layout_since for mark in marks.values()), default=-1)
