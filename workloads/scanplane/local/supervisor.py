"""Keeps what runs equal to what is planned: the restart contract within one process.

A new configuration is a new role. It prepares itself beside the old one, and only when it stands by, the old one is told
to stop; the baton does the rest. A role that fails to get ready leaves the old one serving. The gateway is the exception:
two cannot listen on one port, so the old one ends first and its clients reconnect.
"""

import asyncio
import enum
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from msgspec import Struct

from scanplane.local.instance import Accompany, Instance, MakeRole, NotReadyError
from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    GatewayConfiguration,
    ListenerConfiguration,
    Role,
    RoleConfiguration,
    configuration_hash,
)
from scanplane.plan.restarts import Restart, explain_restart
from scanplane.roles import interface
from scanplane.telemetry.logs import with_fields

__all__ = ["Action", "Change", "Supervisor"]

_LOG = with_fields(logging.getLogger("scanplane.local"), role="home")
_START_ORDER = (Role.GATEWAY, Role.ANALYZER, Role.LISTENER)


class Action(enum.StrEnum):
    """What was done to an instance."""

    STARTED = "started"
    RESTARTED = "restarted"
    STOPPED = "stopped"


class Change(Struct, frozen=True, kw_only=True):
    """One thing that was done. Where it failed, ``error`` says why, and an old configuration goes on."""

    instance: str
    action: Action
    restart: Restart | None = None
    error: str | None = None


class Supervisor:
    """Owns a task for each role: enter it, ``apply`` configurations to it, and leaving it stops them all.

    A role that fails fails alone (see ``Instance.live``); that is why this is no task group.
    """

    def __init__(self, make_role: MakeRole, accompany: Accompany) -> None:
        self._make_role = make_role
        self._accompany = accompany
        self._instances: dict[str, Instance] = {}
        self._tasks: dict[Instance, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for instance in sorted(self._tasks, key=lambda each: _start_order(each.configuration.name), reverse=True):
                await self._stop(instance)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @property
    def roles(self) -> dict[str, interface.Role]:
        """The roles that run now, by instance name."""
        return {name: instance.role for name, instance in self._instances.items()}

    async def apply(self, configurations: Mapping[str, RoleConfiguration]) -> list[Change]:
        """Make what runs equal to *configurations*; return what was done, in order."""
        changes: list[Change] = []
        removed = sorted(self._instances.keys() - configurations.keys(), key=_start_order)
        # A partition that is no more stays until its feeds have gone elsewhere; a connection must end before another begins.
        for name in [name for name in removed if not _is_analyzer(name)]:
            await self._end(name)
            changes.append(Change(instance=name, action=Action.STOPPED))
        for name in sorted(configurations, key=_start_order):
            changes.extend(await self._bring_up(configurations[name], changes))
        for name in [name for name in removed if _is_analyzer(name) and not self._is_fed(name)]:
            await self._end(name)
            changes.append(Change(instance=name, action=Action.STOPPED))
        return changes

    def _is_fed(self, analyzer: str) -> bool:
        """Whether a listener still publishes to the partition of *analyzer*: one that could not follow a change."""
        configuration = self._instances[analyzer].configuration
        return isinstance(configuration, AnalyzerConfiguration) and any(
            route.market == configuration.market and route.partitions == configuration.partition.count
            for instance in self._instances.values()
            if isinstance(instance.configuration, ListenerConfiguration)
            for route in instance.configuration.routes
        )

    async def _bring_up(self, configuration: RoleConfiguration, changes: Sequence[Change]) -> list[Change]:
        """Start or restart one instance where that is called for, after *changes* were made."""
        name = configuration.name
        running = self._instances.get(name)
        if running is None:
            return [Change(instance=name, action=Action.STARTED, error=await self._begin(configuration))]
        if configuration_hash(running.configuration) == configuration_hash(configuration):
            return []
        failed = _failed_partition(running.configuration, configuration, changes)
        if failed is not None:
            restart = explain_restart(running.configuration, configuration)
            error = f"it waits for {failed}, which did not get ready"
            _LOG.error("%s keeps its old configuration: %s", name, error, extra={"instance": name})
            return [Change(instance=name, action=Action.RESTARTED, restart=restart, error=error)]
        return [await self._restart(running, configuration)]

    async def _restart(self, running: Instance, configuration: RoleConfiguration) -> Change:
        name = configuration.name
        restart = explain_restart(running.configuration, configuration)
        _LOG.info("restarting %s: %s", name, restart, extra={"instance": name, "reasons": list(restart.reasons)})
        if isinstance(configuration, GatewayConfiguration):
            await self._end(name)
            error = await self._begin(configuration)
            if error is not None:
                await self._begin(running.configuration)
        else:
            error = await self._begin(configuration)
        if error is not None:
            _LOG.error("%s keeps its old configuration: %s", name, error, extra={"instance": name})
        return Change(instance=name, action=Action.RESTARTED, restart=restart, error=error)

    async def _begin(self, configuration: RoleConfiguration) -> str | None:
        """Start a role beside the one that runs under its name, if any, and let it take over; return why not."""
        try:
            instance = Instance(configuration, self._make_role, self._accompany)
        except Exception as error:  # noqa: BLE001  # a role that cannot even be made must not end the others
            return str(error)
        self._tasks[instance] = asyncio.create_task(instance.live(), name=configuration.name)
        try:
            await instance.ready()
        except NotReadyError as error:
            await self._stop(instance)
            return str(error)
        before = self._instances.get(configuration.name)
        self._instances[configuration.name] = instance
        if before is not None:
            await self._stop(before)
        return None

    async def _end(self, name: str) -> None:
        await self._stop(self._instances.pop(name))

    async def _stop(self, instance: Instance) -> None:
        if not await instance.stop():
            _LOG.error("%s did not stop in time and is cancelled", instance.role.name)
        task = self._tasks.pop(instance)
        task.cancel()
        await asyncio.wait([task])


def _is_analyzer(name: str) -> bool:
    return name.partition("-")[0] == Role.ANALYZER


def _failed_partition(old: RoleConfiguration, new: RoleConfiguration, changes: Sequence[Change]) -> str | None:
    """Return an analyzer that failed of a market that *new* would publish to in another number of partitions than *old*."""
    if not isinstance(old, ListenerConfiguration) or not isinstance(new, ListenerConfiguration):
        return None
    before = {route.market: route.partitions for route in old.routes}
    failed = {change.instance for change in changes if change.error is not None}
    wanted = (
        f"{Role.ANALYZER}-{route.market}-{index}"
        for route in new.routes
        if before.get(route.market) not in {None, route.partitions}
        for index in range(route.partitions)
    )
    return next((name for name in wanted if name in failed), None)


def _start_order(name: str) -> tuple[int, str]:
    """Readers before writers: nothing is published that nobody waits for."""
    return (_START_ORDER.index(Role(name.partition("-")[0])), name)
