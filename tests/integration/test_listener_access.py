"""A listener with a key that the provider refuses does not stand by, so that nobody hands over to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from scanplane.broker.memory import MemoryBroker
from scanplane.cache.memory import MemoryCache
from scanplane.listener.role import Listener
from scanplane.local.world import build_world
from scanplane.marketdata.channels import Channel
from scanplane.plan.configuration import ListenerConfiguration
from scanplane.resources.documents import SourceText
from scanplane.roles.interface import RoleServices
from scanplane.simulator.server import Simulator
from scanplane.simulator.sessions.load import LoadSession
from scanplane.simulator.settings import SimulatorSettings
from scanplane.telemetry.setup import TelemetrySettings, start_telemetry
from scanplane.telemetry.status import Phase
from support.resource_texts import massive_feed, pipeline

PATIENCE_S = 30.0
KEY = "the-right-key"


@asynccontextmanager
async def provider() -> AsyncIterator[Simulator]:
    """Play the provider, its WebSocket and its REST service on one port."""
    session = LoadSession(rate=100, symbols=10, channel=Channel.TRADES, seconds=1.0, frame_events=(10, 10))
    async with asyncio.timeout(PATIENCE_S), Simulator(session, SimulatorSettings(api_key=KEY)) as simulator:
        yield simulator


@asynccontextmanager
async def listening(simulator: Simulator, key: str, rest: str = "") -> AsyncIterator[Listener]:
    """Run a listener with *key*; *rest* is another REST service than the simulator's."""
    text = pipeline(massive_feed(simulator.url), ["Trades"], []).replace("apiKey: demo", f"apiKey: {key}")
    if rest:
        text = text.replace(f"restEndpoint: '{simulator.url.replace('ws://', 'http://')}'", f"restEndpoint: '{rest}'")
    world = build_world([SourceText("resources.yaml", text)], {})
    assert not world.problems
    (configuration,) = [each for each in world.plan.configurations.values() if isinstance(each, ListenerConfiguration)]
    settings = TelemetrySettings(service_name="test", instance="test", namespace="default", prometheus=False)
    with start_telemetry(settings) as telemetry:
        listener = Listener(
            configuration, RoleServices(MemoryBroker(), MemoryCache(), world.secrets, Path()), telemetry
        )
        stop = asyncio.Event()
        running = asyncio.create_task(listener.run(stop))
        try:
            yield listener
        finally:
            stop.set()
            await running


async def test_a_refused_key_keeps_a_listener_from_standing_by() -> None:
    async with provider() as simulator, listening(simulator, "a-wrong-key") as listener:
        while not listener.status().problems:  # noqa: ASYNC110  # a status is asked for, it does not call
            await asyncio.sleep(0.01)
        status = listener.status()
        assert status.phase is Phase.STARTING
        assert not listener.standby.is_set()
        place = simulator.url.removeprefix("ws://")
        refused = f"http://{place}/v1/marketstatus/now answers HTTP 401: the API key is not accepted"
        assert status.problems == (f"listener-simulated does not take over: {refused}",)


async def test_the_right_key_stands_by_at_once() -> None:
    async with provider() as simulator, listening(simulator, KEY) as listener:
        await listener.standby.wait()
        assert not listener.status().problems


async def test_an_http_service_that_is_down_keeps_nobody_from_the_websocket() -> None:
    async with provider() as simulator, listening(simulator, KEY, "http://127.0.0.1:1") as listener:
        await listener.active.wait()
