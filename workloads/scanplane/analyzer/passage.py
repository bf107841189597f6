"""Whether a batch belongs to the stage that its partition is in, and when that stage is over.

Nearly every batch belongs to the stay that its feed is in, and is let in by one comparison. Anything else (a feed that is new
here, one that went elsewhere and came back) is rare enough to ask the cache where the feed went.
"""

import enum
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet

from scanplane.analyzer.positions import Positions, Relation
from scanplane.analyzer.stages import Stage, feeds_awaited, is_over
from scanplane.marketdata.batches import BatchHeader
from scanplane.marketdata.layouts import Path, Paths, next_stay, stay_at

__all__ = ["Admission", "Passage"]

ReadPaths = Callable[[], Awaitable[Paths]]


class Admission(enum.Enum):
    """What to do with a batch: let it in, pass over what is known, or leave it for a later stage."""

    LET_IN = "let in"
    KNOWN = "known"
    SET_ASIDE = "set aside"


class Passage:
    """The way of one partition through one stage. ``over`` says that it is done."""

    def __init__(
        self,
        stage: Stage,
        index: int,
        positions: Positions,
        feeds: AbstractSet[str],
        target: int,
        read_paths: ReadPaths,
    ) -> None:
        self.over = False
        self._stage = stage
        self._index = index
        self._positions = positions
        self._feeds = feeds
        self._target = target
        self._read_paths = read_paths
        self._set_aside: set[tuple[str, int]] = set()

    async def admit(self, header: BatchHeader) -> Admission:
        """Say what to do with a batch. Raises CacheUnavailableError."""
        match self._positions.relate(header):
            case Relation.HERE:
                return Admission.LET_IN
            case Relation.PAST:
                self._positions.pass_over(header)
                return Admission.KNOWN
            case Relation.UNKNOWN:
                return await self._admit_unknown(header)
            case Relation.AHEAD:
                return await self._admit_ahead(header)

    async def _admit_unknown(self, header: BatchHeader) -> Admission:
        earlier = self._elsewhere(await self._read_paths(), header, since=0)
        if earlier and self._stage.number == 0:
            # Analyzers began before the feed's listener, which then began in another layout: that comes first.
            self._positions.join(header.feed, 0)
            self._positions.end(header.feed)
            await self.look()
            return self._leave_aside(header)
        self._positions.meet(header)
        return Admission.LET_IN

    async def _admit_ahead(self, header: BatchHeader) -> Admission:
        if (header.feed, header.layout_since) in self._set_aside:
            return Admission.SET_ASIDE
        known = self._positions.by_feed[header.feed]
        paths = await self._read_paths()
        if not self._elsewhere(paths, header, since=known.layout_since):
            self._positions.join(header.feed, header.layout_since)
            return Admission.LET_IN
        if not known.sealed:
            self._lose_seal(paths, header.feed)
            await self.look()
        return self._leave_aside(header)

    def _leave_aside(self, header: BatchHeader) -> Admission:
        self._set_aside.add((header.feed, header.layout_since))
        return Admission.SET_ASIDE

    def _elsewhere(self, paths: Paths, header: BatchHeader, *, since: int) -> bool:
        """Whether the feed was in another layout after *since* and before this batch."""
        return any(
            since < stay.since < header.layout_since and stay.partitions != self._stage.partitions
            for stay in paths.get(header.feed, ())
        )

    async def look(self) -> None:
        """See whether the stage is over by what is known now. Raises CacheUnavailableError."""
        self.judge(await self._read_paths())

    async def give_up_seals(self) -> None:
        """See whether it is over where nothing waits at the broker: a seal that was sent and is not here will not come.

        Raises CacheUnavailableError.
        """
        paths = await self._read_paths()
        marks = self._positions.by_feed
        for feed in list(feeds_awaited(self._stage.partitions, marks, paths, self._feeds)):
            mark = marks.get(feed)
            path = paths.get(feed, ())
            since = path[0].since if mark is None else mark.layout_since  # one that is not heard of has a path
            stay = stay_at(path, since)
            if (stay is not None and stay.seal is not None) or (stay is None and self._is_elsewhere(path, since)):
                if mark is None:
                    self._positions.join(feed, since)
                self._lose_seal(paths, feed)
        if self._stage.partitions != self._target:
            for feed in [feed for feed, mark in marks.items() if feed not in self._feeds and not mark.sealed]:
                self._positions.end(feed)  # nobody subscribes to it any more
        self.judge(paths)

    def _is_elsewhere(self, path: Path, since: int) -> bool:
        """Whether a feed whose path was lost, and begun anew, has gone from here meanwhile."""
        return next_stay(path, since, self._stage.partitions) is not None

    def _lose_seal(self, paths: Paths, feed: str) -> None:
        stay = stay_at(paths.get(feed, ()), self._positions.by_feed[feed].layout_since)
        self._positions.lose_seal(feed, None if stay is None else stay.seal, self._index)

    def judge(self, paths: Paths) -> None:
        """See whether the stage is over by *paths*."""
        self.over = is_over(self._stage.partitions, self._positions.by_feed, paths, self._feeds)
