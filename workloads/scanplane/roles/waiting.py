"""Waiting for a cache that is away at the beginning of a term: in sight, without letting go of the baton, and in one line."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from scanplane.cache.interface import CacheUnavailableError
from scanplane.roles.backoff import Backoff, wait_unless
from scanplane.roles.lifecycle import Lifecycle

__all__ = ["while_away"]

_Answer = TypeVar("_Answer")
_SUBJECT = "cache at the start"


async def while_away(ask: Callable[[], Awaitable[_Answer]], stop: asyncio.Event, lifecycle: Lifecycle) -> _Answer:
    """Return what *ask* returns, asked again for as long as the cache is away.

    Raises CacheUnavailableError where *stop* is set meanwhile.
    """
    pauses = Backoff()
    while True:
        try:
            answer = await ask()
        except CacheUnavailableError as error:
            lifecycle.report_problem(_SUBJECT, f"{lifecycle.instance} waits for the cache: {error}")
            if await wait_unless(stop, pauses.next_seconds()):
                raise
        else:
            lifecycle.clear_problem(_SUBJECT)
            return answer
