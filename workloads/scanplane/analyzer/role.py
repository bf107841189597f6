"""The analyzer as a role: its share of a market, consumed under batons.

Nearly always that is one partition for good. While the market's number of partitions changes, it also empties those partitions of
the layout before that fall to it, and waits until the others have done the same: see ``docs/design/0007-repartition.md``.
"""

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Mapping, Sequence

from scanplane.analyzer.daily_reference import DailyReference, date_of
from scanplane.analyzer.figures import figures_of, totals_of
from scanplane.analyzer.partition_work import PartitionWork, Surroundings
from scanplane.analyzer.stages import feeds_awaited, shares_of
from scanplane.analyzer.survey import Situation, Survey
from scanplane.analyzer.tidying import Tidying
from scanplane.broker.interface import BatonHold
from scanplane.cache.interface import CacheUnavailableError
from scanplane.engine import Engine, ReferenceData, TradingCalendar
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import AnalyzerConfiguration, configuration_hash
from scanplane.reference import ReferenceDataError, UnknownCalendarError, load_calendar, load_files
from scanplane.resources.market import ReferenceSource
from scanplane.roles.backoff import Backoff, wait_unless
from scanplane.roles.batons import serve_with_baton
from scanplane.roles.interface import RoleInputError, RoleServices
from scanplane.roles.lifecycle import Lifecycle, LifecycleRole
from scanplane.roles.tasks import TaskScope
from scanplane.roles.waiting import while_away
from scanplane.telemetry.setup import Telemetry
from scanplane.telemetry.status import Phase, RoleStatus

__all__ = ["Analyzer"]

LOOK_S = 0.1
LOOKED_AT_ONCE = 8
PATIENCE_S = 3.0
"""A layout that is not left for longer shows as a problem."""
TIDY_S = 0.5
TIDY_LONGEST_S = 30.0
TIDY_TRIES = 40


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
        self._survey = Survey(configuration, services.cache)
        self._works: dict[Partition, PartitionWork] = {}
        self._before: dict[str, float] = {}
        self._daily: DailyReference | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Live until *stop* is set; see the restart contract."""
        try:
            calendar, reference, daily = await self._prepare()
            around = Surroundings(
                configuration=self._configuration,
                services=self._services,
                reference=reference,
                daily=daily,
                calendar=calendar,
                survey=self._survey,
                lifecycle=self._lifecycle,
                tick_to_board=self._latency,
                traces=self._telemetry.traces,
            )

            async def work(hold: BatonHold) -> None:
                await self._work(around, hold, stop)

            async with TaskScope() as scope:
                scope.accompany(daily.run(), f"{self.name} fetches reference data")
                serving = serve_with_baton(self._services.broker, self.name, work, stop, self._lifecycle)
                await scope.run(serving, f"{self.name} serves")
        finally:
            self._lifecycle.end()
            self._telemetry.forget_latency(self._latency)

    async def _prepare(self) -> tuple[TradingCalendar, ReferenceData, DailyReference]:
        """Load what must be there before the first event. Raises RoleInputError."""
        configuration, services = self._configuration, self._services
        try:
            calendar = await asyncio.to_thread(load_calendar, configuration.hours)
            reference = await load_files(configuration.reference, services.files)
            daily = self._daily = DailyReference(configuration, services, calendar, self._lifecycle)
            await daily.prepare()
        except (UnknownCalendarError, ReferenceDataError) as error:
            raise RoleInputError(str(error)) from error
        return calendar, reference, daily

    async def _work(self, around: Surroundings, hold: BatonHold, stop: asyncio.Event) -> None:
        """Work in one stage after the other; the last has no end but *stop*."""
        while not stop.is_set():
            self._forget_works()
            situation = await while_away(self._survey.situation, stop, self._lifecycle)
            async with TaskScope() as scope:
                if situation.other_layouts and self._configuration.partition.index == 0:
                    scope.accompany(self._tidy(), f"{self.name} tidies")
                await scope.run(self._work_in_stage(around, situation, hold, stop), f"{self.name} works")
            if not stop.is_set():
                await self._wait_for_others(situation, stop)

    async def _work_in_stage(
        self, around: Surroundings, situation: Situation, hold: BatonHold, stop: asyncio.Event
    ) -> None:
        """Work in every share of the stage until it is over there."""
        mine = self._configuration.partition
        shares = [share for share in shares_of(situation.stage, mine) if not situation.is_over(share)]
        self._works = {share: PartitionWork(around, situation, share) for share in shares}
        others = {share: asyncio.Event() for share in shares if share.index != mine.index}

        async def work_in_all() -> None:
            running = [
                asyncio.create_task(
                    self._take_over(work, others[share]) if share in others else work.run(hold, stop),
                    name=f"{self.name} works in {share}",
                )
                for share, work in self._works.items()
            ]
            try:
                await asyncio.gather(*running)
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

        async with TaskScope() as scope:
            if others:
                scope.accompany(self._end_when_over(situation, others, stop), f"{self.name} looks at others")
            await scope.run(work_in_all(), f"{self.name} works in its share")

    async def _take_over(self, work: PartitionWork, done: asyncio.Event) -> None:
        """Empty a partition that has no analyzer of its own any more, or wait until whoever still is there has *done* it."""
        name = f"analyzer-{self._configuration.market}-{work.partition.index}"
        lifecycle = Lifecycle(
            role="analyzer", instance=f"{name} in {self.name}", configuration=self._lifecycle.configuration
        )

        async def empty(hold: BatonHold) -> None:
            await work.run(hold, done)

        await serve_with_baton(self._services.broker, name, empty, done, lifecycle)

    async def _end_when_over(
        self, situation: Situation, others: Mapping[Partition, asyncio.Event], stop: asyncio.Event
    ) -> None:
        """Set the event of each partition that is over, whoever did it, and all of them at *stop*."""
        since = time.monotonic()
        while not await wait_unless(stop, LOOK_S):
            with contextlib.suppress(CacheUnavailableError):
                now = await self._survey.situation()
                self._report_waiting(now, since)
                for partition, done in others.items():
                    if now.stage.number != situation.stage.number or now.is_over(partition):
                        done.set()
        for done in others.values():
            done.set()

    async def _wait_for_others(self, situation: Situation, stop: asyncio.Event) -> None:
        """Wait until the stage is over in every partition."""
        longest_s = LOOK_S * max(1, len(situation.saved) / LOOKED_AT_ONCE)  # all of them look at all of them
        since, pauses = time.monotonic(), Backoff(first_seconds=0.01, longest_seconds=longest_s)
        while not stop.is_set():
            now = await self._survey.situation()
            if now.stage.number != situation.stage.number:
                break
            self._report_waiting(now, since)
            await wait_unless(stop, pauses.next_seconds())
        self._lifecycle.clear_problem("partitions")

    def _report_waiting(self, situation: Situation, since: float) -> None:
        """Say which partitions are waited for, where that has been so since long ago by the host's monotonic clock."""
        if time.monotonic() - since <= PATIENCE_S:
            return
        stage = situation.stage
        left = ", ".join([str(member) for member in stage.members if not situation.is_over(member)][:8])
        feeds = {
            feed
            for member in stage.members
            for feed in feeds_awaited(
                stage.partitions,
                situation.saved[member].positions if member in situation.saved else {},
                situation.paths,
                situation.feeds,
            )
        }
        who = ", ".join(sorted(feeds)) or "every feed"
        self._lifecycle.report_problem(
            "partitions", f"{self.name} waits until {who} has left {left} of {self._configuration.market}"
        )

    async def _tidy(self) -> None:
        """Remove what other layouts left, once this one works by itself."""
        tidying = Tidying(self._configuration, self._services.cache, self._survey)
        pauses = Backoff(first_seconds=TIDY_S, longest_seconds=TIDY_LONGEST_S)
        for _ in range(TIDY_TRIES):
            await asyncio.sleep(pauses.next_seconds())
            with contextlib.suppress(CacheUnavailableError):
                if await tidying.run_once():
                    return

    def _forget_works(self) -> None:
        """Keep what the works that have ended counted."""
        for work in self._works.values():
            for name, value in totals_of(work).items():
                self._before[name] = self._before.get(name, 0.0) + value
        self._works = {}

    def _report_works(self) -> None:
        problems = {work.writer.problem for work in self._works.values() if work.writer is not None} - {""}
        if problems and self._lifecycle.phase is Phase.ACTIVE:
            self._lifecycle.report_problem("cache", min(problems))
        else:
            self._lifecycle.clear_problem("cache")
        for partition, work in self._works.items():
            if work.positions is not None and work.positions.counts.unknown_beginnings:
                self._lifecycle.report_problem(
                    "state", f"{self.name} begins in the middle: something that was sent to {partition} before is lost"
                )

        self._report_unknown([work.engine for work in self._works.values() if work.engine is not None])

    def _report_unknown(self, engines: Sequence[Engine]) -> None:
        """Say in words what is unknown, and why."""
        missed_ns = max((engine.missed_beginning_ns or 0 for engine in engines), default=0)
        if missed_ns:
            since = dt.datetime.fromtimestamp(missed_ns // 10**9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._lifecycle.report_problem(
                "beginning",
                f"{self.name} began in mid-session: it hears {self._configuration.market} since {since}, and what follows from "
                "all of the session is unknown until the next",
            )
        else:
            self._lifecycle.clear_problem("beginning")
        outdated = next((engine.outdated_closes for engine in engines if engine.outdated_closes is not None), None)
        if outdated is not None and self._configuration.reference.previous_close is ReferenceSource.FILE:
            before, now = map(date_of, outdated)
            self._lifecycle.report_problem(
                "previous closes",
                f"{self.name} knows no previous closes: {self._configuration.reference.symbols_file} was read for {before}, and "
                f"this is {now}; renew the file and restart",
            )
        else:
            self._lifecycle.clear_problem("previous closes")
        unknown = sum(engine.counts.symbols_without_reference for engine in engines)
        symbols = sum(engine.counts.symbols for engine in engines)
        if self._daily is not None and self._daily.has_answered and 2 * unknown > symbols:
            self._lifecycle.report_problem(
                "symbols without reference",
                f"{self.name} knows no reference data of {unknown} of the {symbols} symbols that trade",
            )
        else:
            self._lifecycle.clear_problem("symbols without reference")

    def status(self) -> RoleStatus:
        """The figures of this moment."""
        works = list(self._works.values())
        self._report_works()
        figures, scanners = figures_of(works, self._before)
        fetched = {} if self._daily is None else self._daily.figures()
        return self._lifecycle.status(self._latency.figures() | fetched | figures, scanners)
