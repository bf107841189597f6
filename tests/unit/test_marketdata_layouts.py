"""A feed's path through its market's layouts."""

import pytest

from scanplane.marketdata.layouts import (
    MAX_STAYS,
    Seal,
    Stay,
    decode_path,
    encode_path,
    next_stay,
    stay_at,
    with_seal,
    with_stay,
)


def stay(partitions: int, since: int, *, max_bytes: int = 100, seal: Seal | None = None) -> Stay:
    return Stay(partitions=partitions, since=since, time_to_live_ns=5, max_bytes=max_bytes, seal=seal)


def test_a_new_number_of_partitions_is_a_new_stay_and_the_same_number_is_not() -> None:
    path = with_stay((), stay(1, 10))
    assert with_stay(path, stay(1, 20)) == path
    assert with_stay(path, stay(1, 20, max_bytes=7)) == (stay(1, 10, max_bytes=7),)
    path = with_stay(with_stay(path, stay(4, 30)), stay(1, 40))
    assert [(each.partitions, each.since) for each in path] == [(1, 10), (4, 30), (1, 40)]


def test_a_path_remembers_only_so_many_stays() -> None:
    path = ()
    for since in range(100):
        path = with_stay(path, stay(1 + since % 2, since))  # type: ignore[assignment]
    assert [each.since for each in path] == list(range(100 - MAX_STAYS, 100))  # type: ignore[attr-defined]


def test_a_seal_belongs_to_one_stay_and_is_kept_as_it_was_written() -> None:
    path = (stay(1, 10), stay(4, 20), stay(1, 30))
    sealed = with_seal(path, 20, Seal(20, (7, 8, 9, 10)))
    assert [each.seal for each in sealed] == [None, Seal(20, (7, 8, 9, 10)), None]
    assert decode_path(encode_path(sealed)) == sealed


@pytest.mark.parametrize(
    ("since", "partitions", "expected"),
    [(0, 0, 10), (10, 0, 20), (10, 1, 20), (10, 4, 30), (20, 4, 30), (30, 0, None), (15, 0, 20)],
)
def test_what_comes_after_a_stay(since: int, partitions: int, expected: int | None) -> None:
    found = next_stay((stay(1, 10), stay(4, 20), stay(1, 30)), since, partitions)
    assert (None if found is None else found.since) == expected


def test_a_stay_that_the_path_does_not_know_is_none() -> None:
    assert stay_at((stay(1, 10),), 10) == stay(1, 10)
    assert stay_at((stay(1, 10),), 11) is None
