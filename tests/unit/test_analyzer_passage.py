"""What one partition does with a batch that it did not expect, and with a seal that does not come."""

import pytest

from scanplane.analyzer.passage import Admission, Passage
from scanplane.analyzer.positions import Position, Positions
from scanplane.analyzer.stages import Stage
from scanplane.marketdata.batches import BatchHeader
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.layouts import Path, Paths, Seal, Stay
from scanplane.marketdata.partitions import Partition

FEED = "massive"


def stay(partitions: int, since: int, sealed_at: int | None = None) -> Stay:
    seal = None if sealed_at is None else Seal(since, (sealed_at,) * partitions)
    return Stay(partitions=partitions, since=since, time_to_live_ns=5, max_bytes=100, seal=seal)


def batch(since: int, sequence: int = 0, feed: str = FEED) -> BatchHeader:
    return BatchHeader(
        feed, "us", Partition(0, 1), Channel.TRADES, since, sequence, 1, 0, 0, "", since, 0, since, is_seal=False
    )


class Cache:
    """Where paths are read, and how often."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reads = 0

    async def read(self) -> Paths:
        self.reads += 1
        return {FEED: self.path} if self.path else {}


def a_passage(
    cache: Cache, marks: dict[str, Position], *, target: int = 1, number: int = 1
) -> tuple[Passage, Positions]:
    positions = Positions(marks)
    stage = Stage(number=number, partitions=1)
    return Passage(stage, 0, positions, {FEED}, target, cache.read), positions


async def test_what_is_expected_asks_nobody() -> None:
    cache = Cache((stay(1, 7),))
    passage, _ = a_passage(cache, {FEED: Position(7, 3, 7, 7)})
    assert [await passage.admit(batch(since)) for since in (7, 6)] == [Admission.LET_IN, Admission.KNOWN]
    assert cache.reads == 0


async def test_a_feed_that_is_new_is_let_in_and_asked_about_once() -> None:
    cache = Cache((stay(1, 7),))
    passage, positions = a_passage(cache, {})
    assert await passage.admit(batch(7)) is Admission.LET_IN
    assert await passage.admit(batch(7, 1)) is Admission.LET_IN
    assert (cache.reads, positions.by_feed[FEED].layout_since) == (1, 7)


async def test_a_feed_that_began_elsewhere_before_anybody_listened_ends_a_first_stage() -> None:
    passage, _ = a_passage(Cache((stay(4, 6, 9), stay(1, 7))), {}, number=0)
    assert await passage.admit(batch(7)) is Admission.SET_ASIDE
    assert passage.over


async def test_a_path_that_was_lost_and_begun_anew_in_the_same_number_changes_nothing() -> None:
    passage, positions = a_passage(Cache((stay(1, 9),)), {FEED: Position(7, 3, 7, 7)})
    assert await passage.admit(batch(9)) is Admission.LET_IN
    assert positions.by_feed[FEED] == Position(7, 3, 7, 9)
    assert not passage.over


async def test_what_comes_back_before_its_seal_was_seen_ends_the_stage_and_is_set_aside() -> None:
    cache = Cache((stay(1, 7, 6), stay(4, 8, 1), stay(1, 9)))
    passage, positions = a_passage(cache, {FEED: Position(7, 3, 7, 7)})
    assert [await passage.admit(batch(9, number)) for number in range(50)] == [Admission.SET_ASIDE] * 50
    assert passage.over
    assert (positions.counts.lost_seals, positions.counts.missing_batches) == (1, 2)
    assert cache.reads < 5


@pytest.mark.parametrize(
    ("path", "marks", "over", "missing"),
    [
        pytest.param((stay(1, 7),), {FEED: Position(7, 3, 7, 7)}, False, 0, id="it has not left"),
        pytest.param((stay(1, 7), stay(4, 8)), {FEED: Position(7, 3, 7, 7)}, False, 0, id="it is about to"),
        pytest.param((stay(1, 7, 4), stay(4, 8)), {FEED: Position(7, 3, 7, 7)}, True, 0, id="it has"),
        pytest.param((stay(1, 7, 9), stay(4, 8)), {FEED: Position(7, 3, 7, 7)}, True, 5, id="and more is lost"),
        pytest.param((stay(1, 7, 4), stay(4, 8)), {}, True, 0, id="it was never heard here"),
        pytest.param((stay(4, 8),), {FEED: Position(7, 3, 7, 7)}, True, 0, id="its path was lost too"),
        pytest.param((), {FEED: Position(7, 3, 7, 7)}, False, 0, id="nothing is known of it"),
        pytest.param((), {"gone": Position(7, 3, 7, 7)}, True, 0, id="nobody subscribes to it any more"),
    ],
)
async def test_what_is_given_up_where_nothing_waits_at_the_broker(
    path: Path,
    marks: dict[str, Position],
    over: bool,  # noqa: FBT001
    missing: int,
) -> None:
    passage, positions = a_passage(Cache(path), marks, target=4)
    await passage.look()
    assert not passage.over
    await passage.give_up_seals()
    assert passage.over is over
    assert positions.counts.missing_batches == missing
