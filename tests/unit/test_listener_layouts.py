"""What a listener does before its first batch in another number of partitions, wherever it is killed on the way."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Self

import msgspec
import pytest

from scanplane.broker.interface import BrokerUnavailableError, PublisherCounts, QueueLimits
from scanplane.broker.memory import MemoryBroker
from scanplane.cache import keys
from scanplane.cache.interface import CacheUnavailableError, FencedError, Write
from scanplane.cache.memory import MemoryCache
from scanplane.listener import layouts
from scanplane.listener.layouts import LayoutChange
from scanplane.listener.routing import Router, RouteState
from scanplane.marketdata.batches import Batch
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.layouts import Path, Seal, decode_path
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import Route

FEED, MARKET, NAMESPACE = "massive", "us-stocks", "default"
LIMITS = QueueLimits(time_to_live_ns=60 * 10**9, max_bytes=2**20)


def route(partitions: int) -> Route:
    return Route(
        market=MARKET,
        partitions=partitions,
        channels={Channel.TRADES: None},
        stamps_ticks=True,
        evaluation_interval_ns=10**9,
        time_to_live_ns=LIMITS.time_to_live_ns,
        max_bytes=LIMITS.max_bytes,
        publisher_confirms=True,
        batch_delay_ns=0,
    )


class KilledError(Exception):
    """The listener is killed."""


class Scene:
    """A broker and a cache that outlive listeners, which may be killed at the n-th thing that they do to either."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.cache = MemoryCache()

    async def enter(
        self, partitions: int, epoch: int, state: RouteState | None = None, *, handed_over: bool = False
    ) -> tuple[Path, RouteState | None]:
        change = LayoutChange(self.broker, self.cache, NAMESPACE, FEED, epoch)
        return await change.enter(route(partitions), state, is_handed_over=handed_over)

    def taken(self, index: int, count: int) -> list[Batch]:
        queue = self.broker.queue(MARKET, Partition(index, count), LIMITS)
        found: list[Batch] = []
        while (message := queue.take()) is not None:
            found.append(message.batch)
        return found

    async def path(self) -> Path:
        (row,) = await self.cache.read_rows(keys.paths(NAMESPACE, MARKET), [FEED])
        return () if row is None else decode_path(row)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def stays(path: Path) -> list[tuple[int, int, bool]]:
    return [(stay.partitions, stay.since, stay.seal is not None) for stay in path]


async def test_the_first_stay_is_written_before_anything_is_published_and_nothing_is_sealed(scene: Scene) -> None:
    path, state = await scene.enter(1, 7)
    assert stays(path) == [(1, 7, False)] == stays(await scene.path())
    assert state is None
    assert scene.taken(0, 1) == []


async def test_a_restart_in_the_same_number_changes_nothing(scene: Scene) -> None:
    first, _ = await scene.enter(2, 7)
    state = RouteState(sequences=(4, 5), numbered_since=7, path=first)
    path, after = await scene.enter(2, 8, state, handed_over=True)
    assert (path, after) == (first, state)
    assert scene.taken(0, 2) == scene.taken(1, 2) == []


async def test_every_partition_of_the_old_layout_is_sealed_with_its_next_number(scene: Scene) -> None:
    first, _ = await scene.enter(2, 7)
    state = RouteState(sequences=(4, 5), numbered_since=7, path=first)
    path, after = await scene.enter(3, 8, state, handed_over=True)
    assert stays(path) == [(2, 7, True), (3, 8, False)] == stays(await scene.path())
    assert path[0].seal == Seal(7, (4, 5))
    assert after == RouteState()
    for index, number in ((0, 4), (1, 5)):
        (seal,) = scene.taken(index, 2)
        header = seal.header
        assert (header.is_seal, header.layout_since, header.sequence, header.numbered_since) == (True, 7, number, 7)
        assert (header.epoch, header.channel, header.count) == (8, None, 0)


async def test_after_a_kill_the_seal_is_numbered_anew_and_still_names_its_stay(scene: Scene) -> None:
    await scene.enter(1, 7)
    path, _ = await scene.enter(2, 9)
    (seal,) = scene.taken(0, 1)
    assert (seal.header.layout_since, seal.header.epoch, seal.header.numbered_since, seal.header.sequence) == (
        7,
        9,
        9,
        0,
    )
    assert stays(path) == [(1, 7, True), (2, 9, False)]


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("then", [1, 2, 3], ids=lambda count: f"then {count}")
async def test_whoever_follows_a_killed_listener_finishes_what_it_began(scene: Scene, after: int, then: int) -> None:
    await scene.enter(1, 7)
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps > after:
            raise KilledError

    killed = LayoutChange(_Killing(scene.broker, step), _KillingCache(scene.cache, step), NAMESPACE, FEED, 8)  # type: ignore[arg-type]
    with pytest.raises(KilledError):
        await killed.enter(route(2), None, is_handed_over=False)
    path, _ = await scene.enter(then, 9)
    between = [(2, 8)] if after > 1 else []
    expected = [(1, 7), *between, *([(then, 9)] if [then] != [each[0] for each in [(1, 7), *between]][-1:] else [])]
    assert [(stay.partitions, stay.since) for stay in path] == expected
    assert all(stay.seal is not None for stay in path[:-1])
    assert path == await scene.path()
    sealed = [batch.header.layout_since for batch in scene.taken(0, 1)]
    if len(expected) > 1:
        assert set(sealed) == {7}
    for stay in path[1:-1]:
        for index in range(stay.partitions):
            assert {batch.header.layout_since for batch in scene.taken(index, stay.partitions)} == {stay.since}


class _Killing:
    """A broker whose publishers are a step each."""

    def __init__(self, broker: MemoryBroker, step: Callable[[], None]) -> None:
        self._broker = broker
        self._step = step

    def publisher(self, market: str, limits: QueueLimits, *, confirms: bool) -> object:
        self._step()
        return self._broker.publisher(market, limits, confirms=confirms)


class _KillingCache:
    """A cache whose reads and writes are a step each."""

    def __init__(self, cache: MemoryCache, step: Callable[[], None]) -> None:
        self._cache = cache
        self._step = step

    async def read_rows(self, key: str, rows: list[str]) -> list[bytes | None]:
        self._step()
        return await self._cache.read_rows(key, rows)

    async def write(self, write: Write) -> int:
        self._step()
        return await self._cache.write(write)


async def test_a_listener_that_lost_its_baton_cannot_say_where_the_feed_is(scene: Scene) -> None:
    await scene.enter(1, 7)
    await scene.enter(2, 9)
    with pytest.raises(FencedError):
        await scene.enter(4, 8)
    assert stays(await scene.path()) == [(1, 7, True), (2, 9, False)]


async def test_nothing_is_entered_before_the_broker_has_the_seals(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.enter(1, 7)
    monkeypatch.setattr(layouts, "CONFIRM_S", 0.05)
    silent = _Refusing(PublisherCounts(), asyncio.Event().wait)
    refusing = _Refusing(PublisherCounts(dropped_batches=1), lambda: asyncio.sleep(0))
    for broker, words in ((silent, "confirms nothing"), (refusing, "refused")):
        change = LayoutChange(broker, scene.cache, NAMESPACE, FEED, 8)  # type: ignore[arg-type]
        with pytest.raises(BrokerUnavailableError, match=words):
            await change.enter(route(2), None, is_handed_over=False)
    assert stays(await scene.path()) == [(1, 7, False), (2, 8, False)]


class _Refusing:
    """A broker that takes batches and confirms none."""

    def __init__(self, counts: PublisherCounts, wait: Callable[[], object]) -> None:
        self.counts = counts
        self._wait = wait

    def publisher(self, *_: object, **__: object) -> "_Refusing":
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def publish(self, _batch: Batch) -> None:
        return

    async def flush(self) -> None:
        await self._wait()  # type: ignore[misc]


async def test_a_cache_that_is_away_is_not_guessed_about(scene: Scene) -> None:
    class Away(MemoryCache):
        async def read_rows(self, key: str, rows: object) -> list[bytes | None]:  # noqa: ARG002  # as the Cache has it
            raise CacheUnavailableError("away")

    change = LayoutChange(scene.broker, Away(), NAMESPACE, FEED, 8)
    with pytest.raises(CacheUnavailableError):
        await change.enter(route(2), None, is_handed_over=False)
    handed_over = RouteState(path=(await scene.enter(2, 7))[0])
    path, _ = await change.enter(route(2), handed_over, is_handed_over=True)
    assert stays(path) == [(2, 7, False)]


def test_what_is_handed_over_is_read_by_the_next_and_by_one_that_knows_less() -> None:
    sent: list[Batch] = []
    router = Router(FEED, route(1), 7, sent.append)
    document = msgspec.json.encode({MARKET: router.state})
    assert msgspec.json.decode(document, type=dict[str, RouteState]) == {MARKET: router.state}
    older: Mapping[str, object] = {"sequences": [1], "numbered_since": 5}
    assert msgspec.json.decode(msgspec.json.encode(older), type=RouteState) == RouteState(
        sequences=(1,), numbered_since=5
    )
