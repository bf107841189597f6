import itertools

from hypothesis import given
from hypothesis import strategies as st

from scanplane.gateway.scheduling import PublishSchedule

MS = 1_000_000


def test_a_whole_board_is_due_at_once() -> None:
    schedule = PublishSchedule(10)
    schedule.mark("a", whole=True, now_ns=5 * MS)
    assert schedule.take_due(5 * MS) == ["a"]
    assert schedule.next_due_ns() is None


def test_an_incomplete_board_waits_for_its_partitions() -> None:
    schedule = PublishSchedule(10, grace_ns=50 * MS)
    schedule.mark("a", whole=False, now_ns=1000 * MS)
    assert schedule.take_due(1049 * MS) == []
    schedule.mark("a", whole=True, now_ns=1049 * MS)
    assert schedule.take_due(1049 * MS) == ["a"]


def test_a_partition_that_never_comes_holds_nothing_up_for_longer_than_the_grace() -> None:
    schedule = PublishSchedule(1000, grace_ns=50 * MS)
    for now in range(1000, 1050, 10):
        schedule.mark("a", whole=False, now_ns=now * MS)
    assert schedule.next_due_ns() == 1050 * MS
    assert schedule.take_due(1050 * MS) == ["a"]


def test_versions_that_are_replaced_before_they_are_due_are_counted() -> None:
    schedule = PublishSchedule(10)
    for now in (0, 10, 20, 30):
        schedule.mark("a", whole=True, now_ns=now * MS)
        schedule.take_due(now * MS)
    assert schedule.replaced == 2
    assert schedule.take_due(100 * MS) == ["a"]


def test_a_topic_that_is_gone_is_due_no_more() -> None:
    schedule = PublishSchedule(10)
    schedule.mark("a", whole=True, now_ns=0)
    schedule.forget("a")
    assert schedule.take_due(10_000 * MS) == []


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abc"), st.booleans()), max_size=60))
def test_no_topic_is_published_more_often_than_allowed_and_none_is_forgotten(
    changes: list[tuple[int, str, bool]],
) -> None:
    schedule = PublishSchedule(10, grace_ns=20 * MS)
    now, published, last_change = 1000 * MS, {}, {}
    for pause, topic, whole in changes:
        now += pause * MS
        schedule.mark(topic, whole=whole, now_ns=now)
        last_change[topic] = now
        for due in schedule.take_due(now):
            published.setdefault(due, []).append(now)
    while (due_ns := schedule.next_due_ns()) is not None:
        now = max(now, due_ns)
        for due in schedule.take_due(now):
            published.setdefault(due, []).append(now)
    for topic, times in published.items():
        assert all(later - earlier >= 100 * MS for earlier, later in itertools.pairwise(times))
        assert times[-1] >= last_change[topic]
    assert published.keys() == last_change.keys()
