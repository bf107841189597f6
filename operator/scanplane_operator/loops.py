"""When passes happen: one loop for each namespace, woken by events, by its own clock, and by errors that want another try.

Bursts coalesce: what wakes a loop within a moment, or while it is at work, leads to one pass. A pass that fails is tried again
for ever, at growing distances. All waits are bounded.
"""

import asyncio
import contextlib
import functools
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from scanplane.roles.backoff import Backoff
from scanplane.telemetry.logs import TransitionLog
from scanplane_operator.api import ApiError, ApiUnavailableError
from scanplane_operator.observing import Observer
from scanplane_operator.reconcile import PassResult, Reconciler
from scanplane_operator.reports import Reporter
from scanplane_operator.settings import Settings
from scanplane_operator.wakes import Wake

__all__ = ["LoopState", "NamespaceLoops", "PassListener", "longest_silence_s"]

_LOG = logging.getLogger("scanplane.operator")

QUIET_S, LONGEST_WAIT_S = 0.1, 0.5
"""A loop that was woken waits until nothing more comes, but not for long: an apply of ten files is ten edits."""
FIRST_QUIET_S, FIRST_LONGEST_WAIT_S = 0.3, 3.0
"""The same where nothing runs yet and nobody waits for a change: what is applied file by file starts once, as a whole."""
QUIET_PASSES = 2
"""A namespace without anything of ours is left after so many passes that found nothing."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
REFUSED_PAUSE_S = 30.0
MAX_CONCURRENT = 2
"""Passes at the same time: they share one processor, and each holds all objects of its namespace."""


class LoopState(Struct, kw_only=True):
    """What a loop has done, for metrics, probes and ``/status``. Times are of the monotonic clock, in seconds."""

    namespace: str
    passes: int = 0
    failures: int = 0
    last_begun: float = 0.0
    last_ended: float = 0.0
    last_succeeded: float = 0.0
    last_seconds: float = 0.0
    problem: str = ""
    is_waiting: bool = False
    """Whether it waits for its turn: then those that have theirs show whether anything goes on."""
    result: PassResult | None = None


PassListener = Callable[[LoopState, PassResult | None], None]
"""Hears of every pass, failed ones (None) included; called on the event loop, must not block."""


class NamespaceLoops:
    """All loops. ``wake`` may be called from any task at any time; ``run`` owns them."""

    def __init__(self, settings: Settings, reconciler: Reconciler, observer: Observer, reporter: Reporter) -> None:
        self._settings = settings
        self._reconciler = reconciler
        self._observer = observer
        self._reporter = reporter
        self._transitions = TransitionLog(_LOG)
        self._wakes: dict[str, Wake] = {}
        self._new = asyncio.Event()
        self._turns = asyncio.Semaphore(MAX_CONCURRENT)
        self.states: dict[str, LoopState] = {}
        self.pass_listeners: list[PassListener] = []

    def wake(self, namespace: str, *, is_edit: bool = False) -> None:
        """Ask for a pass over *namespace* soon; *is_edit* says that one of its resources is another than before."""
        wake = self._wakes.get(namespace)
        if wake is None:
            wake = self._wakes[namespace] = Wake()
            self._new.set()
        wake.ring(is_edit=is_edit)

    async def run(self) -> None:
        """Run for ever."""
        for namespace in self._settings.namespaces:
            self.wake(namespace)
        async with asyncio.TaskGroup() as group:
            running: set[str] = set()
            while True:
                await self._new.wait()
                self._new.clear()
                for namespace in sorted(self._wakes.keys() - running):
                    running.add(namespace)
                    task = group.create_task(self._live(namespace), name=f"loop of {namespace}")
                    task.add_done_callback(functools.partial(self._leave, running, namespace))

    def _leave(self, running: set[str], namespace: str, _: object) -> None:
        running.discard(namespace)
        self._new.set()  # it may have been woken in the very moment

    async def _live(self, namespace: str) -> None:
        """Make passes over one namespace for as long as it holds anything of ours."""
        state = self.states[namespace] = LoopState(
            namespace=namespace, last_begun=time.monotonic(), last_succeeded=time.monotonic()
        )
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(self._look_at_secrets(namespace), name=f"secrets of {namespace}"),
                group.create_task(self._ask_for_figures(namespace), name=f"figures of {namespace}"),
            ]
            await self._pass_after_pass(namespace, state)
            for task in others:
                task.cancel()
        self._reconciler.forget(namespace)
        self._reporter.forget(namespace)
        del self.states[namespace]
        if not self._wakes[namespace].is_rung:
            del self._wakes[namespace]

    async def _pass_after_pass(self, namespace: str, state: LoopState) -> None:
        pauses = Backoff(first_seconds=FIRST_PAUSE_S, longest_seconds=LONGEST_PAUSE_S)
        wake = self._wakes[namespace]
        quiet = 0
        await wake.settle(FIRST_QUIET_S, FIRST_LONGEST_WAIT_S)
        while quiet < QUIET_PASSES or wake.is_rung or namespace in self._settings.namespaces:
            result = await self._pass(namespace, state)
            if result is None:
                await asyncio.sleep(pauses.next_seconds())
                wake.ring()
            else:
                pauses.reset()
                quiet = quiet + 1 if result.is_empty else 0
            await wake.within(self._pause_s(result))
            if wake.is_rung:
                quiet = 0
            if result is None or result.workloads:
                await wake.settle(QUIET_S, LONGEST_WAIT_S)
            else:
                await wake.settle(FIRST_QUIET_S, FIRST_LONGEST_WAIT_S)

    def _pause_s(self, result: PassResult | None) -> float:
        """Return how long a loop that nobody wakes waits: until the resync, or sooner where a write was refused."""
        pause_s = self._settings.resync_s * random.uniform(0.8, 1.0)  # noqa: S311  # spread
        return min(pause_s, REFUSED_PAUSE_S) if result is not None and result.refused else pause_s

    async def _pass(self, namespace: str, state: LoopState) -> PassResult | None:
        state.last_begun = time.monotonic()
        result: PassResult | None = None
        try:
            state.is_waiting = True
            async with self._turns:
                state.is_waiting, state.last_begun = False, time.monotonic()
                self._wakes[namespace].answer()  # not before: what came while it waited for its turn is looked at now
                result = await self._reconciler.reconcile(namespace)
        except (ApiError, ApiUnavailableError) as error:
            state.failures += 1
            state.problem = str(error)
            self._transitions.report(
                namespace,
                str(error),
                logging.ERROR,
                "namespace %s can't be reconciled: %s; trying again",
                namespace,
                error,
            )
        except Exception as error:  # noqa: BLE001  # a mistake of ours in one namespace must not stop the others
            state.failures += 1
            problem = f"{type(error).__name__}: {error}"
            if problem != state.problem:
                _LOG.exception(
                    "namespace %s can't be reconciled, by a mistake in the operator; trying again", namespace
                )
            state.problem = problem
        else:
            if state.problem:
                _LOG.info("namespace %s is reconciled again", namespace)
            self._transitions.forget(namespace)
            state.problem, state.result = "", result
            state.last_succeeded = time.monotonic()
        state.passes += 1
        state.last_ended = time.monotonic()
        state.last_seconds = state.last_ended - state.last_begun
        for listener in self.pass_listeners:
            listener(state, result)
        return result

    async def _look_at_secrets(self, namespace: str) -> None:
        """Wake the loop when a Secret or ConfigMap that is referred to has changed: they are read by name and not watched."""
        while True:
            await asyncio.sleep(self._settings.secrets_s)
            result = self.states[namespace].result
            if result is None:
                continue
            # what the API server refuses or does not answer, the next pass tells
            with _mistakes_told(namespace), contextlib.suppress(ApiError, ApiUnavailableError):
                secrets = await self._observer.secrets(namespace, result.refers_to_secrets)
                config_maps = await self._observer.config_maps(namespace, result.refers_to_config_maps)
                if (secrets, config_maps) != (result.secrets, result.config_maps):
                    self.wake(namespace)

    async def _ask_for_figures(self, namespace: str) -> None:
        """Ask the pods that the last pass saw, and wake the loop if there is something to say."""
        while True:
            await asyncio.sleep(self._settings.figures_s)
            result = self.states[namespace].result
            if result is None or not (result.pods or self._reporter.reports(namespace)):
                continue
            with _mistakes_told(namespace):
                await self._reporter.ask(namespace, result.pods)
                self.wake(namespace)


@contextlib.contextmanager
def _mistakes_told(namespace: str) -> Iterator[None]:
    """Log a mistake of ours and go on: one namespace must not end the work in all the others."""
    try:
        yield
    except Exception:  # noqa: BLE001  # see above
        _LOG.exception("namespace %s: a mistake in the operator; going on", namespace)


def longest_silence_s(states: Mapping[str, LoopState], now: float) -> float:
    """Return for how long the loop that is most behind has not ended a pass, in seconds; 0 without any."""
    return max(
        (now - max(state.last_ended, state.last_begun) for state in states.values() if not state.is_waiting),
        default=0.0,
    )
