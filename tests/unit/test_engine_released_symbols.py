"""Symbols leave with the day in which they had their last event, and everything that is kept by row follows."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.engine import Engine, Evaluation, ReferenceData, SymbolReference
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Trade
from support.engine_market import MINUTE_NS, SECOND_NS, a_board, a_signal, an_engine, features, new_york

BEGINS = [new_york(f"2026-03-{day} 04:00") for day in ("09", 10, 11, 12, 13)]
NOON_NS = 8 * 3600 * SECOND_NS
SCANNERS = (
    a_board("price", "previous_close", "volume", name="board"),
    a_signal(where="price > 10.0", cooldown_ns=30 * 3600 * SECOND_NS, name="rare"),
    a_signal(where="previous_close > 1.0", name="lasting"),
)
CLOSES = {symbol: SymbolReference(average_volume=1e6 + place) for place, symbol in enumerate("ABCDE")}


def an_open_engine(max_symbols: int = 50_000) -> Engine:
    return an_engine(*SCANNERS, reference=ReferenceData(symbols=CLOSES), max_symbols=max_symbols)


def trade(engine: Engine, now_ns: int, symbols: str, price: float = 11.0) -> None:
    engine.apply(Channel.TRADES, encode_events([Trade(symbol, now_ns, price, 100.0) for symbol in symbols]))


def a_day(engine: Engine, day: int, symbols: str, price: float = 11.0) -> list[Evaluation]:
    """Let *symbols* trade at noon; return what the first tick of the day and those around noon yield."""
    noon_ns = BEGINS[day] + NOON_NS
    first = engine.tick(Tick(BEGINS[day]))
    trade(engine, noon_ns, symbols, price)
    return [first, engine.tick(Tick(noon_ns + SECOND_NS)), engine.tick(Tick(noon_ns + MINUTE_NS))]


def there(engine: Engine) -> str:
    return "".join(row.symbol for row in engine.quotes())


def saved(engine: Engine) -> dict[str, bytes]:
    return {name: value for name, value in engine.snapshot().items() if value is not None}


def test_a_symbol_without_an_event_in_the_day_is_released_when_the_next_begins() -> None:
    engine = an_open_engine()
    released = [a_day(engine, day, symbols)[0].released for day, symbols in enumerate(["ABC", "AC", "C", "D"])]
    assert released == [(), (), ("B",), ("A",)]
    assert there(engine) == "CD"
    assert engine.counts.symbols == 2


def test_an_event_that_no_tick_saw_before_the_day_ended_counts() -> None:
    engine = an_open_engine()
    a_day(engine, 0, "AB")
    engine.tick(Tick(BEGINS[1]))
    trade(engine, BEGINS[1] + NOON_NS, "A")
    assert engine.tick(Tick(BEGINS[2])).released == ("B",)


def test_an_event_that_changes_nothing_keeps_its_symbol() -> None:
    engine = an_open_engine()
    a_day(engine, 0, "AB")
    a_day(engine, 1, "A", price=0.0)
    assert engine.tick(Tick(BEGINS[2])).released == ("B",)


def test_symbols_that_leave_no_room_for_as_many_new_ones_are_all_released() -> None:
    engine = an_open_engine(max_symbols=2)
    a_day(engine, 0, "ABD")
    assert (there(engine), engine.counts.refused_events) == ("AB", 1)
    first, *_ = a_day(engine, 1, "C")
    assert first.released == ("A", "B")
    assert (there(engine), engine.counts.refused_events, engine.counts.refused_symbols) == ("C", 1, 0)
    other = an_open_engine(max_symbols=2)
    other.restore(saved(engine))
    trade(other, BEGINS[1] + NOON_NS + 2 * MINUTE_NS, "CA")
    other.tick(Tick(BEGINS[1] + NOON_NS + 3 * MINUTE_NS))
    assert (there(other), other.counts.refused_events) == ("AC", 0)


def test_expired_contracts_make_room_for_those_of_the_next_day_for_ever() -> None:
    engine = an_engine(max_symbols=10)
    for day, begin_ns in enumerate(BEGINS):
        engine.tick(Tick(begin_ns))
        trades = [Trade(f"O:{day}-{number}", begin_ns + NOON_NS, 1.0, 1.0) for number in range(10)]
        engine.apply(Channel.TRADES, encode_events(trades))
        engine.tick(Tick(begin_ns + NOON_NS + SECOND_NS))
    assert engine.counts.refused_events == 0
    assert [row.symbol for row in engine.quotes()] == [f"O:4-{number}" for number in range(10)]


def test_figures_and_cooldowns_stay_with_their_symbol() -> None:
    engine = an_open_engine()
    a_day(engine, 0, "ABCDE", price=9.0)
    engine.tick(Tick(BEGINS[1]))
    trade(engine, BEGINS[1] + NOON_NS, "B", price=9.0)
    trade(engine, BEGINS[1] + NOON_NS, "E")
    assert [signal.symbol for signal in engine.tick(Tick(BEGINS[1] + NOON_NS + SECOND_NS)).signals] == ["E"]
    _, evaluation, _ = a_day(engine, 2, "EBA")
    assert there(engine) == "ABE"
    assert features(engine, "E")["average_volume"] == 1e6 + 4
    assert [signal.symbol for signal in evaluation.signals] == ["A", "B"], "E fired less than thirty hours ago"


def test_what_rewinds_releases_everybody_who_does_not_come_again() -> None:
    engine = an_open_engine()
    a_day(engine, 0, "AB")
    assert engine.tick(Tick(BEGINS[0], rewound=True)).released == ("A", "B")


def test_a_symbol_that_comes_back_begins_anew() -> None:
    engine = an_open_engine()
    a_day(engine, 0, "AB")
    a_day(engine, 1, "A")
    a_day(engine, 2, "A")
    a_day(engine, 3, "BA", price=12.0)
    assert there(engine) == "AB"
    assert (features(engine, "B")["price"], features(engine, "B")["average_volume"]) == (12.0, 1e6 + 1)


@st.composite
def weeks(draw: st.DrawFn) -> list[tuple[int, str]]:
    """For each of five days which symbols trade, in order."""
    return [(day, "".join(draw(st.lists(st.sampled_from("ABCDE"), max_size=6)))) for day in range(5)]


@settings(max_examples=60, deadline=None)
@given(week=weeks(), data=st.data(), max_symbols=st.sampled_from([3, 50]))
def test_a_restart_on_any_day_releases_and_keeps_the_same(
    week: list[tuple[int, str]], data: st.DataObject, max_symbols: int
) -> None:
    whole = an_open_engine(max_symbols)
    engine, fields = an_open_engine(max_symbols), dict[str, bytes]()
    for day, symbols in week:
        expected = a_day(whole, day, symbols)
        if data.draw(st.booleans()):
            for name, value in engine.snapshot().items():
                if value is None:
                    fields.pop(name, None)
                else:
                    fields[name] = value
            engine = an_open_engine(max_symbols)
            engine.restore(fields)
        assert msgspec.json.encode(a_day(engine, day, symbols)) == msgspec.json.encode(expected)
        assert msgspec.json.encode(engine.quotes()) == msgspec.json.encode(whole.quotes())


@pytest.mark.parametrize("share", [0, 1])
def test_the_quotes_of_those_who_stay_are_written_anew(share: int) -> None:
    engine = an_open_engine()
    a_day(engine, 0, "ABCDE")
    a_day(engine, 1, "BD")
    engine.changed_quotes()
    engine.tick(Tick(BEGINS[2]))
    assert [row.symbol for row in engine.changed_quotes(share, 2)] == [["B"], ["D"]][share]
