"""A pipeline at home whose number of partitions changes while a session is played: on a broker and a cache in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from scanplane.broker.memory import MemoryBroker
from scanplane.cache.memory import MemoryCache
from scanplane.local.roles import make_role
from scanplane.local.supervisor import Supervisor
from scanplane.local.world import World, build_world
from scanplane.marketdata.results import QuoteRow
from scanplane.plan.configuration import RoleConfiguration
from scanplane.resources.documents import SourceText
from scanplane.roles.interface import Role, RoleServices
from scanplane.simulator.server import Simulator
from scanplane.simulator.sessions.interface import Session
from scanplane.simulator.settings import SimulatorSettings
from scanplane.telemetry.setup import Telemetry, TelemetrySettings, start_telemetry
from support.journeys import Figures, Results, read_quotes, read_results

__all__ = ["AHome", "at_home", "until"]

NAMESPACE = "default"
MARKET = "us-stocks"
PATIENCE_S = 60.0


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for *condition*, or fail with *what* did not happen."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110  # roles tell their figures when asked
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen within {PATIENCE_S:.0f} s") from None


class AHome:
    """Roles kept equal to resources. ``totals`` are the figures of every role that ever ran, by the order of their start."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.broker = MemoryBroker()
        self.cache = MemoryCache()
        self.made: list[Role] = []
        self.world: World | None = None
        self._telemetry = telemetry
        self.supervisor = Supervisor(self._make, self._accompany)

    def _make(self, configuration: RoleConfiguration) -> Role:
        assert self.world is not None
        services = RoleServices(self.broker, self.cache, self.world.secrets, Path())
        self.made.append(make_role(configuration, services, self._telemetry))
        return self.made[-1]

    async def _accompany(self, _role: Role) -> None:
        await asyncio.Event().wait()

    async def apply(self, text: str, *, only: str = "") -> list[str]:
        """Make the roles what *text* declares, or just those whose name begins with *only*; return what could not be."""
        self.world = build_world([SourceText("resources.yaml", text)], {}, self.world, namespace=NAMESPACE)
        assert not self.world.problems, [str(problem) for problem in self.world.problems]
        wanted = {name: each for name, each in self.world.plan.configurations.items() if name != "gateway"}
        if only:
            others = [name for name in self.supervisor.roles if name in wanted and not name.startswith(only)]
            before = {name: self._configuration_of(name) for name in others}
            wanted = before | {name: each for name, each in wanted.items() if name.startswith(only)}
        return [str(change.error) for change in await self.supervisor.apply(wanted) if change.error is not None]

    def _configuration_of(self, name: str) -> RoleConfiguration:
        return self.supervisor._instances[name].configuration

    def figures(self) -> Figures:
        """What the roles that run now say of themselves."""
        statuses = [role.status() for role in self.supervisor.roles.values()]
        return Figures(
            {status.instance: status.figures for status in statuses if status.role == "listener"},
            {status.instance: status.figures for status in statuses if status.role == "analyzer"},
        )

    def total(self, figure: str, role: str = "") -> float:
        """The sum of a figure over every role that ever ran, or every one of a kind."""
        return sum(each.status().figures.get(figure, 0.0) for each in self.made if each.name.startswith(role))

    def losses(self) -> dict[str, float]:
        """What any role that ever ran says it lost, got twice or refused; those that were replaced hung up once."""
        running = self.supervisor.roles.values()
        found: dict[str, float] = {}
        for number, role in enumerate(self.made):
            each = {f"{role.name} (number {number})": role.status().figures}
            figures = Figures(each, {}) if role.name.startswith("listener-") else Figures({}, each)
            found |= figures.losses(finished=role not in running)
        return found

    def problems(self) -> dict[str, tuple[str, ...]]:
        """What troubles the roles that run now."""
        statuses = [role.status() for role in self.supervisor.roles.values()]
        return {status.instance: status.problems for status in statuses if status.problems}

    async def results(self) -> tuple[Results, Mapping[str, QuoteRow]]:
        """What is in the cache."""
        return await read_results(self.cache, NAMESPACE, MARKET), await read_quotes(self.cache, NAMESPACE, MARKET)


@asynccontextmanager
async def at_home(
    session: Session, settings: SimulatorSettings | None = None, *, more: tuple[Session, ...] = ()
) -> AsyncIterator[tuple[AHome, list[Simulator]]]:
    """Play *session*, and each of *more* on a simulator of its own, to whatever is applied to the home."""
    telemetry = start_telemetry(
        TelemetrySettings(service_name="test", instance="test", namespace=NAMESPACE, prometheus=False)
    )
    settings = msgspec.structs.replace(settings or SimulatorSettings(), hold=True)
    try:
        async with AsyncExitStack() as stack:
            simulators = [await stack.enter_async_context(Simulator(each, settings)) for each in (session, *more)]
            home = AHome(telemetry)
            await stack.enter_async_context(home.supervisor)
            yield home, simulators
            for simulator in simulators:
                status = simulator.status()
                assert simulator.failure is None
                assert status.connections.maximum == 1
                assert (status.unheard, status.connections.slow_consumers) == (0, 0)
    finally:
        telemetry.shutdown()
