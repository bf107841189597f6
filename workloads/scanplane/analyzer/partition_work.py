"""One partition in one stage, under its baton: take up what is there, work, and end with the stage.

A partition that is new in its stage is made of all states of the stage before, which are whole by then: the symbols that are its
own, with everything that is remembered of them. It is saved under its own key before it consumes anything.
"""

import asyncio
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from scanplane.analyzer.consumption import POSITIONS_FIELD, STAGE_FIELD, Consumption, Saving
from scanplane.analyzer.daily_reference import DailyReference
from scanplane.analyzer.passage import Passage
from scanplane.analyzer.positions import Position, Positions, decode_positions
from scanplane.analyzer.stages import StageMark, begin_positions, may_be_left
from scanplane.analyzer.survey import Situation, Survey, saved_partition
from scanplane.analyzer.writer import ResultWriter
from scanplane.broker.interface import BatonHold, QueueLimits
from scanplane.cache import keys
from scanplane.engine import Engine, ReferenceData, StateMismatchError, TradingCalendar
from scanplane.marketdata.partitions import Partition, partition_of
from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.roles.interface import RoleServices
from scanplane.roles.lifecycle import Lifecycle
from scanplane.telemetry.latency import LatencyHistogram
from scanplane.telemetry.traces import BatchTraces

__all__ = ["PartitionWork", "Surroundings"]

PREFETCH = 4000


class Surroundings(Struct, frozen=True, kw_only=True):
    """What every partition that an analyzer works in shares."""

    configuration: AnalyzerConfiguration
    services: RoleServices
    reference: ReferenceData
    daily: DailyReference
    calendar: TradingCalendar
    survey: Survey
    lifecycle: Lifecycle
    tick_to_board: LatencyHistogram
    traces: BatchTraces


class _Beginning(Struct):
    """What a partition begins with: its engine and positions, and whether that is to be saved before all else."""

    engine: Engine
    positions: Positions
    is_settled: bool = False
    is_new: bool = False


class PartitionWork:
    """Works in *partition* of the situation's stage."""

    def __init__(self, surroundings: Surroundings, situation: Situation, partition: Partition) -> None:
        self.partition = partition
        self.lost_states = 0
        self.engine: Engine | None = None
        self.consumption: Consumption | None = None
        self.positions: Positions | None = None
        self.writer: ResultWriter | None = None
        self._around = surroundings
        self._situation = situation
        configuration = surroundings.configuration
        self._configuration = msgspec.structs.replace(configuration, partition=partition)
        self._namespace, self._market = configuration.services.namespace, configuration.market
        self._state_key = keys.state(self._namespace, self._market, partition)
        self._stream_key = keys.signals(self._namespace, self._market, partition)

    async def run(self, hold: BatonHold, stop: asyncio.Event) -> None:
        """Work until *stop* or the end of the stage. Raises what serve_with_baton tries again after."""
        around, situation, configuration = self._around, self._situation, self._configuration
        stage, cache = situation.stage, around.services.cache
        fields = await cache.load_state(self._state_key, hold.generation)
        saved = saved_partition(fields.get(STAGE_FIELD), fields.get(POSITIONS_FIELD))
        if saved is not None and saved.stage > stage.number:
            return  # others know more: what is looked at was the stage before
        is_older = saved is not None and saved.stage < stage.number
        if is_older or (saved is None and stage.sources):
            begun = await self._inherit({} if saved is None else saved.positions)
        else:
            begun = self._restore(fields, is_settled=saved is not None and saved.is_settled)
        self.engine, self.positions = begun.engine, begun.positions
        target = around.configuration.partition.count
        passage = Passage(stage, self.partition.index, begun.positions, situation.feeds, target, around.survey.paths)
        passage.judge(situation.paths)
        is_left = may_be_left(stage, begun.positions.by_feed, situation.paths, target)
        own_limits = QueueLimits(time_to_live_ns=configuration.time_to_live_ns, max_bytes=configuration.max_bytes)
        limits = situation.limits(self.partition, own_limits) if is_left else own_limits
        mark = StageMark(stage.number, begun.is_settled, limits.time_to_live_ns, limits.max_bytes)
        self.writer = writer = ResultWriter(
            cache,
            self._namespace,
            self._market,
            self.partition,
            hold.generation,
            around.tick_to_board,
            around.traces,
        )
        await writer.recall(begun.engine.tick_ns)
        await self._forget_boards()
        if not begun.engine.tick_ns and not begun.is_new:
            await self._forget_quotes()
        # What is set aside is not acknowledged, and must not keep what follows from coming.
        prefetch = 0 if is_left else PREFETCH
        broker = around.services.broker
        async with broker.consumer(self._market, self.partition, limits, prefetch=prefetch) as consumer:
            self.consumption = Consumption(
                consumer,
                begun.engine,
                begun.positions,
                writer,
                cache,
                Saving(state_key=self._state_key, generation=hold.generation, stage=mark, at_once=begun.is_new),
                passage,
                around.daily,
                self._forget_signals,
                configuration,
                around.traces,
            )
            await self.consumption.run(stop, is_watched=is_left)

    async def _inherit(self, own: Mapping[str, Position]) -> _Beginning:
        """Take what belongs here out of every state of the stage before."""
        stage, cache = self._situation.stage, self._around.services.cache
        engine = Engine(self._configuration, self._around.reference, self._around.calendar)
        sources: list[Mapping[str, Position]] = []
        lost_before = self.lost_states
        for source in stage.sources:
            fields = await cache.read_state(keys.state(self._namespace, self._market, source))
            saved = saved_partition(fields.pop(STAGE_FIELD, None), fields.pop(POSITIONS_FIELD, None))
            if saved is None or saved.stage != stage.number - 1:
                self._report_lost_state(f"{self.partition} goes on without the state of {source}, which is gone")
                continue
            sources.append(saved.positions)
            try:
                if fields:
                    engine.restore(fields)
            except StateMismatchError as error:
                self._report_lost_state(f"{self.partition} goes on without the state of {source}: {error}")
        if not stage.sources:
            self._report_lost_state(f"{self.partition} begins without a state: those before it are gone")
        if self.lost_states > lost_before:
            engine.miss_beginning()
        engine.forget_snapshots()
        await cache.expire([self._stream_key], None)
        return _Beginning(engine, Positions(begin_positions(stage, sources, own, self._situation.paths)), is_new=True)

    def _restore(self, fields: dict[str, bytes], *, is_settled: bool) -> _Beginning:
        """Go on from the saved state; a state that cannot be read is reported, and the day begins anew from here."""
        fields.pop(STAGE_FIELD, None)
        saved = fields.pop(POSITIONS_FIELD, None)
        engine = Engine(self._configuration, self._around.reference, self._around.calendar)
        positions = Positions()
        try:
            positions = Positions({} if saved is None else decode_positions(saved))
            if fields:
                engine.restore(fields)
        except (StateMismatchError, msgspec.DecodeError) as error:
            self._report_lost_state(f"{self.partition} starts without its saved state: {error}")
        return _Beginning(engine, positions, is_settled=is_settled)

    def _report_lost_state(self, text: str) -> None:
        self.lost_states += 1
        lifecycle = self._around.lifecycle
        lifecycle.report_problem("state", f"{lifecycle.instance}: {text}")

    async def _forget_signals(self) -> None:
        """Remove the signals of a recording that began again, those of other numbers of partitions too."""
        cache = self._around.services.cache
        there = await cache.list_keys(keys.signals_prefix(self._namespace, self._market))
        others = [key for key in there if not key.endswith(f"-of-{self.partition.count}")]
        await cache.delete([self._stream_key, *others])

    async def _forget_quotes(self) -> None:
        """Remove the quotes that somebody left whose state is gone: nobody else would."""
        assert self.writer is not None, "made before"
        there = await self._around.services.cache.read_table(keys.quotes(self._namespace, self._market))
        index, count = self.partition.index, self.partition.count
        self.writer.forget_quotes(symbol for symbol in there if partition_of(symbol, count) == index)

    async def _forget_boards(self) -> None:
        """Remove this partition's boards of Scanners that are no more."""
        mine = {
            keys.board(self._namespace, self._market, scanner.name, self.partition)
            for scanner in self._configuration.scanners
            if scanner.board is not None
        }
        cache = self._around.services.cache
        there = await cache.list_keys(keys.boards_prefix(self._namespace, self._market))
        outdated = [key for key in there if key.endswith(f":{self.partition}") and key not in mine]
        if outdated:
            await cache.delete(outdated)
