"""Metrics read what the roles count anyway, when somebody collects: the hot path pays nothing for them.

A role keeps its figures for its status (``RoleStatus``). Once a second, and before each scrape, the event loop takes
that status (:meth:`RoleMetrics.sample`); OpenTelemetry's observable instruments then read the taken status from
whatever thread collects. A status is immutable, so nothing is locked and nothing is read half-written. The price: an
OTLP export shows figures that are up to a second old.

Names follow from the figures: ``scanplane_<figure>``, a counter where the figure ends in ``_total``, a gauge
otherwise, with the labels ``role``, ``instance`` and ``namespace``; ``scanplane_scanner_<figure>`` with ``scanner``
on top for what a role keeps by scanner (a name of its own, so that a sum does not count twice).
"""

import logging
import re
from collections.abc import Callable, Iterable
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from scanplane.telemetry.status import Phase, RoleStatus

__all__ = ["MAX_FIGURE_NAMES", "ReportsStatus", "RoleMetrics", "metric_name"]

MAX_FIGURE_NAMES = 1000
"""More different figures than this are not shown (and counted): a name that contains data would grow for ever."""

_log = logging.getLogger("scanplane.telemetry")
_UNFIT = re.compile(r"[^a-zA-Z0-9_]")

Labels = dict[str, str]


class ReportsStatus(Protocol):
    """What a role shows to its metrics."""

    def status(self) -> RoleStatus:
        """Return the figures of this moment."""
        ...


def metric_name(figure: str, *, of_scanner: bool = False) -> str:
    """Return the metric's name for a figure's."""
    return f"scanplane_{'scanner_' if of_scanner else ''}{_UNFIT.sub('_', figure)}"


class RoleMetrics:
    """The instruments of every role of this process.

    All methods belong to the thread of the event loop; the instruments' callbacks run in any.
    """

    def __init__(self, meter: Meter, namespace: str) -> None:
        self._meter = meter
        self._namespace = namespace
        self._roles: list[ReportsStatus] = []
        self._statuses: tuple[RoleStatus, ...] = ()
        self._names: set[str] = set()
        self.refused_figures = 0
        self._make_common_instruments()

    def register(self, role: ReportsStatus) -> None:
        """Show the figures of *role* from now on."""
        self._roles.append(role)
        self.sample()

    def unregister(self, role: ReportsStatus) -> None:
        """Show the figures of *role* no longer."""
        self._roles.remove(role)
        self.sample()

    def sample(self) -> tuple[RoleStatus, ...]:
        """Take the status of every role, and make instruments for figures that were not seen before."""
        self._statuses = tuple(role.status() for role in self._roles)
        for status in self._statuses:
            for figure in status.figures:
                self._ensure(figure, of_scanner=False)
            for figures in status.scanners.values():
                for figure in figures:
                    self._ensure(figure, of_scanner=True)
        return self._statuses

    def _labels(self, status: RoleStatus) -> Labels:
        return {"role": status.role, "instance": status.instance, "namespace": self._namespace}

    def _ensure(self, figure: str, *, of_scanner: bool) -> None:
        name = metric_name(figure, of_scanner=of_scanner)
        if name in self._names:
            return
        if len(self._names) >= MAX_FIGURE_NAMES:
            if self.refused_figures == 0:
                _log.error(
                    "more than %d different figures; %s and further ones are not exported", len(self._names), figure
                )
            self.refused_figures += 1
            return
        self._names.add(name)
        observe = self._observer_of_scanners(figure) if of_scanner else self._observer(figure)
        description = f"{'Scanner' if of_scanner else 'Role'} figure {figure}."
        if figure.endswith("_total"):
            self._meter.create_observable_counter(name, [observe], description=description)
        else:
            self._meter.create_observable_gauge(name, [observe], description=description)

    def _observer(self, figure: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for status in self._statuses:
                value = status.figures.get(figure)
                if value is not None:
                    yield Observation(value, self._labels(status))

        return observe

    def _observer_of_scanners(self, figure: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for status in self._statuses:
                labels = self._labels(status)
                for scanner, figures in status.scanners.items():
                    value = figures.get(figure)
                    if value is not None:
                        yield Observation(value, labels | {"scanner": scanner})

        return observe

    def _make_common_instruments(self) -> None:
        """Make the instruments that every role has: its phase, problems, generation, start and configuration."""

        def observe_phase(_: CallbackOptions) -> Iterable[Observation]:
            for status in self._statuses:
                for phase in Phase:
                    yield Observation(int(status.phase is phase), self._labels(status) | {"phase": phase.value})

        def observe_information(_: CallbackOptions) -> Iterable[Observation]:
            for status in self._statuses:
                more = {"version": status.version, "configuration": status.configuration}
                yield Observation(1, self._labels(status) | more)

        def per_role(read: Callable[[RoleStatus], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
            return lambda _: [Observation(read(status), self._labels(status)) for status in self._statuses]

        gauges: list[tuple[str, Callable[[CallbackOptions], Iterable[Observation]], str]] = [
            ("role_phase", observe_phase, "1 for the phase that the role is in, 0 for the others."),
            ("role_info", observe_information, "Version and configuration hash of the role; always 1."),
            ("role_problems", per_role(lambda status: len(status.problems)), "Problems that the role reports now."),
            ("role_generation", per_role(lambda status: status.generation), "Generation of the baton that is held."),
            (
                "role_start_time_seconds",
                per_role(lambda status: status.started_ns / 1e9),
                "Unix time at which the role started.",
            ),
        ]
        for name, observe, description in gauges:
            self._names.add(f"scanplane_{name}")
            self._meter.create_observable_gauge(f"scanplane_{name}", [observe], description=description)
