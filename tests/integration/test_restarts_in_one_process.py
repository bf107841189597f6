"""Resources that are edited while a session is played at home: it ends with the boards of a run that was left alone.

``tests/e2e/test_kills_and_restarts.py`` does the like to processes on a real broker and cache; here every role is in one
process, as with ``scanplane up``, and a change is made at once.
"""

from collections.abc import Mapping, Sequence

import pytest
import pytest_asyncio

from scanplane.gateway.merge import Board
from scanplane.marketdata.results import QuoteRow, Signal
from scanplane.simulator.sessions.choice import choose_session
from scanplane.simulator.settings import SimulatorSettings
from support.journeys import Results
from support.repartitioned import AHome, at_home, until
from support.resource_texts import a_board, a_signal, massive_feed, pipeline

EVENTS = 40_000
SETTINGS = SimulatorSettings(speed=8000.0, frame_events=(1, 100), max_buffer_bytes=2**30)
COLUMNS = ("price", "open", "high_of_day", "low_of_day", "vwap", "volume", "change_5m_percent", "volume_5m")
SCANNERS = (
    a_board("volume", "volume", COLUMNS),
    a_board("movers", "change_5m_percent", COLUMNS, where="volume > 1000.0", signal="change_5m_percent > 0.5"),
    a_signal("highs", "new_high_of_day", where="volume > 100000.0", cooldown="5m"),
    a_signal("cheap", "price < 20.0"),
)
LASTING = ("price", "open", "high", "low", "high_of_day", "low_of_day", "vwap", "volume")
"""What the last event of a symbol decides; windows move on with the ticks, and quotes are written now and then."""

LISTENER, ANALYZER = "listener-simulated", "analyzer-us-stocks-0"
EVERY = ("'*'",)
FEW = ("AA", "AAPL", "BAC", "C", "CSCO", "EEM", "F", "FB", "GE", "INTC", "IWM", "MSFT", "PFE", "SIRI", "T", "ZNGA")
MORE = ("AMD", "PLUG", "QQQ", "RAD", "SPY", "XLF")

Edits = Mapping[str, str]
"""What people write instead of what was there."""

ELSEWHERE: Edits = {"127.0.0.1": "localhost"}
LONGER: Edits = {"limit: 50": "limit: 60"}
ANOTHER: Edits = {"name: cheap": "name: cheaper"}


class Outcome:
    """What a run ends with, and the roles that it took, in the order of their start."""

    def __init__(self, results: Results, quotes: Mapping[str, QuoteRow], started: Sequence[str]) -> None:
        self.boards = results.merged()
        self.signals = results.signals
        self.quotes = {
            symbol: {name: row.values.get(name) for name in LASTING} for symbol, row in sorted(quotes.items())
        }
        self.started = started


def resources(url: str, edits: Edits, symbols: Sequence[str]) -> str:
    text = pipeline(massive_feed(url), ["SecondAggregates"], SCANNERS, interval="60s")
    for old, new in (edits | {'["*"]': f"[{', '.join(symbols)}]"}).items():  # type: ignore[operator]  # a Mapping too
        assert old in text
        text = text.replace(old, new)
    return text


async def play(steps: Sequence[tuple[Edits, Sequence[str]]]) -> Outcome:
    """Play the session; as it goes on, each of the next edits is what is declared.

    The last is made early enough for the listener of after it to learn how fast the session is played: how long silence must
    last before an interval is over follows from that.
    """
    async with at_home(choose_session("market", events=EVENTS), SETTINGS) as (home, (simulator,)):
        for number, (edits, symbols) in enumerate(steps):
            due = number * EVENTS // (len(steps) + 1)
            await until(lambda at=due: simulator.events >= at, f"event {due}")  # type: ignore[misc]
            assert not simulator.finished.is_set()
            assert await home.apply(resources(simulator.url, edits, symbols)) == []
        assert not simulator.finished.is_set(), "the session ended before the edits did"
        await until(simulator.finished.is_set, "the end")
        await until(lambda: is_applied(home), f"the last board: {home.problems()}")
        assert home.problems() == {}
        heard = home.total("events_total", "listener")
        assert home.total("events_total", "analyzer") == heard
        assert home.losses() == {}
        await home.supervisor.apply({})  # quotes that wait are written at the end
        results, quotes = await home.results()
        return Outcome(results, quotes, [role.name for role in home.made])


def is_applied(home: AHome) -> bool:
    figures = home.figures()
    newest = figures.listeners[LISTENER].get("event_time_unix_seconds", 0.0)
    return 0 < newest < figures.analyzers[ANALYZER].get("tick_unix_seconds", 0.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed() -> Outcome:
    outcome = await play([({}, EVERY)])
    assert len(outcome.signals) > 200
    assert len(outcome.quotes) > 7000
    return outcome


@pytest.mark.parametrize(
    ("steps", "started"),
    [
        pytest.param(
            [{}, ELSEWHERE, {**ELSEWHERE, **LONGER}, LONGER, {}],
            [LISTENER, ANALYZER, LISTENER, ANALYZER],
            id="one after the other",
        ),
        pytest.param([{}, {**ELSEWHERE, **LONGER}, {}], [ANALYZER, LISTENER] * 2, id="both at once"),
    ],
)
async def test_an_edit_of_the_feed_or_of_scanners_changes_no_result(
    undisturbed: Outcome, steps: Sequence[Edits], started: Sequence[str]
) -> None:
    edited = await play([(edits, EVERY) for edits in steps])
    assert edited.started == [ANALYZER, LISTENER, *started]
    assert edited.boards == undisturbed.boards
    assert edited.signals == undisturbed.signals
    assert edited.quotes == undisturbed.quotes


async def test_another_scanner_changes_nothing_for_those_that_were_there(undisturbed: Outcome) -> None:
    edited = await play([({}, EVERY), (ANOTHER, EVERY)])
    assert edited.started == [ANALYZER, LISTENER, ANALYZER]
    assert edited.boards == undisturbed.boards
    assert edited.quotes == undisturbed.quotes
    others = [signal for signal in edited.signals if not signal.scanner.startswith("cheap")]
    assert others == [signal for signal in undisturbed.signals if signal.scanner != "cheap"]
    assert {signal.scanner for signal in edited.signals} == {"movers", "highs", "cheap", "cheaper"}


# --- other symbols: what both runs have must be the same ---


async def test_symbols_that_come_and_go_change_nothing_for_those_that_stay() -> None:
    calm = await play([({}, FEW)])
    edited = await play([({}, FEW), ({}, (*FEW, *MORE)), ({**ELSEWHERE, **LONGER}, (*FEW, *MORE)), (LONGER, FEW)])
    assert edited.started == [ANALYZER, LISTENER, LISTENER, ANALYZER, LISTENER, LISTENER]
    assert set(calm.quotes) == set(FEW)
    assert set(edited.quotes) == {*FEW, *MORE}
    assert {symbol: edited.quotes[symbol] for symbol in FEW} == calm.quotes
    assert rows_of(edited.boards["volume"]) == rows_of(calm.boards["volume"])
    expected = signals_of(calm.signals)
    assert len(expected) > 20
    assert signals_of(edited.signals) == expected


def rows_of(board: Board) -> list[tuple[str, dict[str, object]]]:
    """The rows of those that stay, best first. More symbols make more ticks, and a window is sampled at each."""
    return [
        (row.symbol, {name: value for name, value in zip(board.columns, row.values, strict=True) if name in LASTING})
        for row in board.rows
        if row.symbol in FEW
    ]


def signals_of(signals: Sequence[Signal]) -> list[Signal]:
    """The signals of those that stay, of scanners without a window."""
    return [signal for signal in signals if signal.symbol in FEW and signal.scanner in {"highs", "cheap"}]
