"""What the demo says of itself on a machine that keeps up, and on one that does not."""

from collections.abc import Sequence

import pytest
from rich.console import Console

from scanplane.cli import demo_screen
from scanplane.cli.demo_screen import DemoScreen
from scanplane.cli.watch_state import WatchState


class Clock:
    """The host's clock, as the screen sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(demo_screen.time, "monotonic", lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def new_screen() -> DemoScreen:
    return DemoScreen("A day", "made up", (), 700.0)


def screen_after(latencies_ms: Sequence[float], clock: Clock, *, waiting_batches: int = 0) -> DemoScreen:
    """A screen that saw each of these as the p99 of a second, while so many batches waited."""
    screen = new_screen()
    for latency_ms in latencies_ms:
        clock.now_s += 1.0
        figures = {
            "analyzer.tick_to_board_p99_ms": latency_ms,
            "analyzer.trades_total": clock.now_s,
            "listener.waiting_batches": float(waiting_batches),
        }
        screen.take(WatchState(()), {"events": 1000}, figures)
    return screen


def result_of(screen: DemoScreen) -> str:
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        screen.print_result(console)
    return " ".join(capture.get().split())


def test_the_result_has_the_usual_latency_and_the_worst(clock: Clock) -> None:
    result = result_of(screen_after([12.0, 14.0, 14.0, 990.0, 13.0], clock, waiting_batches=3))
    assert "tick to board, p99 over 10 s 14 ms at the median, 990 ms at most" in result
    assert "Boards came" not in result


def test_the_result_explains_boards_that_waited(clock: Clock) -> None:
    result = result_of(screen_after([12.0, 14.0, 11_260.0, 13.0, 13.0], clock, waiting_batches=1000))
    assert "13 ms at the median, 11,260 ms at most" in result
    assert "Boards came up to 11.3 s after their events: at 700 times real time the day asked for more" in result


@pytest.mark.parametrize(
    ("latency_ms", "waiting_batches", "told"),
    [
        pytest.param(999.0, 1000, "0 lost", id="in time"),
        pytest.param(6650.0, 1000, "0 lost, boards up to 6.7 s behind", id="behind"),
        pytest.param(6650.0, 0, "0 lost", id="late for silence, not for work"),
    ],
)
def test_while_it_plays_it_says_how_far_boards_are_behind(
    latency_ms: float, waiting_batches: int, told: str, clock: Clock
) -> None:
    screen = screen_after([latency_ms], clock, waiting_batches=waiting_batches)
    assert screen.line().endswith(told)


def taken(screen: DemoScreen, applied: int, *, events: int = 1000, unheard: int = 0, board: bool = True) -> DemoScreen:
    """The same screen, having seen the end of a day, so many of its events applied, and perhaps the board of the last."""
    state = WatchState(())
    if board:
        state.boards["boards/us-stocks/volume"] = {"data": {"tickNs": 50 * 10**9}, "freshness": {}}
    figures = {
        "analyzer.trades_total": float(applied),
        "analyzer.tick_unix_seconds": 50.0,
        "listener.event_time_unix_seconds": 49.0,
    }
    screen.take(state, {"events": events, "unheard": unheard, "finished": True}, figures)
    return screen


@pytest.mark.usefixtures("clock")
def test_the_end_is_whole_when_the_board_of_the_last_event_is_there() -> None:
    screen = taken(new_screen(), 999)
    assert (screen.is_complete, screen.is_whole) == (False, False)
    taken(screen, 1000, board=False)
    assert (screen.is_complete, screen.is_whole) == (False, False)
    taken(screen, 1000)
    assert (screen.is_complete, screen.is_whole, screen.lost) == (True, True, 0)


@pytest.mark.usefixtures("clock")
def test_what_was_played_to_nobody_is_lost_and_told() -> None:
    screen = taken(new_screen(), 30, unheard=970, board=True)
    assert (screen.is_complete, screen.is_whole, screen.lost) == (True, False, 970)
    screen._state.boards.clear()  # what a table of it looks like is told elsewhere
    result = result_of(screen)
    assert "events applied 30 of 1,000 played" in result
    assert "lost: frames, events, batches 970" in result
    assert result.endswith("These boards are not of everything that was played.")


def test_it_waits_for_a_machine_that_still_works_and_not_for_one_that_stands_still(clock: Clock) -> None:
    screen = new_screen()
    for applied in (100, 200, 300):
        taken(screen, applied)
        clock.now_s += 25.0
        assert not screen.is_complete
    clock.now_s += 6.0
    taken(screen, 300)
    assert (screen.is_complete, screen.is_whole) == (True, False)
