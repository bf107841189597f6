"""Reference data by trading day: whose it is, when it shows, and that whoever goes on has the same."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.engine import DayReference, Engine, ReferenceData, SymbolReference
from scanplane.engine.references import VAIN_FETCHES
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Trade
from scanplane.marketdata.partitions import Partition, partition_of
from scanplane.resources.market import ReferenceSource
from support.engine_market import SECOND_NS, a_signal, an_engine, features, new_york, us_calendar

FIRST, SECOND, THIRD = (f"2026-03-{day}" for day in (10, 11, 12))
GAPPERS = a_signal(where="gap_percent >= 4.0", name="gappers")


def begin_ns(date: str) -> int:
    return new_york(f"{date} 04:00")


def fetched(date: str, **closes: float) -> DayReference:
    symbols = {symbol: SymbolReference(previous_close=close) for symbol, close in closes.items()}
    return DayReference(begin_ns=begin_ns(date), symbols=symbols)


def given_closes(digest: str = "", **closes: float) -> ReferenceData:
    figures = {
        symbol: SymbolReference(previous_close=close, average_volume=1e6, free_float=5e5)
        for symbol, close in closes.items()
    }
    return ReferenceData(symbols=figures, digest=digest)


def with_provider(partition: Partition = Partition(0, 1)) -> Engine:  # noqa: B008 # immutable
    return an_engine(GAPPERS, previous_close=ReferenceSource.PROVIDER, partition=partition)


def trade(engine: Engine, at: str, price: float, symbol: str = "X") -> None:
    engine.apply(Channel.TRADES, encode_events([Trade(symbol, new_york(at), price, 100.0)]))


def signalled(engine: Engine, at: str) -> list[str]:
    return [signal.symbol for signal in engine.tick(Tick(new_york(at))).signals]


def known(engine: Engine, name: str, symbol: str = "X") -> object:
    return features(engine, symbol).get(name)


def saved(engine: Engine) -> dict[str, bytes]:
    return {name: value for name, value in engine.snapshot().items() if value is not None}


# --- fetched from the provider ---


def a_first_day(engine: Engine) -> None:
    """X closes at 10 the day before, opens at 10 and closes at 15."""
    engine.expect(fetched(FIRST, X=10.0))
    engine.tick(Tick(begin_ns(FIRST)))
    trade(engine, f"{FIRST} 09:30:00.5", 10.0)
    trade(engine, f"{FIRST} 15:59:59", 15.0)
    engine.tick(Tick(new_york(f"{FIRST} 16:00")))


def test_a_new_day_does_not_measure_its_gaps_from_the_close_before_yesterday() -> None:
    engine = with_provider()
    a_first_day(engine)
    assert known(engine, "change_percent") == 50.0
    engine.tick(Tick(begin_ns(SECOND)))
    trade(engine, f"{SECOND} 09:30:00.5", 15.0)
    assert signalled(engine, f"{SECOND} 09:30:01") == []
    assert (known(engine, "previous_close"), known(engine, "gap_percent")) == (None, None)
    engine.expect(fetched(SECOND, X=15.0))
    assert known(engine, "previous_close") is None
    assert signalled(engine, f"{SECOND} 09:30:02") == []
    assert (known(engine, "previous_close"), known(engine, "gap_percent")) == (15.0, 0.0)


def test_what_was_fetched_before_the_day_shows_from_its_first_tick_on() -> None:
    engine = with_provider()
    a_first_day(engine)
    engine.expect(fetched(SECOND, X=14.0))
    engine.tick(Tick(new_york(f"{SECOND} 03:59:59")))
    assert known(engine, "previous_close") == 10.0
    engine.tick(Tick(begin_ns(SECOND)))
    assert known(engine, "previous_close") == 14.0
    trade(engine, f"{SECOND} 09:30:00.5", 15.0)
    assert signalled(engine, f"{SECOND} 09:30:01") == ["X"]


def test_a_figure_that_is_known_stays_and_what_is_fetched_again_adds_symbols() -> None:
    engine = with_provider()
    a_first_day(engine)
    engine.expect(fetched(FIRST, X=11.0, Y=3.0))
    trade(engine, f"{FIRST} 16:00:01", 3.3, "Y")
    engine.tick(Tick(new_york(f"{FIRST} 16:00:02")))
    assert (known(engine, "previous_close"), known(engine, "previous_close", "Y")) == (10.0, 3.0)


def test_what_was_fetched_for_an_earlier_day_is_not_used() -> None:
    engine = with_provider()
    a_first_day(engine)
    engine.tick(Tick(begin_ns(SECOND)))
    engine.expect(fetched(FIRST, X=12.0))
    engine.tick(Tick(begin_ns(SECOND) + SECOND_NS))
    assert known(engine, "previous_close") is None


def test_a_day_is_asked_for_half_an_hour_before_it_begins_and_until_it_is_there() -> None:
    engine = with_provider()
    assert engine.wanted_reference() is None
    a_first_day(engine)
    wanted = []
    for at in (f"{FIRST} 20:00", f"{SECOND} 03:29:59", f"{SECOND} 03:30", f"{SECOND} 04:00", f"{SECOND} 04:00:01"):
        if at.endswith("04:00:01"):
            engine.expect(fetched(SECOND, X=15.0))
        engine.tick(Tick(new_york(at)))
        wanted.append(engine.wanted_reference())
    assert wanted == [None, None, begin_ns(SECOND), begin_ns(SECOND), None]


def test_a_day_is_asked_for_again_as_long_as_there_is_hope_for_symbols_that_trade() -> None:
    engine = with_provider()
    a_first_day(engine)
    ticks = iter(range(new_york(f"{FIRST} 16:00:01"), new_york(f"{FIRST} 17:00"), SECOND_NS))

    def wanted_after(fetches: int, *, new: str = "", **closes: float) -> list[bool]:
        """Return whether the day is wanted after each of several fetches that know *closes*."""
        answers = []
        for number in range(fetches):
            if new and not number:
                engine.apply(Channel.TRADES, encode_events([Trade(new, next(ticks), 3.3, 100.0)]))
                engine.tick(Tick(next(ticks)))
                assert engine.wanted_reference() == begin_ns(FIRST)
            engine.expect(fetched(FIRST, **closes))
            engine.tick(Tick(next(ticks)))
            answers.append(engine.wanted_reference() == begin_ns(FIRST))
        return answers

    assert (engine.wanted_reference(), engine.counts.symbols_without_reference) == (None, 0)
    assert wanted_after(12, new="Y", X=10.0) == [True] * VAIN_FETCHES + [False] * (12 - VAIN_FETCHES)
    assert engine.counts.symbols_without_reference == 1
    assert wanted_after(3, new="Z", X=10.0) == [True] * 3
    assert engine.counts.symbols_without_reference == 2
    assert wanted_after(1, Y=3.0, Z=4.0) == [False]
    assert engine.counts.symbols_without_reference == 0


def test_a_market_without_the_provider_as_a_source_asks_for_nothing() -> None:
    engine = an_engine()
    engine.tick(Tick(begin_ns(FIRST)))
    trade(engine, f"{FIRST} 09:30", 10.0)
    engine.tick(Tick(new_york(f"{FIRST} 09:30:01")))
    assert (engine.wanted_reference(), engine.counts.symbols_without_reference) == (None, 0)


def test_whoever_takes_over_has_the_same_figures_for_symbols_that_come_later_too() -> None:
    engine = with_provider()
    engine.expect(fetched(FIRST, X=10.0, Y=3.0))
    engine.tick(Tick(begin_ns(FIRST)))
    trade(engine, f"{FIRST} 09:30:00.5", 11.0)
    engine.tick(Tick(new_york(f"{FIRST} 09:30:01")))
    standby = with_provider()
    standby.restore(saved(engine))
    assert msgspec.json.encode(standby.quotes()) == msgspec.json.encode(engine.quotes())
    standby.expect(fetched("2026-03-05", X=7.0, Y=7.0))  # what it was prepared with, days ago
    trade(standby, f"{FIRST} 09:30:01", 3.3, "Y")
    standby.tick(Tick(new_york(f"{FIRST} 09:30:02")))
    assert (known(standby, "previous_close"), known(standby, "previous_close", "Y")) == (10.0, 3.0)


def test_a_state_of_yesterday_brings_no_figures_into_today() -> None:
    engine = with_provider()
    a_first_day(engine)
    other = with_provider()
    other.restore(saved(engine))
    other.tick(Tick(begin_ns(SECOND)))
    assert known(other, "previous_close") is None
    assert other.wanted_reference() == begin_ns(SECOND)


@pytest.mark.parametrize("after", [1, 3])
def test_another_number_of_partitions_goes_on_with_the_same_figures(after: int) -> None:
    closes = {f"S{number}": 10.0 + number for number in range(20)}
    states = []
    for index in range(2):
        engine = with_provider(Partition(index, 2))
        engine.expect(fetched(FIRST, **closes))
        engine.tick(Tick(begin_ns(FIRST)))
        states.append(saved(engine))
        assert all(len(state["reference"]) < 500 for state in states), "a partition keeps its own share"
    seen: dict[str, object] = {}
    for index in range(after):
        engine = with_provider(Partition(index, after))
        for state in states:
            engine.restore(state)
        mine = [symbol for symbol in closes if partition_of(symbol, after) == index]
        for symbol in mine:
            trade(engine, f"{FIRST} 09:30", 10.0, symbol)
        engine.tick(Tick(new_york(f"{FIRST} 09:30:01")))
        seen |= {symbol: known(engine, "previous_close", symbol) for symbol in mine}
    assert seen == closes


Step = tuple[str, float] | DayReference | Tick


@st.composite
def streams(draw: st.DrawFn) -> list[Step]:
    """Two days of a few trades and ticks, into which figures of either day come at any moment."""
    now_ns = begin_ns(FIRST)
    steps: list[Step] = [Tick(now_ns)]
    trades = st.tuples(st.sampled_from("XYZ"), st.sampled_from([9.0, 10.0, 15.0]))
    for _ in range(draw(st.integers(2, 12))):
        steps += draw(st.lists(trades, max_size=3))
        if draw(st.booleans()):
            closes = {symbol: draw(st.sampled_from([8.0, 12.0])) for symbol in draw(st.sets(st.sampled_from("XYZ")))}
            steps.append(fetched(draw(st.sampled_from([FIRST, SECOND])), **closes))
        now_ns += draw(st.sampled_from([SECOND_NS, 3600 * SECOND_NS, 19 * 3600 * SECOND_NS]))
        steps.append(Tick(now_ns))
    return steps


def play(engine: Engine, steps: list[Step], now_ns: int) -> tuple[bytes, int]:
    """Feed the steps, what is fetched right before the next tick as an analyzer does; return what ticks yield."""
    results = bytearray()
    for step in steps:
        if isinstance(step, Tick):
            now_ns = step.tick_ns
            evaluation = engine.tick(step)
            results += msgspec.json.encode([evaluation.signals, engine.quotes()])
        elif isinstance(step, DayReference):
            engine.expect(step)
        else:
            symbol, price = step
            engine.apply(Channel.TRADES, encode_events([Trade(symbol, now_ns, price, 100.0)]))
    return bytes(results), now_ns


@settings(max_examples=150, deadline=None)
@given(steps=streams(), data=st.data())
def test_a_restart_at_any_tick_changes_no_figure(steps: list[Step], data: st.DataObject) -> None:
    uninterrupted, _ = play(with_provider(), steps, 0)
    engine, fields, results, now_ns = with_provider(), dict[str, bytes](), b"", 0
    latest: DayReference | None = None
    for place, step in enumerate(steps):
        part, now_ns = play(engine, [step], now_ns)
        results += part
        latest = step if isinstance(step, DayReference) else latest
        if isinstance(step, Tick) and data.draw(st.booleans(), label=f"restart after step {place}"):
            store(engine, fields)
            engine = with_provider()
            engine.restore(fields)
            if latest is not None:
                engine.expect(latest)  # the next process has fetched the same
    assert results == uninterrupted


def store(engine: Engine, fields: dict[str, bytes]) -> None:
    """Do with a snapshot what the cache does."""
    for name, value in engine.snapshot().items():
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = value


# --- given in files ---


def figures(engine: Engine) -> Mapping[str, object]:
    return {name: known(engine, name) for name in ("previous_close", "average_volume", "free_float")}


def test_previous_closes_of_a_file_are_those_of_one_trading_day_and_averages_and_floats_last() -> None:
    engine = an_engine(GAPPERS, reference=given_closes(X=10.0))
    engine.tick(Tick(begin_ns(FIRST)))
    trade(engine, f"{FIRST} 09:30:00.5", 15.0)
    assert signalled(engine, f"{FIRST} 09:30:01") == ["X"]
    assert engine.outdated_closes is None
    engine.tick(Tick(begin_ns(SECOND)))
    trade(engine, f"{SECOND} 09:30:00.5", 15.0)
    assert signalled(engine, f"{SECOND} 09:30:01") == []
    assert figures(engine) == {"previous_close": None, "average_volume": 1e6, "free_float": 5e5}
    assert engine.outdated_closes == tuple(us_calendar().day_at(begin_ns(date)) for date in (FIRST, SECOND))


@pytest.mark.parametrize(
    ("first_tick", "date"),
    [
        (f"{FIRST} 04:00", FIRST),
        (f"{FIRST} 12:00", FIRST),
        (f"{FIRST} 19:59:59", FIRST),
        (f"{FIRST} 20:00", SECOND),
        (f"{SECOND} 03:59", SECOND),
    ],
)
def test_a_file_is_of_the_session_in_progress_when_it_is_read_or_of_the_next(first_tick: str, date: str) -> None:
    engine = an_engine(reference=given_closes(X=10.0))
    engine.tick(Tick(new_york(first_tick)))
    seen = {}
    for day in (FIRST, SECOND, THIRD):
        engine.tick(Tick(begin_ns(day)))
        trade(engine, f"{day} 20:00:00", 15.0)
        engine.tick(Tick(new_york(f"{day} 20:00:01")))
        seen[day] = known(engine, "previous_close")
    assert seen == {day: 10.0 if day == date else None for day in (FIRST, SECOND, THIRD)}


@pytest.mark.parametrize(("digest", "close"), [("old", None), ("new", 15.0)])
def test_a_restart_renews_the_closes_only_with_another_file(digest: str, close: float | None) -> None:
    engine = an_engine(reference=given_closes("old", X=10.0))
    engine.tick(Tick(begin_ns(FIRST)))
    trade(engine, f"{FIRST} 09:30:00.5", 15.0)
    engine.tick(Tick(new_york(f"{FIRST} 09:30:01")))
    engine.tick(Tick(begin_ns(SECOND)))
    other = an_engine(reference=given_closes(digest, X=10.0 if digest == "old" else 15.0))
    other.restore(saved(engine))
    other.tick(Tick(new_york(f"{SECOND} 04:00:01")))
    assert known(other, "previous_close") == close


def test_a_restart_with_the_same_file_in_mid_session_changes_nothing() -> None:
    engine = an_engine(reference=given_closes("same", X=10.0))
    engine.tick(Tick(begin_ns(FIRST)))
    trade(engine, f"{FIRST} 09:30:00.5", 15.0)
    engine.tick(Tick(new_york(f"{FIRST} 09:30:01")))
    other = an_engine(reference=given_closes("same", X=10.0))
    other.restore(saved(engine))
    assert figures(other) == figures(engine)
    other.tick(Tick(new_york(f"{FIRST} 09:30:02")))
    assert known(other, "previous_close") == 10.0


def test_figures_of_both_sources_stand_side_by_side() -> None:
    given_figures = {"X": SymbolReference(average_volume=1e6)}
    engine = an_engine(reference=ReferenceData(symbols=given_figures), previous_close=ReferenceSource.PROVIDER)
    engine.expect(fetched(FIRST, X=10.0))
    engine.tick(Tick(begin_ns(FIRST)))
    trade(engine, f"{FIRST} 09:30", 15.0)
    engine.tick(Tick(new_york(f"{FIRST} 09:30:01")))
    assert (known(engine, "previous_close"), known(engine, "average_volume")) == (10.0, 1e6)
