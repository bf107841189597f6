"""One role instance at home: its role, begun again where it fails, until it is told to stop."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from scanplane.plan.configuration import RoleConfiguration
from scanplane.roles.backoff import Backoff, wait_unless
from scanplane.roles.interface import Role
from scanplane.roles.tasks import TaskScope
from scanplane.telemetry.logs import with_fields

__all__ = ["Accompany", "Instance", "MakeRole", "NotReadyError"]

READY_S = 60.0
STOP_S = 25.0

MakeRole = Callable[[RoleConfiguration], Role]
Accompany = Callable[[Role], Coroutine[Any, Any, None]]
"""What runs beside a role for as long as it lives."""

_LOG = with_fields(logging.getLogger("scanplane.local"), role="home")


class NotReadyError(Exception):
    """The role did not get ready; the text says why, in one line."""


class Instance:
    """A role with one configuration. ``live`` is its whole life; run it as a task."""

    def __init__(self, configuration: RoleConfiguration, make_role: MakeRole, accompany: Accompany) -> None:
        self.configuration = configuration
        self.role = make_role(configuration)
        self.failures = 0
        self._make_role = make_role
        self._accompany = accompany
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()
        self._was_ready = False
        self._failure = "it ended before it was ready"

    async def live(self) -> None:
        """Run the role until ``stop``. One that fails before it was ever ready ends; a later failure begins it again."""
        pauses = Backoff(first_seconds=0.2, longest_seconds=10.0)
        try:
            while not self._stop.is_set():
                try:
                    if self.failures:
                        self.role = self._make_role(self.configuration)
                    await self._run_once()
                except Exception as error:  # noqa: BLE001  # whatever fails, the other roles go on
                    self.failures += 1
                    self._failure = str(error) or type(error).__name__
                    if not self._was_ready:
                        _LOG.debug("%s failed", self.role.name, exc_info=True)
                        return
                    _LOG.exception("%s failed and begins again", self.role.name, extra={"instance": self.role.name})
                    await wait_unless(self._stop, pauses.next_seconds())
                else:
                    return
        finally:
            self._ended.set()

    async def _run_once(self) -> None:
        async with TaskScope() as scope:
            scope.accompany(self._accompany(self.role), f"beside {self.role.name}")
            await scope.run(self.role.run(self._stop), self.role.name)

    async def ready(self) -> None:
        """Wait until the role stands by. Raises NotReadyError if it ends or takes too long."""
        standby = asyncio.ensure_future(self.role.standby.wait())
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait([standby, ended], timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
            if not standby.done():
                raise NotReadyError(self._failure if ended.done() else self._why_not_ready())
            self._was_ready = True
        finally:
            standby.cancel()
            ended.cancel()

    def _why_not_ready(self) -> str:
        problems = "; ".join(self.role.status().problems)
        return f"it was not ready within {READY_S:g} s{': ' if problems else ''}{problems}"

    async def stop(self) -> bool:
        """Ask the role to hand over and wait for it; tell whether it ended in time."""
        self._stop.set()
        try:
            async with asyncio.timeout(STOP_S):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True
