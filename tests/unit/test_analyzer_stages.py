"""Which layout to work in, who is responsible for what, and when it is over: for one feed and for several."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.analyzer.passage import Admission, Passage
from scanplane.analyzer.positions import Position, Positions, Verdict
from scanplane.analyzer.stages import (
    SavedPartition,
    Stage,
    begin_positions,
    current_stage,
    feeds_awaited,
    is_over,
    may_be_left,
    shares_of,
)
from scanplane.marketdata.batches import BatchHeader
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.layouts import Path, Paths, Seal, Stay
from scanplane.marketdata.partitions import Partition

A, B = "first", "second"
BOTH = frozenset({A, B})


def path(*stays: tuple[int, int]) -> Path:
    """Stays as (partitions, since); all but the last are sealed."""
    last = len(stays) - 1
    return tuple(
        Stay(
            partitions=partitions,
            since=since,
            time_to_live_ns=5,
            max_bytes=100,
            seal=None if index == last else Seal(since, (9,) * partitions),
        )
        for index, (partitions, since) in enumerate(stays)
    )


def at(since: int, *, sealed: bool = False, sequence: int = 3) -> Position:
    return Position(since, sequence, since, since, sealed)


def saved(stage: int, count: int, **marks: Position) -> dict[Partition, SavedPartition]:
    return {Partition(index, count): SavedPartition(stage=stage, positions=marks) for index in range(count)}


@pytest.mark.parametrize(
    ("analyzer", "partitions", "indexes"),
    [
        (Partition(0, 1), 1, [0]),
        (Partition(0, 1), 4, [0, 1, 2, 3]),
        (Partition(0, 4), 1, [0]),
        (Partition(3, 4), 1, []),
        (Partition(1, 2), 5, [1, 3]),
        (Partition(2, 3), 2, []),
        (Partition(2, 4), 4, [2]),
    ],
)
def test_every_partition_of_a_layout_falls_to_one_analyzer(
    analyzer: Partition, partitions: int, indexes: list[int]
) -> None:
    stage = Stage(number=1, partitions=partitions)
    assert [share.index for share in shares_of(stage, analyzer)] == indexes
    everybody = [shares_of(stage, Partition(index, analyzer.count)) for index in range(analyzer.count)]
    assert sorted(share for shares in everybody for share in shares) == stage.members


@pytest.mark.parametrize(
    ("partitions", "marks", "paths", "awaited"),
    [
        pytest.param(1, {}, {}, [], id="nothing is known of anybody"),
        pytest.param(1, {}, {A: path((1, 10))}, [A], id="it was not heard yet, and is here"),
        pytest.param(1, {A: at(10)}, {A: path((1, 10))}, [A], id="it has not left"),
        pytest.param(1, {A: at(10)}, {A: path((1, 10), (4, 20))}, [A], id="it has left, and its seal is to come"),
        pytest.param(1, {A: at(10, sealed=True)}, {A: path((1, 10), (4, 20))}, [], id="it is sealed"),
        pytest.param(
            1, {A: at(10, sealed=True), B: at(11)}, {A: path((1, 10), (4, 20)), B: path((1, 11))}, [B], id="one of two"
        ),
        pytest.param(
            1,
            {A: at(10, sealed=True), B: at(11)},
            {A: path((1, 10), (2, 20), (1, 30)), B: path((1, 11))},
            [],
            id="one stays while the other went and came back",
        ),
        pytest.param(
            1,
            {A: at(10, sealed=True), B: at(11)},
            {A: path((1, 10), (2, 20), (1, 30)), B: path((1, 11), (2, 25))},
            [B],
            id="both left and one came back",
        ),
        pytest.param(2, {A: at(10)}, {A: path((1, 10), (2, 20))}, [], id="it is still elsewhere"),
        pytest.param(1, {"gone": at(5)}, {"gone": path((1, 5))}, [], id="nobody subscribes to it any more"),
    ],
)
def test_whose_seal_is_waited_for(
    partitions: int, marks: Mapping[str, Position], paths: Paths, awaited: list[str]
) -> None:
    assert list(feeds_awaited(partitions, marks, paths, BOTH)) == awaited


@pytest.mark.parametrize(
    ("marks", "over"),
    [
        ({}, False),
        ({A: at(10)}, False),
        ({A: at(10, sealed=True)}, False),
        ({A: at(10, sealed=True), B: at(11, sealed=True)}, True),
    ],
)
def test_a_layout_is_over_when_everybody_who_is_in_it_has_left(marks: Mapping[str, Position], over: bool) -> None:  # noqa: FBT001
    paths = {A: path((1, 10), (4, 20)), B: path((1, 11), (4, 21))}
    assert is_over(1, marks, paths, BOTH) is over


ONCE = {A: path((1, 10), (4, 20))}


@pytest.mark.parametrize(
    ("states", "paths", "target", "expected"),
    [
        pytest.param({}, {}, 4, (0, 4, 0), id="first start"),
        pytest.param({}, {A: path((1, 10))}, 4, (0, 1, 0), id="changed before anything was saved"),
        pytest.param(saved(0, 1, first=at(10)), {A: path((1, 10))}, 1, (0, 1, 0), id="restart"),
        pytest.param(saved(0, 1, first=at(10)), {A: path((1, 10))}, 4, (0, 1, 0), id="the old is to be emptied"),
        pytest.param(saved(0, 1, first=at(10)), ONCE, 4, (0, 1, 0), id="its seal is to come"),
        pytest.param(saved(0, 1, first=at(10, sealed=True)), ONCE, 4, (1, 4, 1), id="the old is empty"),
        pytest.param(saved(0, 1, first=at(10, sealed=True)), ONCE, 1, (1, 4, 1), id="the listener went first"),
        pytest.param(
            saved(0, 1, first=at(10, sealed=True)) | {Partition(2, 4): SavedPartition(stage=1, positions={A: at(20)})},
            ONCE,
            4,
            (1, 4, 1),
            id="one has begun",
        ),
        pytest.param(
            saved(0, 1, first=at(10, sealed=True)),
            {A: path((1, 10), (2, 20), (4, 30))},
            4,
            (1, 2, 1),
            id="a layout in between that never got going",
        ),
        pytest.param(
            saved(0, 1, first=at(10, sealed=True)) | saved(1, 2, first=at(20, sealed=True)),
            {A: path((1, 10), (2, 20), (1, 30))},
            1,
            (2, 1, 2),
            id="and back",
        ),
        pytest.param(
            {Partition(0, 2): SavedPartition(stage=3, positions={A: at(20, sealed=True)})}
            | {Partition(1, 2): SavedPartition(stage=3, positions={A: at(20)})},
            {A: path((2, 20), (1, 30))},
            1,
            (3, 2, 0),
            id="one partition is empty and the other is not",
        ),
    ],
)
def test_the_stage_to_work_in(
    states: dict[Partition, SavedPartition], paths: Paths, target: int, expected: tuple[int, int, int]
) -> None:
    stage = current_stage(states, paths, frozenset({A}), target)
    assert (stage.number, stage.partitions, len(stage.sources)) == expected


def test_a_stage_that_nobody_has_left_is_not_watched() -> None:
    final = Stage(number=1, partitions=4)
    assert not may_be_left(final, {A: at(20)}, ONCE, 4)
    assert may_be_left(final, {A: at(20)}, {A: path((1, 10), (4, 20), (2, 30))}, 4)
    assert may_be_left(Stage(number=0, partitions=1), {A: at(10)}, {A: path((1, 10))}, 4)


def test_a_new_layout_is_counted_from_its_beginning_and_a_feed_that_stayed_goes_on() -> None:
    paths = {A: path((1, 10), (2, 20), (1, 30)), B: path((1, 11))}
    second = begin_positions(Stage(number=1, partitions=2), [{A: at(10, sealed=True), B: at(11)}], {}, paths)
    assert second[A] == Position(0, -1, 20, 20)
    assert (second[B].layout_since, second[B].sealed) == (11, False)
    third = begin_positions(
        Stage(number=2, partitions=1),
        [second | {A: at(20, sealed=True)}] * 2,
        {A: at(10, sealed=True), B: at(11, sequence=77)},
        paths,
    )
    assert third == {A: Position(0, -1, 30, 30), B: at(11, sequence=77)}


# --- a model: whatever feeds do and however often analyzers are killed, every batch is applied once and in its feed's order ---


class Model:
    """A market's queues and saved states, listeners that publish, and analyzers that live for a moment at a time."""

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}
        self.queues: dict[Partition, list[BatchHeader]] = defaultdict(list)
        self.saved: dict[Partition, SavedPartition] = {}
        self.applied: list[tuple[str, int, int, int]] = []
        self.published: list[tuple[str, int, int, int]] = []
        self._clock = 0
        self._next: dict[tuple[str, int, int], int] = defaultdict(int)

    def change(self, feed: str, partitions: int) -> None:
        """Let *feed* go to another number of partitions."""
        self._clock += 1
        before = self.paths.get(feed, ())
        if before and before[-1].partitions == partitions:
            return
        if before:
            last = before[-1]
            numbers = tuple(self._number(feed, last, index) for index in range(last.partitions))
            before = (
                *before[:-1],
                Stay(
                    **{name: getattr(last, name) for name in last.__struct_fields__[:-1]},
                    seal=Seal(last.since, numbers),
                ),
            )
            for index, sequence in enumerate(numbers):
                self.queues[Partition(index, last.partitions)].append(
                    self._header(feed, last, index, sequence, seal=True)
                )
        stay = Stay(partitions=partitions, since=self._clock, time_to_live_ns=5, max_bytes=100)
        self.paths[feed] = (*before, stay)

    def publish(self, feed: str) -> None:
        """Publish one batch to every partition that *feed* is in."""
        if not self.paths.get(feed):
            return
        stay = self.paths[feed][-1]
        for index in range(stay.partitions):
            header = self._header(feed, stay, index, self._number(feed, stay, index), seal=False)
            self.queues[header.partition].append(header)
            self.published.append((feed, stay.since, index, header.sequence))

    def _number(self, feed: str, stay: Stay, index: int) -> int:
        number = self._next[feed, stay.since, index]
        self._next[feed, stay.since, index] += 1
        return number

    def _header(self, feed: str, stay: Stay, index: int, sequence: int, *, seal: bool) -> BatchHeader:
        return BatchHeader(
            feed, "us", Partition(index, stay.partitions), None if seal else Channel.TRADES, stay.since, sequence, 1, 0, 0,
            "", stay.since, 0, stay.since, seal,
        )  # fmt: skip

    def live(self, target: int, most: int) -> bool:
        """Let every analyzer of *target* work; each takes *most* batches at the most. Return whether anything was done."""
        done = False
        stage = current_stage(self.saved, self.paths, BOTH, target)
        for analyzer in range(target):
            for share in shares_of(stage, Partition(analyzer, target)):
                done |= asyncio.run(self._work(stage, share, target, most))
        return done or current_stage(self.saved, self.paths, BOTH, target) != stage

    async def _work(self, stage: Stage, partition: Partition, target: int, most: int) -> bool:
        own = self.saved.get(partition)
        begins = own is None or own.stage < stage.number
        if begins and stage.sources:
            sources = [self.saved[source].positions for source in stage.sources]
            marks = begin_positions(stage, sources, {} if own is None else own.positions, self.paths)
        else:
            marks = {} if own is None else dict(own.positions)
        positions = Positions(marks)

        async def paths() -> Paths:
            return self.paths

        passage = Passage(stage, partition.index, positions, BOTH, target, paths)
        passage.judge(self.paths)
        kept: list[BatchHeader] = []
        queue = self.queues[partition]
        taken = 0
        while queue and taken < most and not passage.over:
            header = queue.pop(0)
            admission = await passage.admit(header)
            if kept or admission is Admission.SET_ASIDE:
                kept.append(header)  # not acknowledged: it comes again, and is known by then
            if admission is Admission.SET_ASIDE:
                continue
            taken += 1
            if admission is Admission.LET_IN and positions.judge(header) is Verdict.NEXT:
                if header.is_seal:
                    await passage.look()
                else:
                    self.applied.append((header.feed, header.layout_since, partition.index, header.sequence))
        self.queues[partition] = kept + queue
        assert positions.counts.missing_batches == 0
        self.saved[partition] = SavedPartition(stage=stage.number, positions=dict(positions.by_feed))
        return taken > 0 or begins


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from([A, B]), st.integers(1, 3)),
        st.tuples(st.just("publish"), st.sampled_from([A, B]), st.just(0)),
        st.tuples(st.just("live"), st.integers(1, 3), st.integers(1, 4)),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(first=st.integers(1, 3), actions=ACTIONS, last=st.integers(1, 3))
def test_every_batch_is_applied_once_and_in_order_whatever_happens(
    first: int, actions: list[tuple[str, str, int]], last: int
) -> None:
    model = Model()
    for feed in (A, B):
        model.change(feed, first)
    for kind, *arguments in actions:
        getattr(model, kind)(*arguments[: 1 if kind == "publish" else 2])
    for feed in (A, B):
        model.change(feed, last)
        model.publish(feed)
    for _ in range(200):
        if not model.live(last, 5):
            break
    assert sorted(model.applied) == sorted(model.published)
    for feed in (A, B):
        stays = [since for name, since, _, _ in model.applied if name == feed]
        assert stays == sorted(stays)
