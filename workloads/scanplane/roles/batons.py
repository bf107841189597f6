"""Working under a baton: wait for it, work while it is held, hand it over, and begin again if it was lost.

This is the restart contract (``docs/design/restart.md``) from the side of a role. Whoever waits is a standby; whoever
holds works. A lost baton means that somebody else may be working already, so the work is cancelled at once, without
a chance to finish. A stop is friendly: the work sees it, finishes, leaves a memo, and only then the baton goes on.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from scanplane.broker.interface import BatonHold, Broker, BrokerUnavailableError
from scanplane.cache.interface import CacheUnavailableError, FencedError
from scanplane.roles.backoff import Backoff, wait_unless
from scanplane.roles.lifecycle import Lifecycle

__all__ = ["DRAIN_SECONDS", "RETRIED", "BatonLostError", "Work", "serve_with_baton"]

DRAIN_SECONDS = 20.0
"""How long work may take to finish after a stop; less than Kubernetes' default grace period of 30 s."""

RETRIED: tuple[type[Exception], ...] = (BrokerUnavailableError, CacheUnavailableError, FencedError)
"""What makes the work begin again instead of ending the role: services come back, and a fence means a newer holder."""

_SUBJECT = "baton"


class BatonLostError(Exception):
    """The baton went away while the work was running; the work was cancelled."""


_INTERRUPTIONS: tuple[type[Exception], ...] = (BatonLostError, *RETRIED)

Work = Callable[[BatonHold], Coroutine[Any, Any, None]]


async def serve_with_baton(
    broker: Broker,
    name: str,
    work: Work,
    stop: asyncio.Event,
    lifecycle: Lifecycle,
    *,
    drain_seconds: float = DRAIN_SECONDS,
    backoff: Backoff | None = None,
) -> None:
    """Run *work* whenever the baton *name* is held, until *stop* is set or the work returns by itself.

    *work* gets the hold. It looks at *stop* itself and returns soon after it is set (``hold.leave`` says what the next
    holder finds); after *drain_seconds* it is cancelled. It is cancelled at once when the baton is lost, and started
    again with the next hold; the same after an error of :data:`RETRIED`, which is tried again for ever and shown among
    the lifecycle's problems. Any other error of the work is raised. Cancelling this releases the baton.
    """
    pauses = backoff or Backoff()
    lifecycle.stand_by()
    while not stop.is_set():
        try:
            if await _hold_once(broker, name, work, stop, lifecycle, pauses, drain_seconds):
                break
        except _INTERRUPTIONS as error:
            lifecycle.stand_by()
            lifecycle.report_problem(_SUBJECT, f"{lifecycle.instance} can't work: {error}; trying again")
            await wait_unless(stop, pauses.next_seconds())
    lifecycle.drain()


async def _hold_once(
    broker: Broker,
    name: str,
    work: Work,
    stop: asyncio.Event,
    lifecycle: Lifecycle,
    pauses: Backoff,
    drain_seconds: float,
) -> bool:
    """Wait for the baton and work under it once; return False if *stop* came before the baton."""
    held = asyncio.Event()

    async def hold_and_work() -> None:
        async with broker.baton(name) as hold:
            held.set()
            pauses.reset()
            lifecycle.clear_problem(_SUBJECT)
            lifecycle.activate(hold.generation)
            await _work_while_held(work, hold, stop, lifecycle, drain_seconds)

    holder = asyncio.create_task(hold_and_work(), name=f"baton {name}")
    stopped = asyncio.create_task(stop.wait(), name=f"stop of {name}")
    try:
        await asyncio.wait([holder, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not holder.done() and not held.is_set():
            holder.cancel()  # still waiting for the baton: nothing to finish
        await asyncio.wait([holder])
        if holder.cancelled() and stop.is_set():
            return False
        _result_of(holder)
        return True
    finally:
        await _end(holder, stopped)


async def _work_while_held(
    work: Work, hold: BatonHold, stop: asyncio.Event, lifecycle: Lifecycle, drain_seconds: float
) -> None:
    """Run the work until it returns, the baton is lost, or its time after *stop* is over."""
    working = asyncio.create_task(work(hold), name="work")
    lost = asyncio.create_task(hold.lost.wait(), name="baton lost")
    stopped = asyncio.create_task(stop.wait(), name="stop of work")
    try:
        await asyncio.wait([working, lost, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not working.done() and not lost.done():
            lifecycle.drain()
            await asyncio.wait([working, lost], return_when=asyncio.FIRST_COMPLETED, timeout=drain_seconds)
            if not working.done() and not lost.done():
                lifecycle.report_problem(
                    "drain", f"{lifecycle.instance} did not finish within {drain_seconds:g} s and was cancelled"
                )
                return
        if lost.done() and not _succeeded(working):
            raise BatonLostError(f"the baton was lost{_reason_of(working)}")
        _result_of(working)
    finally:
        await _end(working, lost, stopped)


def _succeeded(task: "asyncio.Future[None]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _reason_of(task: "asyncio.Future[None]") -> str:
    """Return what the work said when its baton went away, if it noticed before it was cancelled."""
    error = task.exception() if task.done() and not task.cancelled() else None
    return "" if error is None else f" ({type(error).__name__}: {error})"


def _result_of(task: "asyncio.Future[None]") -> None:
    """Raise what *task* raised; a task that was cancelled by something within it counts as interrupted."""
    if task.cancelled():
        raise BatonLostError("the work was cancelled from within")
    task.result()


async def _end(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel what still runs and wait for it; its errors are of no interest any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
