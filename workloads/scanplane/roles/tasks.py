"""Tasks that belong to a piece of work: they live beside it, end with it, and take it down when they fail.

What a ``TaskGroup`` does, but errors stay what they are: a role process tells its one error in one line, and
an ``ExceptionGroup`` around it would hide which it is.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

__all__ = ["TaskScope"]


class TaskScope:
    """Owns companion tasks for the length of an ``async with``."""

    def __init__(self) -> None:
        self._companions: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        return self

    def accompany(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Run *work* beside whatever :meth:`run` runs."""
        self._companions.append(asyncio.create_task(work, name=name))

    async def run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run *work* to its end. If a companion fails first, *work* is cancelled and the failure raised."""
        main = asyncio.create_task(work, name=name)
        try:
            waiting: set[asyncio.Task[Any]] = {main, *self._companions}
            while not main.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {main}:
                    task.result()
            main.result()
        finally:
            await _cancel([main])

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _cancel(self._companions)


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
