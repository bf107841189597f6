"""At least once in delivery, exactly once in processing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanplane.analyzer.positions import Position, Positions, Relation, Verdict
from scanplane.marketdata.batches import BatchHeader
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.layouts import Seal
from scanplane.marketdata.partitions import Partition


def header(
    epoch: int, sequence: int, feed: str = "massive", *, since: int | None = None, first: int = 0
) -> BatchHeader:
    since = epoch if since is None else since
    return BatchHeader(feed, "us-stocks", Partition(0, 1), Channel.TRADES, epoch, sequence, 1, 0, 0, "", since, first)


def test_consecutive_batches_are_next_and_a_gap_is_counted() -> None:
    positions = Positions()
    assert [positions.judge(header(1, each)) for each in (0, 1, 5)] == [Verdict.NEXT] * 3
    assert positions.counts.missing_batches == 3


def test_a_repeat_is_told_from_an_outdated_producer() -> None:
    positions = Positions()
    positions.judge(header(2, 0))
    assert positions.judge(header(2, 0)) is Verdict.REPEATED
    assert positions.judge(header(1, 99)) is Verdict.OUTDATED
    assert positions.judge(header(3, 0)) is Verdict.NEXT
    assert positions.counts.handovers == 1


def test_what_was_lost_between_two_listeners_is_counted_where_the_second_counts_on() -> None:
    positions = Positions()
    for sequence in range(5):
        positions.judge(header(1, sequence))
    assert positions.judge(header(2, 9, since=1, first=8)) is Verdict.NEXT
    assert positions.counts.missing_batches == 4
    assert positions.judge(header(2, 10, since=1, first=8)) is Verdict.NEXT
    assert positions.counts.missing_batches == 4


def test_a_listener_that_begins_to_count_anew_misses_only_what_is_missing_of_itself() -> None:
    positions = Positions()
    for sequence in range(5):
        positions.judge(header(1, sequence))
    positions.judge(header(2, 1))
    positions.judge(header(3, 12, since=1, first=10))
    assert positions.counts.missing_batches == 1 + 2


def test_whoever_comes_in_the_middle_misses_nothing_of_the_listeners_before() -> None:
    positions = Positions()
    positions.judge(header(3, 50, since=1, first=50))
    assert positions.counts.missing_batches == 0


def test_feeds_are_followed_apart() -> None:
    positions = Positions()
    assert positions.judge(header(1, 0, "one")) is Verdict.NEXT
    assert positions.judge(header(1, 0, "two")) is Verdict.NEXT


@given(st.integers(0, 30), st.integers(0, 30))
def test_after_a_crash_everything_is_applied_once_wherever_it_was_saved(saved_at: int, crashed_at: int) -> None:
    positions, applied, saved, kept = Positions(), [], Positions().encode(), 0
    for sequence in range(31):
        if positions.judge(header(1, sequence)) is Verdict.NEXT:
            applied.append(sequence)
        if sequence == saved_at:
            saved, kept = positions.encode(), len(applied)
        if sequence == crashed_at:
            break
    applied = applied[:kept]
    restored = Positions(saved)
    applied += [sequence for sequence in range(31) if restored.judge(header(1, sequence)) is Verdict.NEXT]
    assert applied == list(range(31))
    assert restored.counts.missing_batches == 0


# --- layouts ---


def staying(since: int, sequence: int, *, seal: bool = False, epoch: int | None = None) -> BatchHeader:
    """A batch of the stay that began at *since*."""
    made = header(since if epoch is None else epoch, sequence, since=since)
    return msgspec.structs.replace(made, layout_since=since, is_seal=seal)


@pytest.mark.parametrize(
    ("batch", "relation"),
    [
        (staying(7, 5), Relation.HERE),
        (staying(7, 5, seal=True), Relation.HERE),
        (staying(6, 5), Relation.PAST),
        (staying(8, 0), Relation.AHEAD),
        (header(7, 5, "another"), Relation.UNKNOWN),
    ],
)
def test_a_batch_is_of_the_stay_that_its_feed_is_in_or_of_another(batch: BatchHeader, relation: Relation) -> None:
    positions = Positions({"massive": Position(7, 4, 7, 7)})
    assert positions.relate(batch) is relation


def test_behind_its_seal_nothing_of_a_stay_counts_and_the_next_stay_is_ahead() -> None:
    positions = Positions({"massive": Position(7, 4, 7, 7)})
    assert positions.judge(staying(7, 5, seal=True)) is Verdict.NEXT
    assert positions.by_feed["massive"].sealed
    assert positions.relate(staying(7, 6)) is Relation.PAST
    assert positions.relate(staying(7, 0, seal=True, epoch=9)) is Relation.PAST, "sealed again after a kill"
    assert positions.relate(staying(9, 0)) is Relation.AHEAD
    assert Positions(positions.encode()).by_feed == positions.by_feed


def test_what_is_missing_before_a_seal_is_counted_whether_the_seal_comes_or_not() -> None:
    came, lost = (Positions({"massive": Position(7, 4, 7, 7)}) for _ in range(2))
    came.judge(staying(7, 8, seal=True))
    lost.lose_seal("massive", Seal(7, (99, 8)), partition=1)
    assert came.counts.missing_batches == lost.counts.missing_batches == 3
    assert (came.counts.lost_seals, lost.counts.lost_seals) == (0, 1)
    assert came.by_feed["massive"].sealed
    assert lost.by_feed["massive"].sealed


def test_a_seal_that_was_numbered_anew_after_a_kill_says_nothing_of_what_is_missing() -> None:
    positions = Positions({"massive": Position(7, 4, 7, 7)})
    positions.lose_seal("massive", Seal(9, (0,)))
    assert (positions.counts.missing_batches, positions.counts.lost_seals) == (0, 1)


def test_the_first_batches_of_a_new_layout_are_missed_where_they_do_not_come() -> None:
    positions = Positions({"massive": Position(0, -1, 9, 9)})
    assert positions.judge(staying(9, 2)) is Verdict.NEXT
    assert (positions.counts.missing_batches, positions.counts.unknown_beginnings) == (2, 1)
    assert positions.counts.handovers == 0


def test_a_feed_that_is_met_in_the_middle_of_its_count_has_an_unknown_beginning() -> None:
    positions = Positions()
    batch = msgspec.structs.replace(header(3, 50, since=1, first=50), layout_since=1)
    positions.meet(batch)
    assert positions.judge(batch) is Verdict.NEXT
    assert (positions.counts.missing_batches, positions.counts.unknown_beginnings) == (0, 1)
    met = Positions()
    met.meet(staying(7, 0))
    assert met.judge(staying(7, 0)) is Verdict.NEXT
    assert (met.counts.missing_batches, met.counts.unknown_beginnings) == (0, 0)


def test_positions_that_were_saved_before_there_were_layouts_are_read() -> None:
    older = msgspec.msgpack.encode({"massive": [7, 4, 7]})
    assert Positions(older).by_feed == {"massive": Position(7, 4, 7)}
