"""What wakes the loop of a namespace, and when it has waited long enough for more to come."""

import asyncio
import contextlib
import math
import time

__all__ = ["Wake"]


class Wake:
    """Rings for edits of resources and for whatever else happens. May be rung from any task at any time; one loop waits."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._edited_s = math.inf

    def ring(self, *, is_edit: bool = False) -> None:
        """Ask for a pass soon."""
        if is_edit:
            self._edited_s = time.monotonic()
        self._event.set()

    @property
    def is_rung(self) -> bool:
        """Whether something came since the last ``answer``."""
        return self._event.is_set()

    def answer(self) -> None:
        """Say that a pass begins, which sees everything that came."""
        self._event.clear()
        self._edited_s = math.inf

    async def within(self, seconds: float) -> None:
        """Wait until it rings, but not for longer than *seconds*."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()

    async def settle(self, quiet_s: float, longest_s: float) -> None:
        """Wait for a moment of quiet after it rang.

        An edit waits for further edits alone: pods that come and go, because of the edit before, do not keep it waiting.
        """
        until = time.monotonic() + longest_s
        while self._event.is_set():
            left = min(until, self._edited_s + quiet_s) - time.monotonic()
            if left <= 0:
                return
            self._event.clear()
            await self.within(min(quiet_s, left))
