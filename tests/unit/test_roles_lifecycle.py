import logging

import pytest

from scanplane.roles.lifecycle import MAX_PROBLEMS, Lifecycle
from scanplane.telemetry.redaction import register_secret
from scanplane.telemetry.status import Phase


class Clock:
    now = 1_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lifecycle(clock: Clock) -> Lifecycle:
    return Lifecycle(role="analyzer", instance="analyzer-us-0", configuration="abc", clock_ns=clock, monotonic_ns=clock)


def test_a_life_goes_through_its_phases_and_sets_its_events(lifecycle: Lifecycle) -> None:
    seen = [(lifecycle.phase, lifecycle.standby.is_set(), lifecycle.active.is_set())]
    for step in (lifecycle.stand_by, lambda: lifecycle.activate(7), lifecycle.drain, lifecycle.end):
        step()
        seen.append((lifecycle.phase, lifecycle.standby.is_set(), lifecycle.active.is_set()))
    assert seen == [
        (Phase.STARTING, False, False),
        (Phase.STANDBY, True, False),
        (Phase.ACTIVE, True, True),
        (Phase.DRAINING, False, False),
        (Phase.STOPPED, False, False),
    ]
    assert lifecycle.generation == 7


def test_a_transition_is_logged_once(lifecycle: Lifecycle, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lifecycle.stand_by()
    lifecycle.stand_by()
    lifecycle.activate(3)
    assert [record.getMessage() for record in caplog.records] == [
        "analyzer-us-0 is standby",
        "analyzer-us-0 is active",
    ]
    assert caplog.records[1].__dict__["instance"] == "analyzer-us-0"


def test_a_status_holds_what_is_known(lifecycle: Lifecycle, clock: Clock) -> None:
    lifecycle.activate(3)
    lifecycle.report_problem("cache", "cache is\n slow")
    clock.now = 2_000
    status = lifecycle.status({"events_total": 5}, {"gappers": {"matches": 1}})
    assert (status.role, status.instance, status.configuration) == ("analyzer", "analyzer-us-0", "abc")
    assert (status.phase, status.generation) == (Phase.ACTIVE, 3)
    assert (status.started_ns, status.updated_ns) == (1_000, 2_000)
    assert status.figures == {"events_total": 5}
    assert status.scanners == {"gappers": {"matches": 1}}
    assert status.problems == ("cache is slow",)


def test_a_problem_is_logged_when_it_comes_and_when_it_is_solved(
    lifecycle: Lifecycle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lifecycle.report_problem("broker", "broker is away, try 1")
    lifecycle.report_problem("broker", "broker is away, try 2")
    lifecycle.clear_problem("broker")
    lifecycle.clear_problem("broker")
    assert [record.getMessage() for record in caplog.records] == [
        "broker is away, try 1",
        "solved: broker is away, try 2",
    ]
    assert lifecycle.status().problems == ()


def test_problems_are_bounded_in_number_and_length_and_hide_secrets(lifecycle: Lifecycle) -> None:
    register_secret("very-secret-1")
    for number in range(MAX_PROBLEMS + 5):
        lifecycle.report_problem(str(number), f"{number} very-secret-1 " + "x" * 10_000)
    problems = lifecycle.status().problems
    assert len(problems) == MAX_PROBLEMS
    assert all(len(problem) <= 300 for problem in problems)
    assert "very-secret-1" not in "".join(problems)
    assert lifecycle.problems_refused == 5


def test_a_promise_is_broken_by_silence_and_kept_by_beats_and_pauses(lifecycle: Lifecycle, clock: Clock) -> None:
    ticks = lifecycle.promise("ticks", within_ns=1_000_000_000)
    clock.now += 5_000_000_000
    assert lifecycle.stalled() == ()
    ticks.beat()
    clock.now += 1_000_000_000
    assert lifecycle.stalled() == ()
    clock.now += 500_000_000
    assert lifecycle.stalled() == ("ticks: no progress for 1.5 s, promised within 1 s",)
    assert lifecycle.status().problems == lifecycle.stalled()
    ticks.pause()
    assert lifecycle.stalled() == ()
