"""An engine that begins after the session did: what it can't know is unknown, and nothing is derived from it."""

from collections.abc import Mapping

import pytest

from scanplane.engine import DayReference, DaySoFar, Engine, Evaluation, SymbolReference
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.events import Bar, Trade
from scanplane.resources.market import ReferenceSource
from support.engine_market import (
    MINUTE_NS,
    SECOND_NS,
    Step,
    a_signal,
    an_engine,
    features,
    new_york,
    round_the_clock,
)

DATE = "2013-10-08"
NAN = float("nan")
HIGHS = a_signal("new_high_of_day", name="highs")
OF_THE_DAY = ("high_of_day", "low_of_day", "volume", "vwap", "dollar_volume", "premarket_volume", "premarket_high")
OF_THE_SESSION = ("open", "high", "low", "change_from_open_percent", "range_percent")


def at(time: str) -> int:
    return new_york(f"{DATE} {time}")


def a_trade(time: str, price: float, symbol: str = "X") -> Step:
    instant_ns = at(time)
    conditions = () if at("09:30") <= instant_ns < at("16:00") else (12,)
    return Channel.TRADES, [Trade(symbol, instant_ns, price, 100.0, conditions)]


def a_bar(time: str, close: float, *, accumulated: float = NAN, official_open: float = NAN, vwap: float = NAN) -> Bar:
    end_ns = at(time)
    figures = (close, close, close, close, 10.0, close, accumulated, official_open, vwap)
    return Bar("X", end_ns, end_ns - SECOND_NS, *figures)


def live(engine: Engine, *steps: Step) -> list[Evaluation]:
    """Feed *steps* to the engine, received a second after they happened; return what its ticks yield."""
    evaluations = []
    for step in steps:
        if isinstance(step, Tick):
            evaluations.append(engine.tick(step, step.tick_ns + SECOND_NS))
        else:
            channel, events = step
            engine.apply(channel, encode_events(events))
    return evaluations


def began(*steps: Step) -> Engine:
    """Return an engine of a live market after *steps*, its first; its reference data has a previous close of 10."""
    engine = an_engine(HIGHS, previous_close=ReferenceSource.PROVIDER)
    engine.expect(DayReference(begin_ns=at("04:00"), symbols={"X": SymbolReference(previous_close=10.0)}))
    live(engine, *steps)
    return engine


def unknown(engine: Engine, names: tuple[str, ...] = (*OF_THE_DAY, *OF_THE_SESSION)) -> set[str]:
    return set(names) - features(engine, "X").keys()


def after_a_start_at_eleven() -> list[Step]:
    """The open was 10 and the high of the day 20; then X trades at 14 and 14.01."""
    return [
        Tick(at("11:00")),
        a_trade("11:00:00.5", 14.0),
        Tick(at("11:00:01")),
        a_trade("11:00:01.5", 14.01),
        Tick(at("11:00:02")),
    ]


def test_a_start_in_mid_session_invents_no_open_no_extremes_and_no_events() -> None:
    engine = an_engine(HIGHS, a_signal(where="gap_percent >= 4.0", name="gappers"))
    evaluations = live(engine, *after_a_start_at_eleven())
    known = features(engine, "X")
    assert known.keys() & {*OF_THE_DAY, *OF_THE_SESSION, "gap_percent"} == set()
    assert known["price"] == 14.01
    assert [signal.scanner for evaluation in evaluations for signal in evaluation.signals] == []


@pytest.mark.parametrize("received_ns", [0, at("11:00") + 24 * 3600 * SECOND_NS, at("11:00") - 3600 * SECOND_NS])
def test_a_recording_that_begins_at_eleven_is_all_there_is_of_its_day(received_ns: int) -> None:
    engine = an_engine(HIGHS)
    for step in after_a_start_at_eleven():
        if isinstance(step, Tick):
            fired = engine.tick(step, received_ns).signals
        else:
            engine.apply(step[0], encode_events(step[1]))
    assert [signal.scanner for signal in fired] == ["highs"]
    assert features(engine, "X")["open"] == 14.0
    assert engine.missed_beginning_ns is None


def test_what_needs_no_morning_is_known() -> None:
    steps: list[Step] = [Tick(at("11:00"))]
    for second in range(80):
        trade = a_trade(f"11:0{second // 60}:{second % 60:02}.5", 14.0 + second / 100)
        steps += [trade, Tick(at("11:00") + (second + 1) * SECOND_NS)]
    engine = began(*steps)
    known = features(engine, "X")
    assert known["change_percent"] == pytest.approx(47.9)
    assert (known["volume_1m"], known["change_1m_percent"]) == (6000.0, pytest.approx(0.6 / 14.19 * 100))
    assert "volume" not in known


def test_bars_tell_the_open_the_volume_and_the_vwap_but_no_extremes() -> None:
    bar = a_bar("11:00:01", 14.0, accumulated=5e5, official_open=10.0, vwap=12.0)
    engine = began(Tick(at("11:00")), (Channel.SECOND_AGGREGATES, [bar]), Tick(at("11:00:02")))
    known = features(engine, "X")
    assert (known["open"], known["gap_percent"], known["volume"], known["vwap"]) == (10.0, 0.0, 5e5, 12.0)
    assert unknown(engine) == {
        "high", "low", "range_percent", "high_of_day", "low_of_day", "premarket_volume", "premarket_high",
    }  # fmt: skip


def test_bars_without_the_providers_own_figures_tell_nothing_of_the_day() -> None:
    engine = began(Tick(at("11:00")), (Channel.SECOND_AGGREGATES, [a_bar("11:00:01", 14.0)]), Tick(at("11:00:02")))
    assert unknown(engine) == {*OF_THE_DAY, *OF_THE_SESSION}


@pytest.mark.parametrize(
    ("first_tick", "names"),
    [
        ("04:00", set()),
        ("04:01", set()),
        ("04:01:00.25", set(OF_THE_DAY)),
        ("08:00", set(OF_THE_DAY)),
        ("09:30", set(OF_THE_DAY)),
        ("09:31", set(OF_THE_DAY)),
        ("09:31:00.25", {*OF_THE_DAY, *OF_THE_SESSION}),
        ("15:59", {*OF_THE_DAY, *OF_THE_SESSION}),
    ],
)
def test_a_session_is_known_if_it_was_heard_from_within_its_first_minute(first_tick: str, names: set[str]) -> None:
    steps: list[Step] = [Tick(at(first_tick))]
    if at(first_tick) < at("09:29"):
        steps += [a_trade("09:29", 9.0), Tick(at("09:29:01"))]
    engine = began(*steps, a_trade("15:59:01", 14.0), Tick(at("15:59:02")))
    assert unknown(engine) == names


def test_after_the_close_of_a_session_that_was_not_heard_nothing_of_it_is_known() -> None:
    engine = began(Tick(at("17:00")), a_trade("17:00:01", 14.0), Tick(at("17:00:02")))
    assert unknown(engine) == {*OF_THE_DAY, *OF_THE_SESSION}


def test_a_market_around_the_clock_that_sums_its_bars_knows_no_volume_of_a_day_that_it_joined() -> None:
    starts = [at("10:00") + minute * MINUTE_NS for minute in range(3)]
    bars = [Bar("X:B", start + MINUTE_NS, start, *(10.0,) * 4, 7.0, 10.0, NAN, NAN, NAN) for start in starts]
    steps: list[Step] = [Tick(at("10:00")), (Channel.MINUTE_AGGREGATES, bars), Tick(at("10:04"))]
    engine = an_engine(calendar=round_the_clock(), asset_class=AssetClass.CRYPTO)
    live(engine, *steps)
    assert features(engine, "X:B").get("volume") is None
    engine = an_engine(calendar=round_the_clock(), asset_class=AssetClass.CRYPTO)
    live(engine, Tick(round_the_clock().day_at(at("10:00")).begin_ns), *steps)
    assert features(engine, "X:B")["volume"] == 21.0


def test_the_next_day_is_whole_again() -> None:
    engine = began(*after_a_start_at_eleven())
    missed = [engine.missed_beginning_ns]
    next_day = new_york("2013-10-09 09:30")
    live(engine, Tick(new_york("2013-10-09 03:59:59.75")))
    live(engine, Tick(new_york("2013-10-09 04:00")))
    missed.append(engine.missed_beginning_ns)
    engine.apply(Channel.TRADES, encode_events([Trade("X", next_day, 11.0, 100.0)]))
    live(engine, Tick(next_day + SECOND_NS))
    assert unknown(engine) <= {"premarket_volume", "premarket_high"}
    assert missed == [at("11:00"), None]


@pytest.mark.parametrize(
    ("last_tick", "first_tick", "is_whole"),
    [
        ("2013-10-08 20:00", "2013-10-09 04:00:30", True),
        ("2013-10-09 03:59:59", "2013-10-09 04:00:59", True),
        ("2013-10-08 20:00", "2013-10-09 11:00", False),
        ("2013-10-08 11:00", "2013-10-09 11:00", False),
        ("2013-10-04 20:00", "2013-10-08 11:00", False),
    ],
)
def test_a_state_of_an_earlier_day_does_not_say_what_happened_while_nobody_was_there(
    last_tick: str, first_tick: str, *, is_whole: bool
) -> None:
    before = an_engine()
    live(before, Tick(new_york(last_tick)))
    engine = an_engine()
    engine.restore(saved(before))
    for each in (before, engine):  # a restart makes no difference
        live(each, Tick(new_york(first_tick)))
        assert (each.missed_beginning_ns is None) is is_whole


def saved(engine: Engine) -> dict[str, bytes]:
    return {name: value for name, value in engine.snapshot().items() if value is not None}


def whole_morning() -> list[Step]:
    return [
        Tick(at("04:00")),
        a_trade("09:30:01", 10.0),
        Tick(at("09:30:02")),
        a_trade("10:00", 20.0),
        Tick(at("10:00:01")),
    ]


def test_a_restart_with_its_state_is_no_start_in_mid_session() -> None:
    engine = an_engine()
    live(engine, *whole_morning())
    other = an_engine()
    other.restore(saved(engine))
    live(other, a_trade("11:00", 14.0), Tick(at("11:00:01")))
    known = features(other, "X")
    assert (known["open"], known["high_of_day"], known["volume"]) == (10.0, 20.0, 300.0)
    assert other.missed_beginning_ns is None


def test_a_restart_does_not_heal_a_start_in_mid_session() -> None:
    engine = began(*after_a_start_at_eleven())
    other = an_engine()
    other.restore(saved(engine))
    live(other, a_trade("12:00", 30.0, "NEW"), Tick(at("12:00:01")))
    assert features(other, "NEW").keys() & {*OF_THE_DAY, *OF_THE_SESSION} == set()
    assert other.missed_beginning_ns == at("11:00")


def test_a_part_of_the_state_that_is_lost_is_a_beginning_in_mid_session() -> None:
    engine = an_engine()
    live(engine, *whole_morning())
    other = an_engine()
    other.restore(saved(engine))
    other.miss_beginning()
    live(other, a_trade("11:00", 14.0), Tick(at("11:00:01")))
    assert unknown(other) >= {"open", "high_of_day", "volume"}
    assert other.missed_beginning_ns == at("11:00:01")


@pytest.mark.parametrize("restarts", [False, True])
def test_a_lost_beginning_counts_in_a_recording_too(*, restarts: bool) -> None:
    engine = an_engine(HIGHS)
    engine.miss_beginning()
    if restarts:
        fields = saved(engine)
        engine = an_engine(HIGHS)
        engine.restore(fields)
    for step in after_a_start_at_eleven():
        if isinstance(step, Tick):
            assert engine.tick(step).signals == ()
        else:
            engine.apply(step[0], encode_events(step[1]))
    assert engine.missed_beginning_ns == at("11:00")
    assert unknown(engine) == {*OF_THE_DAY, *OF_THE_SESSION}


def test_what_came_before_the_first_tick_does_not_begin_the_day_earlier() -> None:
    engine = an_engine()
    live(engine, a_trade("09:30:01", 10.0), Tick(at("09:45")))
    assert unknown(engine, ("open", "high")) == {"open", "high"}


def test_a_live_market_that_begins_again_begins_as_the_first_time() -> None:
    engine = an_engine()
    live(engine, *whole_morning())
    live(engine, Tick(at("09:45"), rewound=True), a_trade("09:45:01", 10.0), Tick(at("09:45:02")))
    assert engine.missed_beginning_ns == at("09:45")
    live(engine, Tick(at("04:00"), rewound=True), a_trade("09:30:01", 10.0), Tick(at("09:45:02")))
    assert engine.missed_beginning_ns is None
    assert features(engine, "X")["open"] == 10.0


def test_long_intervals_between_two_ticks_are_no_gap() -> None:
    interval_ns = 50 * MINUTE_NS
    before_ns = at("04:00") // interval_ns * interval_ns
    engine = an_engine(evaluation_interval_ns=interval_ns)
    live(engine, Tick(before_ns))
    live(engine, Tick(before_ns + interval_ns))
    assert engine.missed_beginning_ns is None


# --- what the provider tells ---


def told(as_of: str, **bars: tuple[float, float, float]) -> DayReference:
    so_far = {symbol: DaySoFar(open=bar[0], high=bar[1], low=bar[2]) for symbol, bar in bars.items()}
    return DayReference(begin_ns=at("04:00"), symbols={}, as_of_ns=at(as_of), so_far=so_far)


def figures(engine: Engine, symbol: str = "X") -> Mapping[str, object]:
    known = features(engine, symbol)
    return {name: known[name] for name in ("open", "high", "low", "high_of_day") if name in known}


def test_the_provider_tells_the_regular_session_before_the_engine_began() -> None:
    engine = began(*after_a_start_at_eleven())
    assert engine.wanted_reference() == at("04:00")
    engine.expect(told("11:00:02", X=(10.0, 20.0, 9.0)))
    evaluations = live(engine, Tick(at("11:00:02.25")))
    assert figures(engine) == {"open": 10.0, "high": 20.0, "low": 9.0}
    assert features(engine, "X")["gap_percent"] == 0.0
    assert evaluations[0].signals == ()
    assert engine.wanted_reference() is None
    live(engine, a_trade("11:00:03", 21.0), a_trade("11:00:03", 8.0), Tick(at("11:00:04")))
    assert figures(engine) == {"open": 10.0, "high": 21.0, "low": 8.0}


def test_what_it_tells_counts_for_symbols_that_trade_later_and_after_a_restart() -> None:
    engine = began(*after_a_start_at_eleven())
    engine.expect(told("11:00:02", X=(10.0, 20.0, 9.0), Y=(3.0, 4.0, 2.0)))
    live(engine, Tick(at("11:00:02.25")))
    other = an_engine(HIGHS, previous_close=ReferenceSource.PROVIDER)
    other.restore(saved(engine))
    for each in (engine, other):
        live(each, a_trade("12:00", 3.5, "Y"), a_trade("12:00", 1.0, "Z"), Tick(at("12:00:01")))
        assert figures(each, "Y") == {"open": 3.0, "high": 4.0, "low": 2.0}
        assert figures(each, "Z") == {}


@pytest.mark.parametrize(
    ("as_of", "shown_at"), [("10:59:59.75", None), ("11:00", "11:00:03"), ("11:00:10", "11:00:10")]
)
def test_it_must_reach_to_where_the_engine_began_and_not_into_its_future(as_of: str, shown_at: str | None) -> None:
    engine = began(*after_a_start_at_eleven())
    engine.expect(told(as_of, X=(10.0, 20.0, 9.0)))
    first = None
    for second in range(3, 15):
        live(engine, Tick(at("11:00") + second * SECOND_NS))
        if first is None and "high" in features(engine, "X"):
            first = engine.tick_ns
    assert first == (None if shown_at is None else at(shown_at))
    assert (engine.wanted_reference() is None) is (shown_at is not None)


def test_it_is_not_asked_where_the_session_was_heard() -> None:
    engine = began(*whole_morning())
    assert engine.wanted_reference() is None
    engine.expect(told("10:00:01", X=(1.0, 99.0, 0.5)))
    live(engine, Tick(at("10:00:02")))
    assert figures(engine) == {"open": 10.0, "high": 20.0, "low": 10.0, "high_of_day": 20.0}
