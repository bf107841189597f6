"""Removing what a layout left behind, once the next one works by itself.

Nothing is removed before every partition of the new layout has evaluated, written and saved: until then the old states are what a
crash begins again from, and the old boards are what people see.
"""

import time

import msgspec

from scanplane.analyzer.survey import Survey
from scanplane.cache import keys
from scanplane.cache.interface import Cache
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.telemetry.status import Phase, RoleStatus

__all__ = ["KEPT_SIGNALS_S", "Tidying"]

KEPT_SIGNALS_S = 24 * 3600.0
"""How long the signals of an old layout can still be read."""
_SILENT_NS = 30_000_000_000


class Tidying:
    """Removes what other layouts than that of *configuration* left; done by its first partition."""

    def __init__(self, configuration: AnalyzerConfiguration, cache: Cache, survey: Survey) -> None:
        self._configuration = configuration
        self._namespace = configuration.services.namespace
        self._market = configuration.market
        self._cache = cache
        self._survey = survey

    async def run_once(self) -> bool:
        """Remove what can go now; return whether nothing is left to remove. Raises CacheUnavailableError."""
        situation = await self._survey.situation()
        count = self._configuration.partition.count
        counts = {stay.partitions for path in situation.paths.values() for stay in path} - {count}
        if not counts:
            return True
        stage, saved = situation.stage, situation.saved
        settled = stage.partitions == count and all(
            member in saved and saved[member].stage == stage.number and saved[member].is_settled
            for member in stage.members
        )
        paths = [path for feed, path in situation.paths.items() if path and feed in situation.feeds]
        if not settled or any(path[-1].partitions != count for path in paths):
            return False
        await self._remove_states([partition for partition in saved if partition.count != count])
        boards = await self._cache.list_keys(keys.boards_prefix(self._namespace, self._market))
        await self._cache.delete([key for key in boards if not key.endswith(f"-of-{count}")])
        return await self._remove_statuses(range(count, max(counts)))

    async def _remove_states(self, partitions: list[Partition]) -> None:
        if not partitions:
            return
        await self._cache.expire(
            [keys.signals(self._namespace, self._market, each) for each in partitions], KEPT_SIGNALS_S
        )
        await self._cache.delete([keys.state(self._namespace, self._market, each) for each in partitions])

    async def _remove_statuses(self, indexes: range) -> bool:
        """Remove the figures of analyzers that are no more; return whether all of them have ended."""
        names = [f"analyzer-{self._market}-{index}" for index in indexes]
        values = await self._cache.read_values([keys.status(self._namespace, name) for name in names])
        statuses = {name: _decode(value) for name, value in zip(names, values, strict=True) if value is not None}
        oldest_ns = time.time_ns() - _SILENT_NS
        ended = [
            name
            for name, status in statuses.items()
            if status is None or status.phase is Phase.STOPPED or status.updated_ns < oldest_ns
        ]
        await self._cache.delete([keys.status(self._namespace, name) for name in ended])
        await self._cache.delete([keys.status_fence(self._namespace, name) for name in ended])
        return len(ended) == len(statuses)


def _decode(value: bytes) -> RoleStatus | None:
    try:
        return msgspec.json.decode(value, type=RoleStatus)
    except msgspec.DecodeError:
        return None
