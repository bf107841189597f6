"""Where ticks stand among events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scanplane.listener.clock import (
    MAX_AHEAD,
    REFUSE_AFTER,
    REWIND_AFTER,
    ClockState,
    EventClock,
    Step,
)
from scanplane.marketdata.batches import Tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Event, Trade

SECOND = 10**9
MINUTE = 60 * SECOND
INTERVAL = SECOND // 4
START = 1_381_219_200 * SECOND
HOST = START + 10 * 365 * 24 * 3600 * SECOND


def trade(at_ns: int, symbol: str = "BAC") -> Trade:
    return Trade(symbol, at_ns, 14.0, 100)


def flat(steps: list[Step]) -> list[Tick | Event]:
    flattened: list[Tick | Event] = []
    for step in steps:
        flattened.extend([step] if isinstance(step, Tick) else step[1])
    return flattened


def placed(clock: EventClock, times: list[int], host_ns: int = HOST) -> list[Tick | Event]:
    return flat(clock.place(Channel.TRADES, [trade(at) for at in times], host_ns))


def tick_times(steps: list[Tick | Event]) -> list[int]:
    return [step.tick_ns for step in steps if isinstance(step, Tick)]


def test_the_first_event_is_preceded_by_the_tick_of_its_interval() -> None:
    assert placed(EventClock(INTERVAL), [START + 7]) == [Tick(START), trade(START + 7)]


def test_events_of_one_interval_stay_together() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START])
    assert placed(clock, [START + 1, START + INTERVAL - 1]) == [trade(START + 1), trade(START + INTERVAL - 1)]


def test_an_event_on_the_boundary_comes_after_the_tick() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START])
    assert placed(clock, [START + INTERVAL]) == [Tick(START + INTERVAL), trade(START + INTERVAL)]


def test_after_a_pause_the_open_interval_is_closed_and_the_newest_boundary_is_ticked() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START + 1])
    later = START + 10 * SECOND + 3
    assert placed(clock, [later]) == [Tick(START + INTERVAL), Tick(START + 10 * SECOND), trade(later)]


def test_closing_gives_out_what_waits_for_others_and_no_tick_that_nothing_asks_for() -> None:
    clock = EventClock(INTERVAL)
    day = 24 * 3600 * SECOND
    placed(clock, [START + day])
    assert placed(clock, [START, START + 1]) == []
    assert placed(clock, [START + 2 * day]) == []
    assert clock.waiting_events == 3
    closed = flat(clock.close(HOST))
    assert [event for event in closed if not isinstance(event, Tick)] == [
        trade(START),
        trade(START + 1),
        trade(START + 2 * day),
    ]
    assert (clock.waiting_events, clock.counts.late_events, clock.counts.refused_jumps) == (0, 2, 0)


def test_events_that_lie_in_the_hosts_future_are_refused_however_many_agree() -> None:
    clock = EventClock(INTERVAL)
    future = HOST + 25 * 3600 * SECOND
    steps = clock.place(Channel.TRADES, [trade(START), trade(future), trade(START + 1), trade(future)], HOST)
    assert [event for event in flat(steps) if not isinstance(event, Tick)] == [trade(START), trade(START + 1)]
    assert placed(clock, [future + 1] * 5) == []
    assert (clock.newest_ns, clock.counts.refused_jumps) == (START + 1, 7)


def test_closing_refuses_an_event_from_the_future_of_the_host() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START])
    assert placed(clock, [HOST + 3600 * SECOND]) == []
    assert flat(clock.close(HOST)) == []
    assert clock.counts.refused_jumps == 1


def test_silence_closes_the_open_interval_and_changes_no_later_tick() -> None:
    silent, steady = EventClock(INTERVAL), EventClock(INTERVAL)
    for clock in (silent, steady):
        placed(clock, [START + 1])
    assert flat(silent.silence(HOST)) == [Tick(START + INTERVAL)]
    assert flat(silent.silence(HOST)) == []
    after_silence = placed(silent, [START + 5 * SECOND])
    assert [Tick(START + INTERVAL), *after_silence] == placed(steady, [START + 5 * SECOND])


def test_one_event_far_ahead_is_refused_when_others_keep_to_the_old_time() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START])
    others = [START + step for step in range(1, REFUSE_AFTER + 1)]
    assert placed(clock, [START + 3600 * SECOND, *others]) == [trade(at) for at in others]
    assert (clock.counts.refused_jumps, clock.waiting_events) == (1, 0)
    assert clock.newest_ns == others[-1]


@pytest.mark.parametrize("late", [[-30], [45], [80], [80, 45], [0] * 500])
def test_late_corrections_after_a_quiet_spell_do_not_push_out_the_first_event_of_the_present(late: list[int]) -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START])
    arriving = [START + seconds * SECOND for seconds in (300, *late, 301, 302)]
    passed = [step for step in placed(clock, arriving) if isinstance(step, Trade)]
    assert sorted(event.exchange_ns for event in passed) == sorted(arriving)
    assert (clock.counts.refused_jumps, clock.waiting_events, clock.newest_ns) == (0, 0, START + 302 * SECOND)


def test_events_that_are_minutes_apart_each_confirm_the_one_before() -> None:
    clock = EventClock(INTERVAL)
    arriving = [START + minutes * 60 * SECOND for minutes in range(0, 50, 5)]
    passed = [step for step in placed(clock, arriving) if isinstance(step, Trade)]
    assert [event.exchange_ns for event in passed] == arriving[:-1]
    assert (clock.counts.refused_jumps, clock.waiting_events) == (0, 1)


def test_of_many_events_ahead_that_nothing_confirms_only_so_many_wait() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START])
    falling = [START + (100 - hours) * 3600 * SECOND for hours in range(MAX_AHEAD + 5)]
    assert placed(clock, falling) == []
    assert (clock.counts.refused_jumps, clock.waiting_events) == (5, MAX_AHEAD)


def test_a_jump_that_the_next_event_confirms_is_believed() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START])
    first, second = START + 8 * 3600 * SECOND, START + 8 * 3600 * SECOND + 1
    assert placed(clock, [first]) == []
    assert placed(clock, [second]) == [Tick(START + INTERVAL), Tick(first), trade(first), trade(second)]


def test_a_lone_event_ahead_is_let_in_by_silence_unless_it_is_from_the_future() -> None:
    believed, refused = EventClock(INTERVAL), EventClock(INTERVAL)
    for clock in (believed, refused):
        placed(clock, [START])
        placed(clock, [START + 3600 * SECOND])
    assert trade(START + 3600 * SECOND) in flat(believed.silence(HOST))
    assert flat(refused.silence(START + 1)) == [Tick(START + INTERVAL)]
    assert refused.counts.refused_jumps == 1


def test_a_late_event_is_passed_on_without_moving_the_clock() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START + 10 * SECOND])
    assert placed(clock, [START]) == [trade(START)]
    assert clock.newest_ns == START + 10 * SECOND


def test_a_few_very_late_events_are_passed_on_by_the_next_timely_one() -> None:
    clock = EventClock(INTERVAL)
    now = START + 5 * 3600 * SECOND
    placed(clock, [now])
    assert placed(clock, [START, START + 1]) == []
    assert placed(clock, [now + 1]) == [trade(START), trade(START + 1), trade(now + 1)]
    assert clock.counts.late_events == 2


def test_a_recording_that_begins_again_rewinds_the_clock_and_loses_nothing() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START + 5 * 3600 * SECOND])
    steps = placed(clock, [START + index for index in range(REWIND_AFTER)])
    assert steps[0] == Tick(START, rewound=True)
    assert [step for step in steps if isinstance(step, Trade)] == [
        trade(START + index) for index in range(REWIND_AFTER)
    ]
    assert clock.counts.rewinds == 1


@pytest.mark.parametrize("lag", [0, 15 * MINUTE, 20 * MINUTE - 1])
def test_a_live_market_that_is_silent_is_ticked_by_the_host_clock_less_its_lag(lag: int) -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START], START + lag)
    assert flat(clock.host_tick(START + lag + INTERVAL - 1)) == []
    assert flat(clock.host_tick(START + lag + SECOND + 5)) == [Tick(START + INTERVAL), Tick(START + SECOND)]
    assert flat(clock.host_tick(START + lag + 2 * SECOND)) == [Tick(START + 2 * SECOND)]


def test_a_host_clock_that_is_a_little_behind_ticks_a_silent_market_all_the_same() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START], START - 300_000_000)
    assert clock.lag_ns == -300_000_000
    assert flat(clock.host_tick(START + SECOND)) == [Tick(START + INTERVAL), Tick(START + SECOND)]


@pytest.mark.parametrize("lag", [-MINUTE - 1, 20 * MINUTE, 365 * 24 * 60 * MINUTE])
def test_the_host_clock_does_not_tick_a_market_that_does_not_follow_it(lag: int) -> None:
    clock = EventClock(INTERVAL)
    assert len(placed(clock, [START, START], START + lag)) == 3
    assert flat(clock.host_tick(START + lag + 10 * SECOND)) == []


def test_the_host_clock_does_not_tick_a_recording_however_new_it_is() -> None:
    clock = EventClock(INTERVAL, is_recording=True)
    placed(clock, [START], START + SECOND)
    assert flat(clock.host_tick(START + 10 * SECOND)) == []


def live(lag: int = 0, times: tuple[int, ...] = (START,)) -> EventClock:
    """Return the clock of a market that follows the host's with a lag."""
    clock = EventClock(INTERVAL)
    for at in times:
        placed(clock, [at], at + lag)
    return clock


@pytest.mark.parametrize("lag", [-SECOND, 0, 15 * MINUTE])
@pytest.mark.parametrize("wrong", [2, 200])
def test_wrong_times_do_not_end_the_day_of_a_live_market_however_many_agree(lag: int, wrong: int) -> None:
    before = live(lag)
    after = EventClock(INTERVAL, before.state)
    upgraded = EventClock(INTERVAL, replace(before.state, lag_ns=None))
    for clock in (before, after, upgraded):
        host = START + lag
        ahead = [host + 5 * 3600 * SECOND + number for number in range(wrong)]
        right = [START + number * 1_000_000 for number in range(2 * REWIND_AFTER)]
        assert placed(clock, ahead, host) == []
        assert placed(clock, right, host) == [*map(trade, right)]
        assert (clock.counts.refused_jumps, clock.counts.rewinds, clock.waiting_events) == (wrong, 0, 0)


def test_a_live_market_believes_no_more_than_a_minute_ahead_of_the_host_clock() -> None:
    clock = live(15 * MINUTE)
    host = START + 15 * MINUTE
    assert placed(clock, [host + MINUTE + 1] * 2, host) == []
    jump = placed(clock, [host + MINUTE] * 2, host)
    assert jump == [Tick(START + INTERVAL), Tick(host + MINUTE), *[trade(host + MINUTE)] * 2]


def test_a_live_market_whose_host_clock_falls_back_loses_no_event() -> None:
    clock = live()
    times = [START + number * SECOND for number in (*range(1, 300), 600, 601)]
    passed = [step for at in times for step in placed(clock, [at], at - 3600 * SECOND)]
    assert [step.exchange_ns for step in passed if isinstance(step, Trade)] == times


@pytest.mark.parametrize("wrong", [1, REFUSE_AFTER])
def test_the_first_event_of_all_is_not_believed_alone_if_it_lies_in_the_hosts_future(wrong: int) -> None:
    clock = EventClock(INTERVAL)
    future = [START + (5 - number) * 3600 * SECOND for number in range(wrong)]
    right = [START + number for number in range(200)]
    assert placed(clock, [*future, *right], START) == [Tick(START), *map(trade, right)]
    assert clock.counts.refused_jumps == wrong


def test_old_events_do_not_begin_the_day_of_a_live_market_again_however_many_come() -> None:
    clock = live(times=(START + 5 * 3600 * SECOND,))
    old = [START + number for number in range(5 * REWIND_AFTER)]
    assert placed(clock, old, START + 5 * 3600 * SECOND) == [*map(trade, old)]
    assert (clock.counts.rewinds, clock.counts.late_events, clock.waiting_events) == (0, len(old), 0)


def test_a_session_of_other_times_after_live_data_begins_a_day_of_its_own() -> None:
    clock = EventClock(INTERVAL, live().state)
    old = [START - 365 * 24 * 3600 * SECOND + number for number in range(REWIND_AFTER)]
    assert placed(clock, old, START)[0] == Tick(old[0], rewound=True)


def test_a_session_that_runs_faster_than_time_may_overtake_the_host_clock() -> None:
    clock = EventClock(INTERVAL)
    times = [START + number * 30 * SECOND for number in range(600)]
    passed = [step for number, at in enumerate(times) for step in placed(clock, [at], START + number * SECOND // 20)]
    assert [step.exchange_ns for step in passed if isinstance(step, Trade)] == times


def test_a_recording_that_is_opened_again_begins_again_at_once_however_short_it_is() -> None:
    first = EventClock(INTERVAL, is_recording=True)
    times = [START + number * SECOND for number in range(10)]
    played = placed(first, times, START + MINUTE)
    second = EventClock(INTERVAL, first.state, is_recording=True)
    third = EventClock(INTERVAL, second.state, is_recording=True)
    assert placed(third, times, START + 2 * MINUTE) == [Tick(START, rewound=True), *played[1:]]
    assert third.counts.rewinds == 1


def test_a_recording_may_lie_in_the_hosts_future() -> None:
    clock = EventClock(INTERVAL, is_recording=True)
    assert placed(clock, [START + 3600 * SECOND], START)[1:] == [trade(START + 3600 * SECOND)]


def test_the_lag_is_handed_over_and_measured_anew_with_the_first_event() -> None:
    first = EventClock(INTERVAL)
    placed(first, [START], START + SECOND)
    second = EventClock(INTERVAL, first.state)
    assert (second.lag_ns, second.newest_ns, second.received_ns, second.lead_ns) == (SECOND, START, 0, 0)
    assert flat(second.host_tick(START + 3 * SECOND)) == [Tick(START + INTERVAL), Tick(START + 2 * SECOND)]
    placed(second, [START - 15 * MINUTE], START + 4 * SECOND)
    assert second.lag_ns == 15 * MINUTE + 4 * SECOND
    assert (second.newest_ns, second.lead_ns) == (START - 15 * MINUTE, 15 * MINUTE + 2 * SECOND)


def test_events_older_than_the_last_tick_are_counted_as_late() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START + SECOND])
    placed(clock, [START + SECOND - 1, START + SECOND + 1, START])
    placed(clock, [START - 1, START - 2])
    placed(clock, [START, START + 2 * SECOND, START + 2 * SECOND - 1])
    assert clock.counts.late_events == 6


@pytest.mark.parametrize("cut", [[1, 1, 1, 1, 1, 1], [1, 2, 3], [2, 4], [6]])
def test_within_a_long_interval_frames_decide_nothing(cut: list[int]) -> None:
    clock = EventClock(50 * MINUTE)
    begin = START - START % (50 * MINUTE)
    old = [begin + step for step in range(REFUSE_AFTER + 2)]
    times = [*old[:2], begin + 2 * MINUTE, *old[2:]]
    passed: list[Tick | Event] = []
    for size in cut:
        passed += placed(clock, times[:size])
        del times[:size]
    assert passed == [Tick(begin), *map(trade, old)]
    assert clock.counts.refused_jumps == 1


@pytest.mark.parametrize(("speed", "step"), [(1, SECOND), (0.5, SECOND), (500, SECOND // 10)])
def test_the_speed_of_a_market_is_measured_from_its_first_event(speed: float, step: int) -> None:
    clock = EventClock(INTERVAL)
    assert clock.speed == 1
    for number in range(100):
        placed(clock, [START + int(number * step * speed)], HOST + number * step)
        assert clock.speed == pytest.approx(speed if number else 1)


def test_a_recording_that_begins_again_is_measured_from_there() -> None:
    clock = EventClock(INTERVAL)
    placed(clock, [START + 5 * 3600 * SECOND])
    placed(clock, [START] * REWIND_AFTER, HOST + 10 * SECOND)
    placed(clock, [START + 40 * SECOND], HOST + 14 * SECOND)
    assert clock.speed == pytest.approx(10)


def test_the_next_holder_goes_on_where_the_last_one_stopped() -> None:
    whole, first = EventClock(INTERVAL), EventClock(INTERVAL)
    times = [START, START + 100, START + INTERVAL + 7, START + 3 * INTERVAL]
    expected = placed(whole, times)
    begun = placed(first, times[:2])
    second = EventClock(
        INTERVAL, ClockState(**{name: getattr(first.state, name) for name in ClockState.__struct_fields__})
    )
    assert begun + placed(second, times[2:]) == expected


steps_of_time = st.lists(st.integers(0, 40 * SECOND), min_size=1, max_size=60)


@given(steps_of_time, st.data())
def test_ticks_follow_from_the_events_alone_however_they_are_cut_into_frames(
    steps: list[int], data: st.DataObject
) -> None:
    times: list[int] = []
    now = START
    for step in steps:
        now += step
        times.append(now)
    whole = placed(EventClock(INTERVAL), times)
    cut_at = sorted(data.draw(st.lists(st.integers(0, len(times)), max_size=8)))
    clock = EventClock(INTERVAL)
    pieces: list[Tick | Event] = []
    for start, end in zip([0, *cut_at], [*cut_at, len(times)], strict=True):
        if start < end:
            pieces.extend(placed(clock, times[start:end]))
    assert pieces == whole
    assert [step for step in whole if isinstance(step, Trade)] == [trade(at) for at in times]
    ticks = tick_times(whole)
    assert ticks == sorted(set(ticks))
    newest_tick = 0
    for step in whole:
        if isinstance(step, Tick):
            newest_tick = step.tick_ns
        else:
            assert newest_tick <= step.exchange_ns < newest_tick + INTERVAL
