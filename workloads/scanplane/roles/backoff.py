"""Waiting before the next try: longer each time, bounded, and never at the same moment as everybody else."""

import asyncio
import contextlib
import random

from msgspec import Struct

__all__ = ["Backoff", "wait_unless"]


class Backoff(Struct):
    """The pauses of one thing that is tried for ever. Seconds.

    The first pause is at most *first_seconds*, each later one up to twice the last, none over *longest_seconds*.
    Each is drawn from the upper half of that, so that many who lost the same broker do not come back at once.
    """

    first_seconds: float = 0.05
    longest_seconds: float = 2.0
    tries: int = 0

    def next_seconds(self) -> float:
        """Return the next pause."""
        bound = min(self.longest_seconds, self.first_seconds * 2.0 ** min(self.tries, 30))
        self.tries += 1
        return bound * random.uniform(0.5, 1.0)  # noqa: S311  # spread, not a secret

    def reset(self) -> None:
        """Begin anew: it worked."""
        self.tries = 0


async def wait_unless(stop: asyncio.Event, seconds: float) -> bool:
    """Wait *seconds*, or less if *stop* is set; return whether it is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()
