"""A pipeline in one process: every role on the broker and the cache in memory, told what to play and when to stop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from scanplane.broker.memory import MemoryBroker
from scanplane.cache.memory import MemoryCache
from scanplane.local.roles import make_role
from scanplane.local.world import build_world
from scanplane.marketdata.results import QuoteRow
from scanplane.plan.configuration import GatewayConfiguration
from scanplane.resources.documents import SourceText
from scanplane.roles.interface import Role, RoleServices
from scanplane.simulator.server import Simulator
from scanplane.simulator.sessions.interface import Session
from scanplane.simulator.settings import SimulatorSettings
from scanplane.telemetry.setup import TelemetrySettings, start_telemetry
from support.journeys import Figures, Results, read_quotes, read_results
from support.resource_texts import massive_feed

__all__ = ["Run", "play_recording", "play_session"]

NAMESPACE = "default"
MARKET = "us-stocks"
PATIENCE_S = 110.0


class Run(msgspec.Struct, frozen=True):
    """What a run ends with."""

    results: Results
    quotes: dict[str, QuoteRow]
    figures: Figures
    events: int
    lost_batches: int
    connections: int = 0
    finished: bool = False

    def losses(self) -> dict[str, float]:
        """Return everything that was lost, came twice or was refused on the way; a calm run has nothing."""
        lost = {"batches that no consumer got": float(self.lost_batches)} if self.lost_batches else {}
        return lost | self.figures.losses(finished=self.finished)


@asynccontextmanager
async def _home(text: str) -> AsyncIterator[tuple[list[Role], MemoryBroker, MemoryCache, asyncio.Event]]:
    """Run every listener and analyzer of *text* until ``stop`` is set."""
    world = build_world([SourceText("resources.yaml", text)], {}, namespace=NAMESPACE)
    assert not world.problems, [str(problem) for problem in world.problems]
    broker, cache, stop = MemoryBroker(), MemoryCache(), asyncio.Event()
    services = RoleServices(broker, cache, world.secrets, Path())
    settings = TelemetrySettings(service_name="test", instance="test", namespace=NAMESPACE, prometheus=False)
    telemetry = start_telemetry(settings)
    configurations = world.plan.configurations.values()
    roles = [
        make_role(each, services, telemetry) for each in configurations if not isinstance(each, GatewayConfiguration)
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            for role in roles:
                tasks.create_task(role.run(stop), name=role.name)
            try:
                yield roles, broker, cache, stop
            finally:
                stop.set()
    finally:
        telemetry.shutdown()


def _figures(roles: list[Role]) -> Figures:
    statuses = [role.status() for role in roles]
    return Figures(
        {status.instance: status.figures for status in statuses if status.role == "listener"},
        {status.instance: status.figures for status in statuses if status.role == "analyzer"},
    )


async def _run(text: str, events: Callable[[], Awaitable[int]], *, finishes: bool) -> Run:
    async with asyncio.timeout(PATIENCE_S):
        async with _home(text) as (roles, broker, cache, stop):
            count = await events()
            while not _figures(roles).has_applied(count):  # noqa: ASYNC110  # roles tell their figures when asked
                await asyncio.sleep(0.02)
            stop.set()
        figures = _figures(roles)
        return Run(
            results=await read_results(cache, NAMESPACE, MARKET),
            quotes=await read_quotes(cache, NAMESPACE, MARKET),
            figures=figures,
            events=count,
            lost_batches=broker.lost(MARKET)[0],
            finished=finishes,
        )


async def play_session(
    session: Session, pipeline_of: Callable[[str], str], settings: SimulatorSettings | None = None
) -> Run:
    """Play *session* from the simulated provider's socket into the pipeline that *pipeline_of* makes of its Feed."""
    async with Simulator(session, settings) as simulator:

        async def finished() -> int:
            await simulator.finished.wait()
            return simulator.events

        run = await _run(pipeline_of(massive_feed(simulator.url)), finished, finishes=True)
        status = simulator.status()
        assert simulator.failure is None
        assert (status.unheard, status.connections.slow_consumers, status.connections.evicted) == (0, 0, 0)
        return msgspec.structs.replace(run, connections=status.connections.maximum)


async def play_recording(text: str, events: int) -> Run:
    """Play the recording that the Feed of *text* names, of *events* events."""

    async def known() -> int:
        return events

    return await _run(text, known, finishes=True)
