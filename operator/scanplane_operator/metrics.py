"""The operator's own metrics: what it did, how long it took, what it looks after."""

import time
from collections import Counter
from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from scanplane_operator.api import Writes
from scanplane_operator.loops import LoopState, NamespaceLoops
from scanplane_operator.reconcile import PassResult

__all__ = ["OperatorMetrics"]


class OperatorMetrics:
    """Counts passes as they end, and reads the rest when somebody collects."""

    def __init__(self, meter: Meter, loops: NamespaceLoops, writes: Writes) -> None:
        self._loops = loops
        self._writes = writes
        self._passes = meter.create_counter(
            "scanplane_operator_passes", description="Passes over a namespace, by result."
        )
        self._seconds = meter.create_histogram(
            "scanplane_operator_pass_seconds",
            unit="s",
            description="Time that a pass takes.",
            explicit_bucket_boundaries_advisory=[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
        )
        self._restarts = meter.create_counter(
            "scanplane_operator_restarts", description="Workloads that were restarted, by reason."
        )
        meter.create_observable_counter(
            "scanplane_operator_writes",
            [self._observe_writes],
            description="Requests that write to the API server, by kind and verb.",
        )
        meter.create_observable_gauge(
            "scanplane_operator_resources",
            [self._observe_resources],
            description="Resources by kind and state: ready, not_ready, paused.",
        )
        meter.create_observable_gauge(
            "scanplane_operator_last_pass_age_seconds",
            [self._observe_age],
            unit="s",
            description="Time since the last pass that succeeded, by namespace.",
        )

    def hear(self, state: LoopState, result: PassResult | None) -> None:
        """Count a pass."""
        self._passes.add(1, {"result": "failed" if result is None else "succeeded"})
        self._seconds.record(state.last_seconds)
        if result is not None:
            for reason in result.restarts:
                self._restarts.add(1, {"reason": reason})

    def _observe_writes(self, _: CallbackOptions) -> Iterable[Observation]:
        for (kind, verb), count in self._writes.by_kind_and_verb.copy().items():
            yield Observation(count, {"kind": kind, "verb": verb})

    def _observe_resources(self, _: CallbackOptions) -> Iterable[Observation]:
        counts: Counter[tuple[str, str]] = Counter()
        for state in list(self._loops.states.values()):
            if state.result is not None:
                counts.update(state.result.resources)
        for (kind, name), count in counts.items():
            yield Observation(count, {"kind": kind, "state": name})

    def _observe_age(self, _: CallbackOptions) -> Iterable[Observation]:
        now = time.monotonic()
        for state in list(self._loops.states.values()):
            yield Observation(now - state.last_succeeded, {"namespace": state.namespace})
