"""What the provider knows beforehand, fetched for each trading day anew.

The engine says at its ticks which day's figures it lacks, and takes what is here. Between the two stands this one task: it asks
the provider until the figures of that day are there, with pauses that grow. It also asks again when symbols trade of which
the last answer knew nothing, since the provider's snapshot fills while the day begins.
"""

import asyncio
import datetime as dt
import time

from scanplane.engine import DayReference, Engine, Session, TradingCalendar, TradingDay
from scanplane.engine.references import LEAD_NS
from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.reference import (
    ReferenceDataError,
    ReferenceUnavailableError,
    Snapshot,
    day_reference,
    fetch_from_provider,
)
from scanplane.roles.backoff import Backoff
from scanplane.roles.interface import RoleServices, SecretMissingError
from scanplane.roles.lifecycle import Lifecycle

__all__ = ["DailyReference", "date_of"]

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 120.0
_SUBJECT = "reference"
_HALF_A_DAY_S = 12 * 3600


class DailyReference:
    """Fetches for all partitions that one analyzer works in.

    ``latest`` is the newest that is there, ``has_answered`` says that the provider has answered with what was asked for last.
    """

    def __init__(
        self,
        configuration: AnalyzerConfiguration,
        services: RoleServices,
        calendar: TradingCalendar,
        lifecycle: Lifecycle,
    ) -> None:
        self.latest: DayReference | None = None
        self.has_answered = False
        self.fetches = 0
        self.failures = 0
        self._configuration = configuration
        self._services = services
        self._calendar = calendar
        self._lifecycle = lifecycle
        self._wanted_ns = 0
        self._asked = asyncio.Event()

    async def prepare(self) -> None:
        """Fetch once, before the first tick says which day it is. Raises ReferenceDataError for what no later try can cure."""
        try:
            await self._fetch(None)
        except ReferenceUnavailableError as error:
            self._report(error, None)

    def serve(self, engine: Engine) -> None:
        """Give *engine* what is there, before a tick."""
        if self.latest is not None:
            engine.expect(self.latest)

    def ask_for(self, engine: Engine) -> None:
        """See what *engine* lacks, after a tick."""
        wanted_ns = engine.wanted_reference()
        if wanted_ns is not None:
            self._wanted_ns = wanted_ns
            self._asked.set()
            if self.latest is None or self.latest.begin_ns != wanted_ns:
                self.has_answered = False

    async def run(self) -> None:
        """Fetch what is lacking, for ever."""
        pauses, day_ns = Backoff(first_seconds=FIRST_PAUSE_S, longest_seconds=LONGEST_PAUSE_S), 0
        while True:
            await self._asked.wait()
            self._asked.clear()
            if self._wanted_ns != day_ns:
                day_ns = self._wanted_ns
                pauses.reset()
            try:
                await self._fetch(day_ns)
            except (ReferenceDataError, SecretMissingError) as error:
                self._report(error, day_ns)
            await asyncio.sleep(pauses.next_seconds())

    def figures(self) -> dict[str, float]:
        """Return the totals for status and metrics."""
        return {
            "reference_fetches_total": float(self.fetches),
            "reference_failures_total": float(self.failures),
        }

    async def _fetch(self, wanted_ns: int | None) -> None:
        self.fetches += 1
        snapshot = await fetch_from_provider(self._configuration.reference, self._services.secrets.read)
        if snapshot is None:
            return
        begin_ns = self._day_of(snapshot, wanted_ns)
        if wanted_ns is not None and begin_ns != wanted_ns:
            found, wanted = (date_of(self._calendar.day_at(each)) for each in (begin_ns, wanted_ns))
            raise ReferenceUnavailableError(f"the provider's snapshot is of {found}, and not of {wanted} yet")
        self.latest = await asyncio.to_thread(day_reference, self._configuration.reference, snapshot, begin_ns)
        self.has_answered = True
        self._lifecycle.clear_problem(_SUBJECT)

    def _day_of(self, snapshot: Snapshot, wanted_ns: int | None) -> int:
        """Return the beginning of the trading day that a snapshot is of; one that nothing has traded in is of the next."""
        if not snapshot.newest_ns and wanted_ns is not None:
            return wanted_ns
        instant_ns = snapshot.newest_ns or time.time_ns()
        day = self._calendar.day_at(instant_ns)
        is_over = day.session_at(instant_ns) is Session.CLOSED
        turns_ns = day.next_begin_ns - LEAD_NS if snapshot.newest_ns else day.end_ns
        return day.next_begin_ns if is_over and instant_ns >= turns_ns else day.begin_ns

    def _report(self, error: Exception, wanted_ns: int | None) -> None:
        self.failures += 1
        self.has_answered = False
        of_day = "" if wanted_ns is None else f" of {date_of(self._calendar.day_at(wanted_ns))}"
        self._lifecycle.report_problem(
            _SUBJECT, f"{self._lifecycle.instance} has no reference data{of_day} yet and tries again: {error}"
        )


def date_of(day: TradingDay) -> str:
    """Return the date of a trading day as its exchange writes it: the local noon is of that date in nearly every zone."""
    noon_s = day.midnight_ns // 1_000_000_000 + _HALF_A_DAY_S
    return dt.datetime.fromtimestamp(noon_s, dt.UTC).date().isoformat()
