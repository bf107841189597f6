import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scanplane.gateway.merge import PartitionNameError, merge_parts, parse_partition, select_parts
from scanplane.marketdata.partitions import Partition, partition_of
from scanplane.marketdata.results import BoardPart
from support.gateway import SECOND_NS, TICK_NS, part_of

SYMBOLS = st.text(alphabet="ABCDEFG", min_size=1, max_size=3)
UNIVERSES = st.dictionaries(SYMBOLS, st.integers(-3, 3).map(float), max_size=40)


def parts_of(universe: dict[str, float], count: int, *, descending: bool, limit: int) -> list[BoardPart]:
    """What *count* analyzers write of one universe: each the best rows of its own symbols."""
    parts = []
    for index in range(count):
        own = [(symbol, value) for symbol, value in universe.items() if partition_of(symbol, count) == index]
        own.sort(key=lambda row: (-row[1] if descending else row[1], row[0]))
        part = part_of(
            rows=own[:limit], partition=f"{index}-of-{count}", limit=limit, descending=descending, evaluated_ns=1
        )
        parts.append(part)
    return parts


@given(universe=UNIVERSES, count=st.integers(1, 5), descending=st.booleans(), limit=st.integers(1, 20))
def test_merged_partitions_show_what_one_partition_would(
    *, universe: dict[str, float], count: int, descending: bool, limit: int
) -> None:
    merged = merge_parts(parts_of(universe, count, descending=descending, limit=limit), count)
    alone = merge_parts(parts_of(universe, 1, descending=descending, limit=limit), 1)
    assert merged.rows == alone.rows
    assert merged.complete


def test_ties_are_broken_by_symbol() -> None:
    one = part_of(rows=[("ZZZ", 5.0), ("BBB", 5.0)][::-1], partition="0-of-2")
    other = part_of(rows=[("AAA", 5.0), ("CCC", 4.0)], partition="1-of-2")
    assert [row.symbol for row in merge_parts([one, other], 2).rows] == ["AAA", "BBB", "ZZZ", "CCC"]


def test_matches_are_summed_and_rows_limited() -> None:
    one = part_of(rows=[("A", 3.0), ("B", 1.0)], partition="0-of-2", limit=2)
    other = part_of(rows=[("C", 2.0)], partition="1-of-2", limit=2)
    board = merge_parts([one, other], 2)
    assert board.matches == 3
    assert [row.symbol for row in board.rows] == ["A", "C"]


def test_a_missing_partition_makes_the_board_incomplete() -> None:
    board = merge_parts([part_of(partition="0-of-2")], 2)
    assert not board.complete
    assert (board.partitions, board.partitions_present) == (2, 1)


def test_partitions_at_different_ticks_are_incomplete_at_the_older_tick() -> None:
    ahead = part_of(partition="0-of-2", tick_ns=TICK_NS + SECOND_NS)
    behind = part_of(partition="1-of-2", tick_ns=TICK_NS)
    board = merge_parts([ahead, behind], 2)
    assert board.tick_ns == TICK_NS
    assert not board.complete
    assert board.partitions_present == 2


def test_a_feed_is_missed_where_every_partition_misses_it() -> None:
    silence = "Feed 'quotes' has sent nothing for 20 s"
    parts = [replace(part_of(partition=f"{index}-of-2"), silence=silence, stale_after_ns=5) for index in range(2)]
    assert (merge_parts(parts, 2).silence, merge_parts(parts, 2).stale_after_ns) == (silence, 5)
    assert merge_parts([parts[0], replace(parts[1], silence="")], 2).silence == ""


def test_parts_of_another_question_are_left_out_until_their_partition_follows() -> None:
    changed = part_of(partition="0-of-2", columns=("volume", "price"), evaluated_ns=2)
    unchanged = part_of(partition="1-of-2", rows=[("OLD", 9.0)], evaluated_ns=1)
    board = merge_parts([changed, unchanged], 2)
    assert board.columns == ("volume", "price")
    assert "OLD" not in [row.symbol for row in board.rows]
    assert not board.complete


def test_a_full_set_is_kept_while_a_new_number_of_partitions_is_starting() -> None:
    old = {1: {0: part_of(partition="0-of-1", evaluated_ns=10 * SECOND_NS)}}
    starting = {2: {0: part_of(partition="0-of-2", evaluated_ns=11 * SECOND_NS)}}
    assert select_parts({**old, **starting})[0] == 1


def test_a_full_new_number_of_partitions_replaces_the_old_one() -> None:
    old = {1: {0: part_of(partition="0-of-1", evaluated_ns=10 * SECOND_NS)}}
    new = {2: {index: part_of(partition=f"{index}-of-2", evaluated_ns=11 * SECOND_NS) for index in range(2)}}
    assert select_parts({**old, **new})[0] == 2


def test_an_old_full_set_does_not_outlive_a_new_one_that_never_fills() -> None:
    old = {1: {0: part_of(partition="0-of-1", evaluated_ns=10 * SECOND_NS)}}
    starting = {2: {0: part_of(partition="0-of-2", evaluated_ns=20 * SECOND_NS)}}
    assert select_parts({**old, **starting})[0] == 2


def test_partitions_are_read_as_they_are_written() -> None:
    assert parse_partition(str(Partition(2, 4))) == Partition(2, 4)


@pytest.mark.parametrize("text", ["", "2", "2-of-", "-of-2", "2-of-2", "a-of-b", "-1-of-2", "1-of-2-of-3"])
def test_what_is_no_partition_is_refused(text: str) -> None:
    with pytest.raises(PartitionNameError, match="one looks like 0-of-2"):
        parse_partition(text)
