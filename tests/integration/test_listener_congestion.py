"""A recording that is played as fast as it goes keeps to its consumers, and to nobody where there is none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scanplane.broker.interface import QueueLimits
from scanplane.broker.memory import MemoryBroker, MemoryQueue
from scanplane.cache.memory import MemoryCache
from scanplane.listener.role import CONGESTED_BATCHES, Listener
from scanplane.local.world import build_world
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import ListenerConfiguration
from scanplane.resources.documents import SourceText
from scanplane.roles.interface import RoleServices
from scanplane.simulator.sessions.load import LoadSession
from scanplane.simulator.sessions.recorded import write_recording
from scanplane.telemetry.setup import TelemetrySettings, start_telemetry
from support.resource_texts import pipeline, replay_feed

EVENTS = 200_000
PATIENCE_S = 60.0
ONLY = Partition(0, 1)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trades of 200 seconds, a tick every 10 ms: more batches than may wait, many times over."""
    path = tmp_path_factory.mktemp("congestion") / "load.rec"
    session = LoadSession(rate=1000, symbols=100, channel=Channel.TRADES, seconds=EVENTS / 1000, frame_events=(50, 50))
    assert write_recording(session, path, frame_events=(50, 50)) == EVENTS
    return path


@asynccontextmanager
async def playing(recording: Path, broker: MemoryBroker, *, max_bytes: int) -> AsyncIterator[Listener]:
    """Play *recording* as fast as it goes; afterwards the listener must end when told to."""
    text = pipeline(replay_feed(recording, 0.0), ["Trades"], [], interval="10ms")
    world = build_world([SourceText("resources.yaml", text.replace("10m,", f"10m, maxBytes: {max_bytes},"))], {})
    assert not world.problems
    (configuration,) = [each for each in world.plan.configurations.values() if isinstance(each, ListenerConfiguration)]
    settings = TelemetrySettings(service_name="test", instance="test", namespace="default", prometheus=False)
    services = RoleServices(broker, MemoryCache(), world.secrets, Path())
    with start_telemetry(settings) as telemetry:
        listener = Listener(configuration, services, telemetry)
        stop = asyncio.Event()
        running = asyncio.create_task(listener.run(stop))
        async with asyncio.timeout(PATIENCE_S):
            try:
                yield listener
            finally:
                stop.set()
                await running


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nobody tells when a queue is long or a recording is over
        await asyncio.sleep(0.01)


async def until_played(listener: Listener) -> None:
    await until(lambda: listener.status().figures.get("events_total", 0) >= EVENTS)


def queue_of(broker: MemoryBroker, max_bytes: int) -> MemoryQueue:
    return broker.queue("us-stocks", ONLY, QueueLimits(time_to_live_ns=600 * 10**9, max_bytes=max_bytes))


async def test_without_an_analyzer_the_queue_fills_to_its_bound_and_what_it_loses_is_counted(recording: Path) -> None:
    broker, max_bytes = MemoryBroker(), 2**20
    async with playing(recording, broker, max_bytes=max_bytes) as listener:
        await until_played(listener)
        queue = queue_of(broker, max_bytes)
        figures = listener.status().figures
        assert queue.dropped > CONGESTED_BATCHES
        assert figures["dropped_batches_total"] == queue.dropped
        assert figures["dropped_events_total"] == queue.lost_events > EVENTS / 2
        assert figures["published_batches_total"] == queue.dropped + len(queue)
        assert figures["dropped_frames_total"] == 0


async def test_a_consumer_that_is_behind_holds_the_recording_back_until_it_has_gone(recording: Path) -> None:
    broker, max_bytes = MemoryBroker(), 2**29
    queue = queue_of(broker, max_bytes)
    async with playing(recording, broker, max_bytes=max_bytes) as listener:
        async with broker.consumer("us-stocks", ONLY, queue.limits) as consumer:
            await until(lambda: len(queue) > CONGESTED_BATCHES)
            for taken in range(3 * CONGESTED_BATCHES):
                delivery = await anext(aiter(consumer))
                await consumer.acknowledge(delivery.tag)
                if taken % 100 == 0:
                    await asyncio.sleep(0.005)
                assert len(queue) < 2 * CONGESTED_BATCHES
            assert listener.status().figures["events_total"] < EVENTS
        await until_played(listener)
        assert (queue.dropped, queue.expired) == (0, 0)
        assert listener.status().figures["dropped_batches_total"] == 0


async def test_a_listener_that_is_held_back_ends_when_it_is_told_to(recording: Path) -> None:
    broker, max_bytes = MemoryBroker(), 2**29
    queue = queue_of(broker, max_bytes)
    async with broker.consumer("us-stocks", ONLY, queue.limits):
        async with playing(recording, broker, max_bytes=max_bytes) as listener:
            await until(lambda: listener.status().figures.get("waiting_bytes", 0) > 1_000_000)
            figures = listener.status().figures
            assert len(queue) > CONGESTED_BATCHES
            assert figures["events_total"] < EVENTS
        figures = listener.status().figures
        assert figures["waiting_bytes"] == figures["dropped_events_total"] == 0, "what was received is published"
        assert figures["published_events_total"] >= figures["events_total"]
