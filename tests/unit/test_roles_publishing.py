import asyncio
import logging
from collections.abc import Sequence

import msgspec
import pytest

from scanplane.cache import keys
from scanplane.cache.interface import CacheUnavailableError, Write
from scanplane.cache.memory import MemoryCache
from scanplane.roles import publishing
from scanplane.roles.publishing import StatusPublisher
from scanplane.telemetry.status import Phase, RoleStatus

SECOND = 1_000_000_000


class FlakyCache(MemoryCache):
    """A cache that can be away, and counts what reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.written = 0
        self.wrote = asyncio.Event()

    async def write(self, write: Write) -> int:
        if self.away:
            raise CacheUnavailableError("can't reach cache:6379")
        self.written += 1
        self.wrote.set()
        return await super().write(write)


class Listener:
    """A role whose status the test decides."""

    def __init__(self, name: str = "listener-massive") -> None:
        self.name = name
        self.phase = Phase.ACTIVE
        self.generation = 3
        self.started_ns = 5 * SECOND
        self.updated_ns = 10 * SECOND
        self.figures: dict[str, float] = {"events_total": 1}
        self.standby = asyncio.Event()
        self.active = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()

    def status(self) -> RoleStatus:
        return RoleStatus(
            role="listener",
            instance=self.name,
            configuration="abc",
            phase=self.phase,
            version="1",
            started_ns=self.started_ns,
            updated_ns=self.updated_ns,
            generation=self.generation,
            figures=dict(self.figures),
        )


@pytest.fixture
async def cache() -> FlakyCache:
    return FlakyCache()


async def published(cache: MemoryCache, names: Sequence[str]) -> list[RoleStatus | None]:
    values = await cache.read_values([keys.status("prod", name) for name in names])
    return [None if value is None else msgspec.json.decode(value, type=RoleStatus) for value in values]


async def names(cache: MemoryCache) -> list[str]:
    prefix = keys.status_prefix("prod")
    return [key.removeprefix(prefix) for key in await cache.list_keys(prefix)]


async def test_a_status_is_published_under_its_instance(cache: FlakyCache) -> None:
    listener = Listener()
    assert await StatusPublisher(cache, "prod", listener).publish() is True
    assert await published(cache, ["listener-massive"]) == [listener.status()]


async def test_what_is_no_news_is_not_written_but_for_a_sign_of_life(cache: FlakyCache) -> None:
    listener = Listener()
    publisher = StatusPublisher(cache, "prod", listener)
    for _ in range(10):
        await publisher.publish()
        listener.updated_ns += SECOND
    assert cache.written == 2
    listener.figures["events_total"] += 1
    assert await publisher.publish() is True
    assert publisher.written_total == 3


async def test_a_standby_is_published_beside_the_holder_and_moves_when_it_takes_over(cache: FlakyCache) -> None:
    holder, successor = Listener(), Listener()
    successor.phase, successor.generation = Phase.STANDBY, 0
    old, new = StatusPublisher(cache, "prod", holder), StatusPublisher(cache, "prod", successor)
    await old.publish()
    await new.publish()
    assert await names(cache) == ["listener-massive", "listener-massive.standby"]
    holder.phase = Phase.STOPPED
    successor.phase, successor.generation = Phase.ACTIVE, 4
    await new.publish()
    await old.finish()
    assert await names(cache) == ["listener-massive"]
    assert await published(cache, ["listener-massive"]) == [successor.status()]


async def test_a_standby_that_never_worked_leaves_nothing_behind(cache: FlakyCache) -> None:
    holder, standby = Listener(), Listener()
    standby.phase, standby.generation = Phase.STANDBY, 0
    await StatusPublisher(cache, "prod", holder).publish()
    publisher = StatusPublisher(cache, "prod", standby)
    await publisher.publish()
    standby.phase = Phase.STOPPED
    await publisher.finish()
    assert await names(cache) == ["listener-massive"]
    assert await published(cache, ["listener-massive"]) == [holder.status()]


async def test_of_two_processes_without_a_baton_the_later_one_is_shown(cache: FlakyCache) -> None:
    old, new = Listener("gateway"), Listener("gateway")
    old.generation = new.generation = 0
    new.started_ns = 6 * SECOND
    await StatusPublisher(cache, "prod", new).publish()
    assert await StatusPublisher(cache, "prod", old).publish() is False
    assert await published(cache, ["gateway"]) == [new.status()]


async def test_replicas_have_keys_of_their_own_and_dead_ones_are_forgotten(
    cache: FlakyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, dead = Listener("gateway"), Listener("gateway")
    await StatusPublisher(cache, "prod", dead, replica="pod-1").publish()
    monkeypatch.setattr(publishing.time, "time_ns", lambda: dead.updated_ns + 601 * SECOND)
    publisher = StatusPublisher(cache, "prod", alive, replica="pod-2")
    running = asyncio.create_task(publisher.run())
    cache.wrote.clear()
    async with asyncio.timeout(10):
        await cache.wrote.wait()
    running.cancel()
    assert await names(cache) == ["gateway.pod-2"]
    await publisher.finish()
    assert await names(cache) == []


async def test_a_cache_that_is_away_is_counted_told_once_and_used_again(
    cache: FlakyCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    listener = Listener()
    publisher = StatusPublisher(cache, "prod", listener)
    cache.away = True
    for _ in range(3):
        assert await publisher.publish() is False
    assert publisher.failed_total == 3
    assert [record.getMessage() for record in caplog.records] == [
        "live figures are not published: can't reach cache:6379"
    ]
    cache.away = False
    assert await publisher.publish() is True
