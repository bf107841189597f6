"""Batons inside one process: handed over in the order of asking."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scanplane.broker.interface import BatonHold

__all__ = ["MemoryBatons"]


class _MemoryHold:
    """The right to work; in one process it is never lost."""

    def __init__(self, generation: int, memo: bytes) -> None:
        self.generation = generation
        self.memo = memo
        self.abandoned = False
        self.lost = asyncio.Event()
        self.left = b""

    def leave(self, memo: bytes) -> None:
        """Say what the next holder finds."""
        self.left = memo


class _Baton:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.generation = 0
        self.memo = b""


class MemoryBatons:
    """Every baton of a process, by name."""

    def __init__(self) -> None:
        self._batons: dict[str, _Baton] = {}

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[BatonHold]:
        """Wait for the baton *name* and hold it."""
        baton = self._batons.setdefault(name, _Baton())
        async with baton.lock:
            # Not below the clock, so that a cache that outlives this process does not refuse the next one's generations.
            baton.generation = max(baton.generation + 1, time.time_ns() // 1_000_000)
            hold = _MemoryHold(baton.generation, baton.memo)
            baton.memo = b""
            try:
                yield hold
            finally:
                baton.memo = hold.left
