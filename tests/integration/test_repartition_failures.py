"""What is lost while the number of partitions changes is counted and shown, and nobody waits for it for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from scanplane.broker.memory import MemoryQueue
from scanplane.cache import keys
from scanplane.gateway.merge import Board
from scanplane.gateway.view import View
from scanplane.marketdata.batches import Batch
from scanplane.marketdata.results import BoardPart
from scanplane.simulator.server import Simulator
from scanplane.simulator.sessions.choice import choose_session
from scanplane.simulator.settings import SimulatorSettings
from support.repartitioned import MARKET, NAMESPACE, AHome, at_home, until
from support.resource_texts import a_board, massive_feed, pipeline

EVENTS = 20_000
SETTINGS = SimulatorSettings(speed=16000.0, frame_events=(1, 100), max_buffer_bytes=2**30)


def resources(url: str, partitions: int, time_to_live: str = "10m") -> str:
    board = a_board("volume", "volume", ("price", "volume"))
    text = pipeline(massive_feed(url), ["SecondAggregates"], [board], interval="60s", partitions=partitions)
    return text.replace("timeToLive: 10m", f"timeToLive: {time_to_live}")


@asynccontextmanager
async def a_market() -> AsyncIterator[tuple[AHome, Simulator]]:
    """A market of one partition in mid-session."""
    async with at_home(choose_session("market", events=EVENTS), SETTINGS) as (home, (simulator,)):
        await home.apply(resources(simulator.url, 1))
        await until(lambda: simulator.events >= EVENTS // 20, "the middle")
        yield home, simulator


async def to_the_end(home: AHome, simulator: Simulator) -> None:
    """Wait until every event that was heard is behind a board."""
    await until(simulator.finished.is_set, "the end")
    await until(
        lambda: home.total("events_total", "analyzer") == home.total("events_total", "listener"),
        f"every event: {home.problems()}",
    )


async def test_a_seal_that_the_broker_lost_is_counted_and_the_market_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    put = MemoryQueue.put

    def lose_seals(queue: MemoryQueue, batch: Batch) -> None:
        if not batch.header.is_seal:
            put(queue, batch)

    async with a_market() as (home, simulator):
        monkeypatch.setattr(MemoryQueue, "put", lose_seals)
        await home.apply(resources(simulator.url, 2))
        await to_the_end(home, simulator)
        assert home.total("lost_seals_total") == 1
        assert home.total("missing_batches_total") == 0, "nothing was lost before it, by its number"


async def test_a_listener_that_does_not_follow_is_waited_for_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanplane.analyzer.role.PATIENCE_S", 0.1)
    async with a_market() as (home, simulator):
        await home.apply(resources(simulator.url, 2), only="analyzer")
        await until(lambda: "analyzer-us-stocks-1" in home.problems(), "a problem")
        assert home.problems()["analyzer-us-stocks-1"] == (
            "analyzer-us-stocks-1 waits until simulated has left 0-of-1 of us-stocks",
        )
        assert home.supervisor.roles["analyzer-us-stocks-1"].standby.is_set()
        await home.apply(resources(simulator.url, 2))
        await until(lambda: home.problems() == {}, "the end of the problem")
        await to_the_end(home, simulator)
        assert home.total("missing_batches_total") == home.total("lost_seals_total") == 0


async def test_other_limits_at_the_same_time_change_nothing() -> None:
    async with a_market() as (home, simulator):
        await home.apply(resources(simulator.url, 3, "5m"))
        await to_the_end(home, simulator)
        for figure in ("missing_batches_total", "lost_seals_total", "lost_states_total", "repeated_batches_total"):
            assert home.total(figure) == 0, figure


async def test_a_cache_that_lost_everything_is_noticed_and_the_market_goes_on() -> None:
    async with a_market() as (home, simulator):
        await home.supervisor.apply({})
        cache = home.cache
        await cache.delete([*cache._states, *cache._tables, *cache._values, *cache._streams])
        await home.apply(resources(simulator.url, 2))
        await until(simulator.finished.is_set, "the end")
        heard = home.total("events_total", "listener")
        await until(lambda: home.total("events_total", "analyzer") == heard, f"every event: {home.problems()}")
        assert home.total("missing_batches_total") > 0
        assert home.total("lost_states_total") > 0
        said = {problem for problems in home.problems().values() for problem in problems}
        assert all("begins in the middle" in problem or "began in mid-session" in problem for problem in said)


async def test_people_see_whole_boards_of_one_layout_at_every_moment() -> None:
    seen: list[Board] = []

    async def watch(home: AHome) -> None:
        view, prefix = View(), keys.boards_prefix(NAMESPACE, MARKET)
        async with home.cache.follow([prefix]) as updates:
            async for update in updates:
                view.put_part(msgspec.json.decode(update.value, type=BoardPart))
                board = view.board((MARKET, "volume"))
                assert board is not None
                seen.append(board)

    async with a_market() as (home, simulator):
        watching = asyncio.create_task(watch(home))
        await until(lambda: len(seen) > 3, "boards")
        for partitions in (3, 2):
            await home.apply(resources(simulator.url, partitions))
            await until(lambda count=partitions: seen[-1].partitions == count, f"{partitions} parts")  # type: ignore[misc]
        assert not simulator.finished.is_set()
        await to_the_end(home, simulator)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert list(dict.fromkeys(board.partitions for board in seen)) == [1, 3, 2]
    for board in seen:
        assert board.partitions_present == board.partitions
        symbols = [row.symbol for row in board.rows]
        assert symbols
        assert len(symbols) == len(set(symbols))
    volumes = [sum(row.rank_value for row in board.rows) for board in seen]
    assert volumes == sorted(volumes), "a board went back"
