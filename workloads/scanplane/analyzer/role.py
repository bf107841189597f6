"""The analyzer as a role: one partition of a market, consumed under a baton."""

import asyncio

import msgspec

from scanplane.analyzer.consumption import POSITIONS_FIELD, Consumption
from scanplane.analyzer.positions import Positions
from scanplane.analyzer.writer import ResultWriter
from scanplane.broker.interface import BatonHold, QueueLimits
from scanplane.cache import keys
from scanplane.engine import Engine, ReferenceData, StateMismatchError, TradingCalendar
from scanplane.plan.configuration import AnalyzerConfiguration, configuration_hash
from scanplane.reference import ReferenceDataError, UnknownCalendarError, load_calendar, load_reference
from scanplane.roles.batons import serve_with_baton
from scanplane.roles.interface import RoleInputError, RoleServices
from scanplane.roles.lifecycle import Lifecycle, LifecycleRole
from scanplane.telemetry.setup import Telemetry
from scanplane.telemetry.status import Phase, RoleStatus

__all__ = ["Analyzer"]

PREFETCH = 4000


class Analyzer(LifecycleRole):
    """One analyzer, made from one configuration; see :class:`scanplane.roles.interface.Role`."""

    def __init__(self, configuration: AnalyzerConfiguration, services: RoleServices, telemetry: Telemetry) -> None:
        super().__init__(
            Lifecycle(role="analyzer", instance=configuration.name, configuration=configuration_hash(configuration))
        )
        self._configuration = configuration
        self._services = services
        self._telemetry = telemetry
        self._latency = telemetry.latency(
            "tick_to_board",
            "From the receipt of the newest event behind a board to the board in the cache.",
            role="analyzer",
            instance=configuration.name,
        )
        self._engine: Engine | None = None
        self._consumption: Consumption | None = None
        self._positions: Positions | None = None
        self._writer: ResultWriter | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Live until *stop* is set; see the restart contract."""
        try:
            calendar, reference = await self._prepare()

            async def work(hold: BatonHold) -> None:
                await self._work(hold, stop, reference, calendar)

            await serve_with_baton(self._services.broker, self.name, work, stop, self._lifecycle)
        finally:
            self._lifecycle.end()
            self._telemetry.forget_latency(self._latency)

    async def _prepare(self) -> tuple[TradingCalendar, ReferenceData]:
        """Load what must be there before the first event. Raises RoleInputError."""
        configuration, services = self._configuration, self._services
        try:
            calendar = await asyncio.to_thread(load_calendar, configuration.hours)
            reference = await load_reference(configuration.reference, services.secrets.read, services.files)
        except (UnknownCalendarError, ReferenceDataError) as error:
            raise RoleInputError(str(error)) from error
        return calendar, reference

    async def _work(
        self, hold: BatonHold, stop: asyncio.Event, reference: ReferenceData, calendar: TradingCalendar
    ) -> None:
        configuration, cache = self._configuration, self._services.cache
        namespace, market, partition = configuration.services.namespace, configuration.market, configuration.partition
        state_key = keys.state(namespace, market, partition)
        fields = await cache.load_state(state_key, hold.generation)
        self._engine = engine = Engine(configuration, reference, calendar)
        self._positions = positions = self._restore(engine, fields)
        self._writer = writer = ResultWriter(
            cache, namespace, market, partition, hold.generation, self._latency, self._telemetry.traces
        )
        await self._forget_boards()
        async with self._services.broker.consumer(market, partition, self._limits(), prefetch=PREFETCH) as consumer:
            self._consumption = Consumption(
                consumer,
                engine,
                positions,
                writer,
                cache,
                state_key,
                keys.signals(namespace, market, partition),
                hold.generation,
                configuration.data_label,
                self._telemetry.traces,
            )
            await self._consumption.run(stop)

    def _restore(self, engine: Engine, fields: dict[str, bytes]) -> Positions:
        """Go on from the saved state; a state that cannot be read is reported, and the day begins anew from here."""
        saved = fields.pop(POSITIONS_FIELD, None)
        positions = Positions()
        try:
            positions = Positions(saved)
            if fields:
                engine.restore(fields)
        except (StateMismatchError, msgspec.DecodeError) as error:
            self._lifecycle.report_problem("state", f"{self.name} starts without its saved state: {error}")
        return positions

    async def _forget_boards(self) -> None:
        """Remove the boards of Scanners that are no more, and those of another number of partitions."""
        configuration = self._configuration
        namespace, market = configuration.services.namespace, configuration.market
        mine = {
            keys.board(namespace, market, scanner.name, configuration.partition)
            for scanner in configuration.scanners
            if scanner.board is not None
        }
        suffix = f":{configuration.partition}"
        count = f"-of-{configuration.partition.count}"
        there = await self._services.cache.list_keys(keys.boards_prefix(namespace, market))
        outdated = [key for key in there if (key.endswith(suffix) and key not in mine) or not key.endswith(count)]
        if outdated:
            await self._services.cache.delete(outdated)

    def _report_cache(self, problem: str) -> None:
        if problem and self._lifecycle.phase is Phase.ACTIVE:
            self._lifecycle.report_problem("cache", problem)
        else:
            self._lifecycle.clear_problem("cache")

    def _limits(self) -> QueueLimits:
        return QueueLimits(time_to_live_ns=self._configuration.time_to_live_ns, max_bytes=self._configuration.max_bytes)

    def status(self) -> RoleStatus:
        """The figures of this moment."""
        figures: dict[str, float] = {**self._latency.figures()}
        scanners: dict[str, dict[str, float]] = {}
        if self._consumption is not None and self._positions is not None and self._writer is not None:
            consumed, seen, written = self._consumption.counts, self._positions.counts, self._writer.counts
            figures |= {
                "batches_total": consumed.batches,
                "events_total": consumed.events,
                "evaluations_total": consumed.ticks,
                "malformed_batches_total": consumed.malformed_batches,
                "state_saves_total": consumed.saves,
                "lost_states_total": consumed.lost_states,
                "repeated_batches_total": seen.repeated_batches,
                "outdated_batches_total": seen.outdated_batches,
                "missing_batches_total": seen.missing_batches,
                "boards_written_total": written.boards,
                "boards_conflated_total": written.boards_conflated,
                "signals_total": written.signals,
                "signals_repeated_total": written.signals_repeated,
                "cache_failures_total": written.failures,
                "tick_unix_seconds": self._consumption.tick_ns / 1e9,
            }
            self._report_cache(self._writer.problem)
        if self._engine is not None:
            figures |= self._engine.figures()
            scanners = self._engine.scanner_figures()
        return self._lifecycle.status(figures, scanners)
