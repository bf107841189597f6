"""A background task that belongs to a context: it ends with the context, and its failure is not lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

__all__ = ["background"]

_LOG = logging.getLogger(__name__)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.error("%s failed", task.get_name(), exc_info=error)


@asynccontextmanager
async def background(work: Coroutine[None, None, None], name: str) -> AsyncIterator[asyncio.Task[None]]:
    """Run *work* beside the body and cancel it at the end.

    Unlike a TaskGroup it leaves the body's own errors as they are, without wrapping them into an ExceptionGroup.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_report)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
