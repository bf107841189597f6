"""A role's life in one place: its phase, what troubles it, and whether it gets anywhere.

Roles hold one :class:`Lifecycle` and implement ``standby``, ``active`` and ``status`` by it, so that every role's life
reads the same in logs, metrics and probes. Each change is logged once, when it happens.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from scanplane import __version__
from scanplane.telemetry.logs import FieldsAdapter, with_fields
from scanplane.telemetry.redaction import redact
from scanplane.telemetry.status import Phase, RoleStatus

__all__ = ["MAX_PROBLEMS", "Lifecycle", "LifecycleRole", "Progress"]

MAX_PROBLEMS = 16
_MAX_PROBLEM_LENGTH = 300


class Progress:
    """A promise that something happens at least every *within_ns*; broken, it makes the liveness probe fail.

    It holds only between ``beat`` and ``pause``: before the first beat, and while paused, nothing is promised.
    """

    def __init__(self, name: str, within_ns: int, clock_ns: Callable[[], int]) -> None:
        self.name = name
        self._within_ns = within_ns
        self._clock_ns = clock_ns
        self._last_ns: int | None = None

    def beat(self) -> None:
        """It happened."""
        self._last_ns = self._clock_ns()

    def pause(self) -> None:
        """It need not happen until the next ``beat``."""
        self._last_ns = None

    def stalled(self) -> str | None:
        """Return one line if the promise is broken."""
        if self._last_ns is None:
            return None
        silent_ns = self._clock_ns() - self._last_ns
        if silent_ns <= self._within_ns:
            return None
        return f"{self.name}: no progress for {silent_ns / 1e9:.1f} s, promised within {self._within_ns / 1e9:g} s"


class Lifecycle:
    """Keeps phase, generation, problems and promises of one role instance.

    ``standby`` is set from standby until draining, ``active`` while the role works.
    """

    def __init__(
        self,
        *,
        role: str,
        instance: str,
        configuration: str,
        log: logging.Logger | FieldsAdapter | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.role = role
        self.instance = instance
        self.configuration = configuration
        self.log = with_fields(log or logging.getLogger(f"scanplane.{role}"), role=role, instance=instance)
        self.standby = asyncio.Event()
        self.active = asyncio.Event()
        self._clock_ns = clock_ns
        self._monotonic_ns = monotonic_ns
        self._phase = Phase.STARTING
        self._generation = 0
        self._started_ns = clock_ns()
        self._problems: dict[str, str] = {}
        self._progress: list[Progress] = []
        self.problems_refused = 0

    @property
    def phase(self) -> Phase:
        """Where the role is in its life."""
        return self._phase

    @property
    def generation(self) -> int:
        """The generation of the baton that is or was last held; 0 before the first."""
        return self._generation

    def stand_by(self) -> None:
        """The role is prepared and waits for its baton."""
        self._enter(Phase.STANDBY)

    def activate(self, generation: int = 0) -> None:
        """The role works, under the baton of *generation* (0 for a role without one)."""
        self._generation = generation
        self._enter(Phase.ACTIVE)

    def drain(self) -> None:
        """The role finishes what it has begun."""
        self._enter(Phase.DRAINING)

    def end(self) -> None:
        """The role has ended."""
        self._enter(Phase.STOPPED)

    def _enter(self, phase: Phase) -> None:
        if phase is self._phase:
            return
        before, self._phase = self._phase, phase
        for event, is_set in (
            (self.standby, phase in {Phase.STANDBY, Phase.ACTIVE}),
            (self.active, phase is Phase.ACTIVE),
        ):
            if is_set:
                event.set()
            else:
                event.clear()
        extra = {"phase": phase.value, "before": before.value, "configuration": self.configuration}
        if self._generation:
            extra["generation"] = str(self._generation)
        self.log.info("%s is %s", self.instance, phase.value.lower(), extra=extra)

    def report_problem(self, subject: str, text: str) -> None:
        """Show one line about *subject* until it is cleared; logged if it is news. Texts are freed from secrets."""
        line = redact(" ".join(text.split()))[:_MAX_PROBLEM_LENGTH]
        if self._problems.get(subject) == line:
            return
        if subject not in self._problems and len(self._problems) >= MAX_PROBLEMS:
            self.problems_refused += 1
            return
        is_new = subject not in self._problems
        self._problems[subject] = line
        if is_new:
            self.log.warning("%s", line, extra={"problem": subject})

    def clear_problem(self, subject: str) -> None:
        """Show *subject* no longer; logged if it was shown."""
        line = self._problems.pop(subject, None)
        if line is not None:
            self.log.info("solved: %s", line, extra={"problem": subject})

    def promise(self, name: str, within_ns: int) -> Progress:
        """Return a new promise of progress, watched by the liveness probe."""
        progress = Progress(name, within_ns, self._monotonic_ns)
        self._progress.append(progress)
        return progress

    def stalled(self) -> tuple[str, ...]:
        """Return one line for each broken promise."""
        return tuple(line for line in (progress.stalled() for progress in self._progress) if line is not None)

    def status(
        self, figures: Mapping[str, float] | None = None, scanners: Mapping[str, dict[str, float]] | None = None
    ) -> RoleStatus:
        """Return the status of this moment with the role's own figures."""
        return RoleStatus(
            role=self.role,
            instance=self.instance,
            configuration=self.configuration,
            phase=self._phase,
            version=__version__,
            started_ns=self._started_ns,
            updated_ns=self._clock_ns(),
            generation=self._generation,
            figures=dict(figures or {}),
            scanners=dict(scanners or {}),
            problems=(*self._problems.values(), *self.stalled()),
        )


class LifecycleRole:
    """What every role shows of its lifecycle; a role of its own adds ``run`` and ``status``."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    @property
    def name(self) -> str:
        """The instance's name."""
        return self._lifecycle.instance

    @property
    def standby(self) -> asyncio.Event:
        """Set once the role is prepared and waits for its baton, or works."""
        return self._lifecycle.standby

    @property
    def active(self) -> asyncio.Event:
        """Set while the role works."""
        return self._lifecycle.active

    def stalled(self) -> tuple[str, ...]:
        """Return one line for each broken promise of progress."""
        return self._lifecycle.stalled()
