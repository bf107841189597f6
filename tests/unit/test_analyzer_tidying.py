"""What an old layout left is removed when the new one works by itself, and not before."""

import time

import msgspec
import pytest

from scanplane.analyzer.consumption import POSITIONS_FIELD, STAGE_FIELD
from scanplane.analyzer.positions import Position, Positions
from scanplane.analyzer.stages import StageMark
from scanplane.analyzer.survey import Survey
from scanplane.analyzer.tidying import KEPT_SIGNALS_S, Tidying
from scanplane.cache import keys
from scanplane.cache.interface import Entry, Write
from scanplane.cache.memory import MemoryCache
from scanplane.marketdata.layouts import Path, Stay, encode_path
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import Stream
from scanplane.telemetry.status import Phase, RoleStatus
from support.engine_market import a_configuration

FEED = "massive"
CONFIGURATION = msgspec.structs.replace(
    a_configuration(partition=Partition(0, 1)),
    streams=(Stream(feed=FEED, channels=(), stamps_ticks=True, stale_after_ns=0),),
)
MARKET = CONFIGURATION.market


def stay(partitions: int, since: int) -> Stay:
    return Stay(partitions=partitions, since=since, time_to_live_ns=5, max_bytes=100)


class Scene:
    """A market that went from two partitions to one."""

    def __init__(self) -> None:
        self.cache = MemoryCache()
        self.space = CONFIGURATION.services.namespace
        self.tidying = Tidying(CONFIGURATION, self.cache, Survey(CONFIGURATION, self.cache))

    async def write_path(self, path: Path, feed: str = FEED) -> None:
        rows = {keys.paths(self.space, MARKET): {feed: encode_path(path)}}
        await self.cache.write(Write(fence_key="fence", generation=1, table_rows=rows))

    async def save(self, partition: Partition, stage: int, position: Position, *, is_settled: bool) -> None:
        fields = {
            POSITIONS_FIELD: Positions({FEED: position}).encode(),
            STAGE_FIELD: msgspec.msgpack.encode(StageMark(stage, is_settled, 5, 100)),
        }
        await self.cache.save_state(keys.state(self.space, MARKET, partition), 1, fields)
        board = keys.board(self.space, MARKET, "volume", partition)
        entries = {keys.signals(self.space, MARKET, partition): [Entry((1, 1), b"{}")]}
        await self.cache.write(Write(fence_key="fence", generation=1, values={board: b"{}"}, entries=entries))

    async def write_status(self, index: int, phase: Phase, updated_ns: int) -> None:
        status = RoleStatus(
            role="analyzer", instance="", configuration="", phase=phase, version="", started_ns=0, updated_ns=updated_ns
        )
        key = keys.status(self.space, f"analyzer-{MARKET}-{index}")
        await self.cache.write(Write(fence_key="fence", generation=1, values={key: msgspec.json.encode(status)}))

    async def left(self) -> list[str]:
        found = await self.cache.list_keys(keys.boards_prefix(self.space, MARKET))
        return [key.rpartition(":")[2] for key in found]

    async def states(self) -> list[bool]:
        partitions = [Partition(0, 2), Partition(1, 2), Partition(0, 1)]
        return [bool(await self.cache.read_state(keys.state(self.space, MARKET, each))) for each in partitions]


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.write_path((stay(2, 10), stay(1, 20)))
    for index in range(2):
        await scene.save(Partition(index, 2), 0, Position(10, 5, 10, 10, sealed=True), is_settled=True)
    return scene


async def test_nothing_goes_before_the_new_layout_has_evaluated_and_saved(scene: Scene) -> None:
    assert not await scene.tidying.run_once()
    await scene.save(Partition(0, 1), 1, Position(0, -1, 20, 20), is_settled=False)
    assert not await scene.tidying.run_once()
    assert await scene.left() == ["0-of-1", "0-of-2", "1-of-2"]
    assert await scene.states() == [True, True, True]


async def test_then_states_and_boards_go_and_signals_stay_for_a_day(scene: Scene) -> None:
    await scene.save(Partition(0, 1), 1, Position(20, 3, 20, 20), is_settled=True)
    assert await scene.tidying.run_once()
    assert await scene.left() == ["0-of-1"]
    assert await scene.states() == [False, False, True]
    assert len(await scene.cache.list_keys(keys.signals_prefix(scene.space, MARKET))) == 3
    expiring = {key.rpartition(":")[2]: at - time.monotonic() for key, at in scene.cache._expiries.items()}
    assert sorted(expiring) == ["0-of-2", "1-of-2"]
    assert all(KEPT_SIGNALS_S - 60 < seconds <= KEPT_SIGNALS_S for seconds in expiring.values())
    assert await scene.tidying.run_once(), "again there is nothing to do"
    assert {key.rpartition(":")[2] for key in scene.cache._expiries} == {"0-of-2", "1-of-2"}


async def test_a_feed_that_is_elsewhere_keeps_everything_and_one_that_nobody_reads_does_not(scene: Scene) -> None:
    await scene.save(Partition(0, 1), 1, Position(20, 3, 20, 20), is_settled=True)
    await scene.write_path((stay(2, 10), stay(1, 20), stay(2, 30)))
    assert not await scene.tidying.run_once()
    assert await scene.states() == [True, True, True]
    await scene.write_path((stay(2, 10), stay(1, 20)))
    await scene.write_path((stay(2, 11),), feed="gone")
    assert await scene.tidying.run_once()
    assert await scene.states() == [False, False, True]


async def test_the_figures_of_an_analyzer_go_when_it_has_ended(scene: Scene) -> None:
    await scene.save(Partition(0, 1), 1, Position(20, 3, 20, 20), is_settled=True)
    key = keys.status(scene.space, f"analyzer-{MARKET}-1")
    await scene.write_status(1, Phase.ACTIVE, time.time_ns())
    assert not await scene.tidying.run_once()
    assert (await scene.cache.read_values([key]))[0] is not None
    await scene.write_status(1, Phase.STOPPED, time.time_ns())
    assert await scene.tidying.run_once()
    assert await scene.cache.read_values([key]) == [None]
    await scene.write_status(1, Phase.ACTIVE, 7)  # killed, and not heard of since
    assert await scene.tidying.run_once()
    assert await scene.cache.read_values([key]) == [None]


async def test_a_market_that_never_changed_has_nothing_to_tidy() -> None:
    scene = Scene()
    await scene.write_path((stay(1, 10),))
    assert await scene.tidying.run_once()
