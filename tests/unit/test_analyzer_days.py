"""An analyzer from one trading day to the next: reference data, a beginning in mid-session, symbols that leave."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from scanplane.analyzer import daily_reference
from scanplane.marketdata.channels import AssetClass
from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.reference import provider
from scanplane.resources.market import ReferenceSource
from scanplane.roles.interface import RoleInputError
from support.analyzer_stand import API_KEY, BOARD, Stand, an_analyzer_stand
from support.engine_market import SECOND_NS, a_board, a_configuration, new_york
from support.snapshot_server import a_snapshot, serving

FIRST, SECOND, THIRD = (f"2026-03-{day}" for day in (10, 11, 12))


def at(date: str, time: str) -> int:
    return new_york(f"{date} {time}")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "FIRST_PAUSE_S", 0.0005)
    monkeypatch.setattr(daily_reference, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(daily_reference, "LONGEST_PAUSE_S", 0.01)


class Provider:
    """What the provider answers now: a document, or an HTTP status."""

    def __init__(self) -> None:
        self.answer: dict[str, object] | int = a_snapshot(0)

    def __call__(self, _request: web.Request, _before: int) -> web.StreamResponse:
        if isinstance(self.answer, int):
            return web.Response(status=self.answer)
        return web.json_response(self.answer)


@asynccontextmanager
async def with_provider(max_symbols: int = 50_000) -> AsyncIterator[tuple[Stand, Provider]]:
    """Yield an analyzer's stand and the provider of its previous closes."""
    answers = Provider()
    async with serving(answers) as (endpoint, _):
        plain = a_configuration(a_board("price", "previous_close", name=BOARD), max_symbols=max_symbols)
        reference = msgspec.structs.replace(
            plain.reference, previous_close=ReferenceSource.PROVIDER, rest_endpoint=endpoint, api_key=API_KEY
        )
        async with an_analyzer_stand(msgspec.structs.replace(plain, reference=reference)) as stand:
            yield stand, answers


def of_a_file(name: str) -> AnalyzerConfiguration:
    plain = a_configuration(a_board("price", "previous_close", name=BOARD))
    reference = msgspec.structs.replace(plain.reference, previous_close=ReferenceSource.FILE, symbols_file=name)
    return msgspec.structs.replace(plain, reference=reference)


def nanoseconds_after(start_ns: int) -> Iterator[int]:
    while True:
        start_ns += SECOND_NS
        yield start_ns


async def ticks_until(stand: Stand, start_ns: int, row: tuple[object, ...], symbol: str = "X") -> None:
    """Tick until the board says *row*: what is fetched shows at a tick."""
    for tick_ns in nanoseconds_after(start_ns):
        await stand.tick(tick_ns)
        if stand.rows().get(symbol) == row:
            return
        assert tick_ns < start_ns + 2000 * SECOND_NS, f"{stand.rows()}; problems: {stand.problems}"


def fetched_day_ns(stand: Stand) -> int:
    daily = stand.analyzer._daily
    return 0 if daily is None or daily.latest is None else daily.latest.begin_ns


async def test_every_day_has_the_previous_closes_of_its_own_snapshot() -> None:
    async with with_provider() as (stand, answers):
        answers.answer = a_snapshot(at(FIRST, "03:50"), X=10.0)  # cleared, and of the day that comes
        await stand.start()
        await stand.tick(at(FIRST, "04:00"))
        await stand.trade(at(FIRST, "15:59"), ("X", 15.0))
        await stand.tick(at(FIRST, "16:00"))
        assert stand.rows() == {"X": (10.0,)}
        await stand.tick(at(SECOND, "04:00"))
        await stand.trade(at(SECOND, "04:00:01"), ("X", 15.5))
        await stand.tick(at(SECOND, "04:00:02"))
        assert stand.rows() == {"X": (None,)}
        await stand.until(lambda: bool(stand.problems), "a problem")
        (problem,) = stand.problems
        assert problem.startswith(f"analyzer-us-stocks-0 has no reference data of {SECOND} yet and tries again: ")
        assert problem.endswith(f"the provider's snapshot is of {FIRST}, and not of {SECOND} yet")
        answers.answer = a_snapshot(at(SECOND, "04:00:01"), X=15.0)
        await ticks_until(stand, at(SECOND, "04:00:02"), (15.0,))
        assert stand.problems == []
        assert stand.figure("reference_failures_total") > 0


async def test_a_day_whose_snapshot_was_there_in_time_knows_them_from_its_first_tick() -> None:
    async with with_provider() as (stand, answers):
        answers.answer = a_snapshot(at(FIRST, "05:00"), X=10.0)
        await stand.start()
        await stand.tick(at(FIRST, "04:00"))
        await stand.trade(at(FIRST, "15:59"), ("X", 15.0))
        await stand.tick(at(FIRST, "16:00"))
        answers.answer = a_snapshot(0, X=15.0)
        await stand.tick(at(SECOND, "03:30"))
        await stand.until(lambda: fetched_day_ns(stand) == at(SECOND, "04:00"), "a fetch before the day")
        await stand.tick(at(SECOND, "03:31"))
        assert stand.rows() == {"X": (10.0,)}
        await stand.tick(at(SECOND, "04:00"))
        await stand.trade(at(SECOND, "04:00:01"), ("X", 15.5))
        await stand.tick(at(SECOND, "04:00:02"))
        assert stand.rows() == {"X": (15.0,)}


@pytest.mark.parametrize("answer", [{"status": "OK", "tickers": []}, 503])
async def test_an_analyzer_that_finds_no_snapshot_works_without_and_asks_again(answer: dict[str, object] | int) -> None:
    async with with_provider() as (stand, answers):
        answers.answer = answer
        await stand.start()
        assert "has no reference data yet and tries again" in stand.problems[0]
        await stand.tick(at(FIRST, "04:00"))
        await stand.trade(at(FIRST, "09:30"), ("X", 15.0))
        await stand.tick(at(FIRST, "09:30:01"))
        assert stand.rows() == {"X": (None,)}
        assert stand.figure("symbols_without_reference") == 1
        answers.answer = a_snapshot(at(FIRST, "09:30"), X=10.0)
        await ticks_until(stand, at(FIRST, "09:30:01"), (10.0,))
        assert (stand.problems, stand.figure("symbols_without_reference")) == ([], 0)


async def test_a_snapshot_that_fills_is_asked_for_until_the_symbols_that_trade_are_in_it() -> None:
    async with with_provider() as (stand, answers):
        answers.answer = a_snapshot(at(FIRST, "04:00"), X=10.0)
        await stand.start()
        await stand.tick(at(FIRST, "04:00"))
        await stand.trade(at(FIRST, "09:30"), ("X", 15.0), ("Y", 3.3), ("Z", 1.0))
        await stand.tick(at(FIRST, "09:30:01"))
        assert stand.rows() == {"X": (10.0,), "Y": (None,), "Z": (None,)}
        assert stand.problems == ["analyzer-us-stocks-0 knows no reference data of 2 of the 3 symbols that trade"]
        answers.answer = a_snapshot(at(FIRST, "09:30"), X=11.0, Y=3.0)
        await ticks_until(stand, at(FIRST, "09:30:01"), (3.0,), "Y")
        assert stand.rows() == {"X": (10.0,), "Y": (3.0,), "Z": (None,)}
        assert stand.problems == []


async def test_a_key_that_is_refused_ends_the_start_and_says_so() -> None:
    async with with_provider() as (stand, answers):
        answers.answer = 401
        with pytest.raises(RoleInputError, match="the API key is not accepted"):
            await stand.start()


async def test_after_a_kill_the_figures_are_those_of_before_whatever_the_provider_says_by_then() -> None:
    async with with_provider() as (stand, answers):
        answers.answer = a_snapshot(at(FIRST, "04:00"), X=10.0, Y=3.0)
        await stand.start()
        await stand.tick(at(FIRST, "04:00"))
        await stand.trade(at(FIRST, "09:30"), ("X", 15.0))
        await stand.tick(at(FIRST, "09:30:01"))
        await stand.until(lambda: stand.figure("state_saves_total") > 0, "a save")
        await stand.kill()
        answers.answer = a_snapshot(at(FIRST, "09:31"), X=11.0, Y=4.0)
        await stand.start()
        await stand.trade(at(FIRST, "09:30:02"), ("Y", 3.5))
        await stand.tick(at(FIRST, "09:30:03"))
        assert stand.rows() == {"X": (10.0,), "Y": (3.0,)}


async def test_a_file_has_previous_closes_of_one_day_and_the_status_says_when_it_is_to_be_renewed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "symbols.csv"
    file.write_text("symbol,previous_close\nX,10\n")
    async with an_analyzer_stand(of_a_file("symbols.csv"), tmp_path) as stand:
        await stand.start()
        await stand.tick(at(FIRST, "04:00"))
        await stand.trade(at(FIRST, "15:59"), ("X", 15.0))
        await stand.tick(at(FIRST, "16:00"))
        assert (stand.rows(), stand.problems) == ({"X": (10.0,)}, [])
        await stand.tick(at(SECOND, "04:00"))
        await stand.trade(at(SECOND, "04:00:01"), ("X", 15.5))
        await stand.tick(at(SECOND, "04:00:02"))
        assert stand.rows() == {"X": (None,)}
        (problem,) = stand.problems
        assert problem.startswith(f"analyzer-us-stocks-0 knows no previous closes: symbols.csv was read for {FIRST}, ")
        assert problem.endswith(f"and this is {SECOND}; renew the file and restart")
        await stand.stop()
        file.write_text("symbol,previous_close\nX,15\n")
        await stand.start()
        await stand.tick(at(SECOND, "04:00:03"))
        assert (stand.rows(), stand.problems) == ({"X": (15.0,)}, [])


async def test_an_analyzer_that_begins_in_mid_session_says_so_until_the_next() -> None:
    configuration = a_configuration(a_board("price", "high_of_day", name=BOARD), asset_class=AssetClass.STOCKS)
    async with an_analyzer_stand(configuration) as stand:
        stand.live = True
        await stand.start()
        await stand.tick(at(FIRST, "11:00"))
        await stand.trade(at(FIRST, "11:00:01"), ("X", 14.0))
        await stand.tick(at(FIRST, "11:00:02"))
        assert stand.rows() == {"X": (None,)}
        (words,) = stand.problems
        assert words.startswith(
            "analyzer-us-stocks-0 began in mid-session: it hears us-stocks since 2026-03-10T15:00:00Z"
        )
        await stand.stop()
        await stand.start()
        await stand.tick(at(FIRST, "11:00:03"))
        assert stand.problems == [words]
        await stand.tick(at(SECOND, "04:00"))
        assert stand.problems == []


async def test_an_analyzer_whose_state_is_lost_invents_no_figures_of_a_recording_either() -> None:
    async with an_analyzer_stand(a_configuration(a_board("price", "high_of_day", name=BOARD))) as stand:
        await stand.start()
        await stand.tick(at(FIRST, "04:00"))
        await stand.trade(at(FIRST, "09:30"), ("X", 20.0))
        await stand.tick(at(FIRST, "09:30:01"))
        assert (stand.rows(), stand.problems) == ({"X": (20.0,)}, [])
        await stand.stop()
        await stand.cache.delete(list(stand.cache._states))
        await stand.start()
        await stand.trade(at(FIRST, "11:00"), ("X", 14.0))
        await stand.tick(at(FIRST, "11:00:01"))
        assert stand.rows() == {"X": (None,)}
        assert any("began in mid-session" in problem for problem in stand.problems)


async def test_the_quotes_of_symbols_that_are_released_leave_the_cache() -> None:
    async with an_analyzer_stand(a_configuration(a_board("price", name=BOARD))) as stand:
        await stand.start()
        for date, symbols in ((FIRST, "XY"), (SECOND, "X")):
            await stand.tick(at(date, "04:00"))
            await stand.trade(at(date, "09:30"), *((symbol, 10.0) for symbol in symbols))
            await stand.tick(at(date, "09:30:01"))
        await stand.stop()  # everything is written
        assert await stand.quoted() == {"X", "Y"}
        await stand.start()
        await stand.tick(at(THIRD, "04:00"))
        await stand.stop()
        assert await stand.quoted() == {"X"}


async def test_the_quotes_that_a_lost_state_left_leave_the_cache() -> None:
    async with an_analyzer_stand(a_configuration(a_board("price", name=BOARD))) as stand:
        await stand.start()
        await stand.tick(at(FIRST, "04:00"))
        await stand.trade(at(FIRST, "09:30"), ("X", 10.0), ("Y", 10.0))
        await stand.tick(at(FIRST, "09:30:01"))
        await stand.stop()
        assert await stand.quoted() == {"X", "Y"}
        await stand.cache.delete(list(stand.cache._states))
        await stand.start()
        await stand.trade(at(FIRST, "09:30:02"), ("X", 10.0))
        await stand.tick(at(FIRST, "09:30:03"))
        await stand.stop()
        assert await stand.quoted() == {"X"}
