"""At least once in delivery, exactly once in processing."""

from hypothesis import given
from hypothesis import strategies as st

from scanplane.analyzer.positions import Positions, Verdict
from scanplane.marketdata.batches import BatchHeader
from scanplane.marketdata.channels import Channel
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
