import pytest

from scanplane.gateway import view as view_module
from scanplane.gateway.view import RECENT_SIGNALS, View
from support.gateway import SECOND_NS, TICK_NS, part_of, signal_of

KEY = ("us-stocks", "gappers")


def test_a_push_that_was_queued_before_the_same_board_was_read_changes_nothing() -> None:
    view = View()
    older, newer = part_of(evaluated_ns=1, tick_ns=1), part_of(evaluated_ns=2, tick_ns=2)
    assert view.put_part(newer, pushed=False)
    assert not view.put_part(older)
    assert not view.put_part(newer)
    assert view.board(KEY).tick_ns == 2  # type: ignore[union-attr]  # it is there


def test_a_recording_that_starts_again_goes_back_in_time() -> None:
    view = View()
    view.put_part(part_of(tick_ns=TICK_NS, evaluated_ns=1), pushed=False)
    assert view.put_part(part_of(tick_ns=TICK_NS - SECOND_NS, evaluated_ns=2))
    assert view.board(KEY).tick_ns == TICK_NS - SECOND_NS  # type: ignore[union-attr]  # it is there


def test_a_board_is_whole_when_all_its_partitions_stand_at_one_tick() -> None:
    view = View()
    view.put_part(part_of(partition="0-of-2"))
    assert not view.is_whole(KEY)
    view.put_part(part_of(partition="1-of-2"))
    assert view.is_whole(KEY)
    view.put_part(part_of(partition="1-of-2", tick_ns=TICK_NS + SECOND_NS))
    assert not view.is_whole(KEY)
    assert not view.is_whole(("us-stocks", "unknown"))


def test_the_number_of_partitions_is_learned_and_can_change() -> None:
    view = View()
    view.put_part(part_of(partition="0-of-1", evaluated_ns=1))
    for index in range(2):
        view.put_part(part_of(partition=f"{index}-of-2", evaluated_ns=2))
    assert view.board(KEY).partitions == 2  # type: ignore[union-attr]  # it is there


def test_a_removed_part_is_dropped_unless_a_new_one_came_meanwhile() -> None:
    view = View()
    removed = part_of(evaluated_ns=1)
    view.put_part(removed)
    view.put_part(part_of(evaluated_ns=2))
    assert not view.drop_part(removed)
    (current,) = view.parts()
    assert view.drop_part(current)
    assert view.board(KEY) is None
    assert view.board_keys() == []


def test_boards_are_bounded_and_what_does_not_fit_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "MAX_BOARDS", 2)
    view = View()
    assert [view.put_part(part_of(name)) for name in "abc"] == [True, True, False]
    assert view.refused == 1


def test_a_signal_that_was_read_and_pushed_is_taken_once() -> None:
    view = View()
    signal = signal_of(1)
    assert view.put_signal("s", (1, 1), signal)
    assert not view.put_signal("s", (1, 1), signal)
    assert len(view.recent_signals(KEY)) == 1


def test_partitions_number_their_signals_for_themselves() -> None:
    view = View()
    assert view.put_signal("one", (1, 1), signal_of(1))
    assert view.put_signal("other", (1, 1), signal_of(1))


def test_the_signals_of_a_recording_that_starts_again_replace_those_of_the_first_time() -> None:
    view = View()
    for number in (1, 2, 3):
        view.put_signal("s", (number, 1), signal_of(number))
    view.put_signal("other", (9, 1), signal_of(9))
    assert view.put_signal("s", (2, 0), signal_of(2))
    assert [recent.entry_id for recent in view.recent_signals(KEY)] == [(9, 1), (2, 0)]
    assert view.position("s") == (2, 0)


def test_a_recording_that_is_played_again_gives_the_same_ids_and_they_are_new() -> None:
    view = View()
    first, again = ([signal_of(number) for number in (1, 2, 3)] for _ in range(2))
    assert all(view.put_signal("s", (number, 1), signal) for number, signal in enumerate(first))
    assert all(view.put_signal("s", (number, 1), signal) for number, signal in enumerate(again))
    assert [recent.signal for recent in view.recent_signals(KEY)] == again
    assert not view.put_signal("s", (1, 1), first[1]), "a push of the first time that comes late"


def test_of_each_scanner_the_newest_signals_are_kept() -> None:
    view = View()
    for number in range(RECENT_SIGNALS + 50):
        view.put_signal("s", (number + 1, 1), signal_of(number))
    recent = view.recent_signals(KEY)
    assert len(recent) == RECENT_SIGNALS
    assert recent[-1].entry_id == (RECENT_SIGNALS + 50, 1)


def test_the_newest_signals_of_all_scanners_come_in_the_order_of_time() -> None:
    view = View()
    view.put_signal("s", (3, 1), signal_of(3, scanner="a"))
    view.put_signal("s", (4, 1), signal_of(4, scanner="b"))
    view.put_signal("t", (2, 1), signal_of(2, scanner="a", market="crypto"))
    assert [recent.entry_id[0] for recent in view.newest_signals(2)] == [3, 4]
    assert [recent.entry_id[0] for recent in view.newest_signals(9, scanner="a")] == [2, 3]
    assert [recent.entry_id[0] for recent in view.newest_signals(9, market="crypto")] == [2]
