"""What the cache says of a market's layouts: where its feeds went, and what is saved of which partition."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from scanplane.analyzer.consumption import POSITIONS_FIELD, STAGE_FIELD
from scanplane.analyzer.positions import decode_positions
from scanplane.analyzer.stages import SavedPartition, Stage, StageMark, current_stage, is_over
from scanplane.broker.interface import QueueLimits
from scanplane.cache import keys
from scanplane.cache.interface import Cache
from scanplane.marketdata.layouts import Path, Paths, decode_path
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import AnalyzerConfiguration

__all__ = ["Situation", "Survey", "saved_partition"]


class Situation(Struct, frozen=True, kw_only=True):
    """The market's layouts at one moment, and the stage that its analyzers are to work in."""

    stage: Stage
    paths: Paths
    saved: dict[Partition, SavedPartition]
    feeds: frozenset[str]

    @property
    def other_layouts(self) -> bool:
        """Whether a feed was ever in another layout than that of the stage."""
        return any(stay.partitions != self.stage.partitions for path in self.paths.values() for stay in path)

    def is_over(self, partition: Partition) -> bool:
        """Whether *partition* of the stage has everything that will come to it."""
        saved = self.saved.get(partition)
        return saved is not None and (
            saved.stage > self.stage.number
            or (saved.stage == self.stage.number and is_over(partition.count, saved.positions, self.paths, self.feeds))
        )

    def limits(self, partition: Partition, otherwise: QueueLimits) -> QueueLimits:
        """Return the limits of the queue that *partition* was consumed from; by the listeners' word where nobody has."""
        saved = self.saved.get(partition)
        if saved is not None and saved.limits is not None:
            return saved.limits
        stays = [stay for path in self.paths.values() for stay in path if stay.partitions == partition.count]
        newest = max(stays, key=lambda stay: stay.since, default=None)
        if newest is None:
            return otherwise
        return QueueLimits(time_to_live_ns=newest.time_to_live_ns, max_bytes=newest.max_bytes)


class Survey:
    """Reads the situation of one analyzer's market."""

    def __init__(self, configuration: AnalyzerConfiguration, cache: Cache) -> None:
        self._configuration = configuration
        self._cache = cache
        self._namespace = configuration.services.namespace
        self._feeds = frozenset(stream.feed for stream in configuration.streams)

    async def paths(self) -> Paths:
        """Return every feed's path. Raises CacheUnavailableError."""
        rows = await self._cache.read_table(keys.paths(self._namespace, self._configuration.market))
        return {feed: _decode_path(row) for feed, row in rows.items()}

    async def situation(self) -> Situation:
        """Return the situation of now; a market that never changed its number costs two small reads.

        Raises CacheUnavailableError.
        """
        target = self._configuration.partition.count
        paths = await self.paths()
        counts = {stay.partitions for path in paths.values() for stay in path} | {target}
        partitions = (
            [Partition(index, count) for count in sorted(counts) for index in range(count)]
            if len(counts) > 1
            else [self._configuration.partition]
        )
        saved = await self._saved(partitions)
        return Situation(
            stage=current_stage(saved, paths, self._feeds, target), paths=paths, saved=saved, feeds=self._feeds
        )

    async def _saved(self, partitions: Iterable[Partition]) -> dict[Partition, SavedPartition]:
        partitions = list(partitions)
        state_keys = [keys.state(self._namespace, self._configuration.market, each) for each in partitions]
        rows = await self._cache.read_states(state_keys, [STAGE_FIELD, POSITIONS_FIELD])
        found = {
            partition: saved_partition(mark, positions)
            for partition, (mark, positions) in zip(partitions, rows, strict=True)
        }
        return {partition: each for partition, each in found.items() if each is not None}


def saved_partition(mark: bytes | None, positions: bytes | None) -> SavedPartition | None:
    """Decode what a state says of itself; None for one that is not there or can't be read."""
    if positions is None:
        return None
    try:
        by_feed = decode_positions(positions)
        stage = None if mark is None else msgspec.msgpack.decode(mark, type=StageMark)
    except msgspec.DecodeError:
        return None
    if stage is None:
        return SavedPartition(stage=0, positions=by_feed)
    return SavedPartition(stage=stage.stage, positions=by_feed, is_settled=stage.is_settled, limits=stage.limits)


def _decode_path(row: bytes) -> Path:
    try:
        return decode_path(row)
    except msgspec.DecodeError:
        return ()
