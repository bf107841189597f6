"""Features that need more than one event: windows, reference data, events of the catalogue."""

import numpy as np
import pytest

from scanplane.engine import Engine, ReferenceData, SymbolReference, VolumeCurve
from scanplane.engine.definitions import FEATURES
from scanplane.engine.engine import REFRESH_TICKS
from scanplane.engine.frame import FeatureFrame
from scanplane.features.catalogue import CATALOGUE, FeatureType
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Bar, Trade
from support.engine_market import SECOND_NS, an_engine, features, new_york

OPEN_NS = new_york("2026-03-10 09:30")
NAN = float("nan")


def trade(engine: Engine, after_s: float, price: float, size: float = 100.0, symbol: str = "AAA") -> None:
    at = OPEN_NS + int(after_s * SECOND_NS)
    conditions = (12,) if after_s < 0 else ()
    engine.apply(Channel.TRADES, encode_events([Trade(symbol, at, price, size, conditions)]))


def bar(engine: Engine, after_s: int, *, volume: float, accumulated: float, price: float = 10.0) -> None:
    start = OPEN_NS + after_s * SECOND_NS
    figures = (price, price, price, price, volume, price, accumulated, NAN, price)
    engine.apply(Channel.SECOND_AGGREGATES, encode_events([Bar("AAA", start + SECOND_NS, start, *figures)]))


def tick(engine: Engine, after_s: float) -> None:
    engine.tick(Tick(OPEN_NS + int(after_s * SECOND_NS)))


def tick_until(engine: Engine, begin_s: int, end_s: int) -> None:
    for second in range(begin_s, end_s + 1):
        tick(engine, second)


def known(engine: Engine, name: str, symbol: str = "AAA") -> object:
    return features(engine, symbol).get(name)


def test_every_feature_of_the_catalogue_is_computed_with_its_type() -> None:
    engine = an_engine()
    trade(engine, 0, 10.0)
    tick(engine, 1)
    frame = engine._make_frame()
    assert list(FeatureFrame(frame.moment)) == list(FEATURES)
    kinds = {FeatureType.NUMBER: "f", FeatureType.TEXT: "U", FeatureType.EVENT: "b"}
    for name, feature in CATALOGUE.items():
        assert frame[name].dtype.kind == kinds[feature.type], name
        assert frame[name].shape == (() if name == "session" else (1,)), name


def test_a_change_compares_with_the_newest_sample_that_is_a_minute_old() -> None:
    engine = an_engine()
    for second in range(75):
        trade(engine, second, 100.0 + second)
        tick(engine, second + 0.5)
    # The tick is at 74.5 s; slots began at ticks 0.5, 5.5, 10.5, ... so the sample is that of 10.5 s: price 110.
    assert known(engine, "change_1m_percent") == pytest.approx((174.0 - 110.0) / 110.0 * 100)
    assert known(engine, "volume_1m") == 75 * 100.0 - 11 * 100.0
    assert known(engine, "change_5m_percent") is None


def test_a_window_is_unknown_until_a_sample_is_old_enough() -> None:
    engine = an_engine()
    trade(engine, 0, 100.0)
    tick_until(engine, 1, 60)
    assert known(engine, "change_1m_percent") is None
    assert known(engine, "volume_1m") is None
    tick(engine, 61)
    assert known(engine, "change_1m_percent") == 0.0
    assert known(engine, "volume_1m") == 0.0


def test_a_symbol_that_had_no_volume_then_counts_from_zero_and_has_no_change() -> None:
    engine = an_engine()
    trade(engine, 0, 5.0, symbol="OTHER")
    tick_until(engine, 1, 90)
    trade(engine, 90, 100.0, 700.0)
    tick(engine, 91)
    assert known(engine, "volume_1m") == 700.0
    assert known(engine, "change_1m_percent") is None


def test_joining_in_the_middle_of_the_day_does_not_make_the_whole_days_volume_that_of_a_minute() -> None:
    engine = an_engine()
    trade(engine, 0, 5.0, symbol="OTHER")
    tick_until(engine, 1, 90)
    bar(engine, 90, volume=300.0, accumulated=5_000_000.0)
    tick(engine, 92)
    assert known(engine, "volume_1m") == 300.0
    bar(engine, 93, volume=50.0, accumulated=5_000_050.0)
    tick_until(engine, 95, 160)
    assert known(engine, "volume_1m") == 0.0


def test_windows_begin_anew_when_accumulated_volume_takes_over_from_trades() -> None:
    engine = an_engine()
    trade(engine, 0, 10.0, 400.0)
    tick_until(engine, 1, 70)
    trade(engine, 70, 10.0, 100.0)
    bar(engine, 70, volume=100.0, accumulated=9_000.0)
    tick(engine, 72)
    assert (known(engine, "volume"), known(engine, "volume_1m")) == (9_000.0, 100.0)
    tick(engine, 131)  # compares with the sample of 70 s, which still held what trades said
    assert known(engine, "volume_1m") == 100.0


def test_a_window_never_has_less_than_no_volume() -> None:
    engine = an_engine()
    bar(engine, 0, volume=100.0, accumulated=1000.0)
    tick_until(engine, 1, 70)
    bar(engine, 0, volume=100.0, accumulated=900.0)
    tick(engine, 71)
    assert (known(engine, "volume"), known(engine, "volume_1m")) == (900.0, 0.0)


def test_windows_of_five_and_fifteen_minutes_reach_as_far_as_they_say() -> None:
    engine = an_engine()
    for minute in range(17):
        trade(engine, minute * 60, 100.0 + minute)
        tick_until(engine, minute * 60 + 1, minute * 60 + 60)
    # The tick is at 1020 s. Samples: 720 s saw minute 11's price, 120 s saw minute 1's.
    assert known(engine, "change_5m_percent") == pytest.approx((116 - 111) / 111 * 100)
    assert known(engine, "change_15m_percent") == pytest.approx((116 - 101) / 101 * 100)
    assert known(engine, "volume_5m") == 500.0


def test_a_gap_stands_on_price_before_the_open_and_on_the_open_after_it() -> None:
    engine = an_engine(reference=ReferenceData(symbols={"AAA": SymbolReference(previous_close=10.0)}))
    trade(engine, -600, 12.0)
    tick(engine, -500)
    assert known(engine, "gap_percent") == 20.0
    tick(engine, 0)
    assert known(engine, "gap_percent") is None
    trade(engine, 1, 11.0)
    trade(engine, 2, 13.0)
    tick(engine, 3)
    assert known(engine, "gap_percent") == pytest.approx(10.0)
    assert known(engine, "change_percent") == pytest.approx(30.0)
    assert known(engine, "change_from_open_percent") == pytest.approx(200 / 11)
    assert known(engine, "range_percent") == pytest.approx(200 / 11)


def test_figures_from_reference_data_are_unknown_for_other_symbols() -> None:
    engine = an_engine(
        reference=ReferenceData(symbols={"AAA": SymbolReference(previous_close=10.0, free_float=1000.0)})
    )
    trade(engine, 1, 11.0, 500.0)
    trade(engine, 1, 11.0, 500.0, symbol="BBB")
    tick(engine, 2)
    assert (known(engine, "float_rotation"), known(engine, "previous_close")) == (0.5, 10.0)
    assert {"previous_close", "free_float", "change_percent", "float_rotation"} & features(
        engine, "BBB"
    ).keys() == set()


@pytest.mark.parametrize("bad", [0.0, -5.0, float("inf"), NAN])
def test_a_reference_figure_that_is_no_positive_number_is_unknown(bad: float) -> None:
    engine = an_engine(reference=ReferenceData(symbols={"AAA": SymbolReference(previous_close=bad, free_float=bad)}))
    trade(engine, 1, 11.0)
    tick(engine, 2)
    assert {"change_percent", "float_rotation"} & features(engine, "AAA").keys() == set()


def test_relative_volume_compares_with_the_volume_usual_by_this_time_of_day() -> None:
    seconds = np.array([9.5 * 3600, 10 * 3600, 16 * 3600])
    curve = VolumeCurve(seconds=seconds, fractions=np.array([0.0, 0.2, 1.0]))
    engine = an_engine(reference=ReferenceData(symbols={"AAA": SymbolReference(average_volume=10_000.0)}, curve=curve))
    trade(engine, 1, 10.0, 3000.0)
    tick(engine, 15 * 60)
    assert known(engine, "relative_volume") == pytest.approx(3000 / (0.1 * 10_000))
    tick(engine, 30 * 60)
    assert known(engine, "relative_volume") == pytest.approx(1.5)
    tick(engine, 7 * 3600)
    assert known(engine, "relative_volume") == pytest.approx(0.3)


def test_a_symbols_own_curve_comes_first_and_nothing_is_known_before_the_first_point() -> None:
    curve = VolumeCurve(
        seconds=np.array([9.5 * 3600, 10.5 * 3600]),
        fractions=None,
        positions={"AAA": 0},
        volumes=np.array([[100.0, 1100.0]]),
    )
    engine = an_engine(reference=ReferenceData(curve=curve))
    trade(engine, -600, 10.0, 300.0)
    trade(engine, -600, 10.0, 300.0, symbol="BBB")
    tick(engine, -300)
    assert known(engine, "relative_volume") is None
    tick(engine, 30 * 60)
    assert known(engine, "relative_volume") == 0.5
    assert known(engine, "relative_volume", "BBB") is None


EXTREMES = ("new_high_of_day", "new_low_of_day")
CROSSES = ("crossed_above_vwap", "crossed_below_vwap")


def events_at(engine: Engine, after_s: float, names: tuple[str, ...] = EXTREMES) -> set[str]:
    """Tick and return which of the events are true for AAA."""
    tick(engine, after_s)
    frame = engine._frame
    assert frame is not None
    return {name for name in names if frame[name][0]}


def test_a_new_high_is_true_at_the_one_tick_at_which_it_happened_and_not_for_the_first_price() -> None:
    engine = an_engine()
    trade(engine, 1, 10.0)
    assert events_at(engine, 2) == set()
    trade(engine, 3, 11.0)
    assert events_at(engine, 4) == {"new_high_of_day"}
    assert events_at(engine, 5) == set()
    trade(engine, 6, 11.0)
    assert events_at(engine, 7) == set()
    trade(engine, 8, 9.0)
    assert events_at(engine, 9) == {"new_low_of_day"}


def test_yesterdays_high_does_not_make_todays_first_price_an_event() -> None:
    engine = an_engine()
    trade(engine, 1, 10.0)
    tick(engine, 2)
    trade(engine, 3, 11.0)
    tick(engine, 4)
    trade(engine, 86_400, 50.0)
    assert events_at(engine, 86_401) == set()


def test_a_cross_needs_more_than_the_band_on_both_sides() -> None:
    engine = an_engine()
    bar(engine, 0, volume=1.0, accumulated=1e12, price=100.0)  # its vwap: 100, which no trade here moves
    tick(engine, 1)
    for after_s, price, expected in [
        (2, 99.97, set()),  # within the band: neither side yet
        (3, 100.2, set()),  # above for the first time: no cross
        (4, 99.96, set()),  # back into the band
        (5, 100.1, set()),  # above again: it never was below
        (6, 99.9, {"crossed_below_vwap"}),
        (7, 100.04, set()),
        (8, 100.06, {"crossed_above_vwap"}),
        (9, 100.06, set()),
    ]:
        trade(engine, after_s, price)
        assert events_at(engine, after_s + 0.5, CROSSES) == expected, after_s


def test_minutes_since_the_open_are_negative_before_it_and_unknown_when_closed() -> None:
    engine = an_engine()
    trade(engine, -600, 10.0)
    tick(engine, -90)
    assert known(engine, "minutes_since_open") == -1.5
    tick(engine, 600)
    assert known(engine, "minutes_since_open") == 10.0
    tick(engine, 11 * 3600)
    assert (known(engine, "minutes_since_open"), known(engine, "session")) == (None, "closed")


def test_quotes_that_changed_are_given_once() -> None:
    engine = an_engine()
    trade(engine, 1, 10.0)
    trade(engine, 1, 20.0, symbol="AAB")
    tick(engine, 2)
    assert [row.symbol for row in engine.changed_quotes()] == ["AAA", "AAB"]
    trade(engine, 2, 21.0, symbol="AAB")
    tick(engine, 3)
    assert [(row.symbol, row.values["price"], row.tick_ns) for row in engine.changed_quotes()] == [
        ("AAB", 21.0, OPEN_NS + 3 * SECOND_NS)
    ]
    assert engine.changed_quotes() == []
    assert [row.symbol for row in engine.quotes(["AAB", "ZZZ"])] == ["AAB"]


def test_shares_of_the_changed_quotes_give_each_of_them_once() -> None:
    engine = an_engine()
    symbols = [f"S{number}" for number in range(10)]
    for symbol in symbols:
        trade(engine, 1, 10.0, symbol=symbol)
    tick(engine, 2)
    shares = [[row.symbol for row in engine.changed_quotes(share, 4)] for share in range(4)]
    assert shares == [["S0", "S4", "S8"], ["S1", "S5", "S9"], ["S2", "S6"], ["S3", "S7"]]
    trade(engine, 3, 11.0, symbol="S6")
    tick(engine, 4)
    shares = [[row.symbol for row in engine.changed_quotes(share, 4)] for share in range(4)]
    assert shares == [[], ["S1"], ["S6"], []]  # it is S1's turn, though nothing touched it


def test_the_quote_of_a_symbol_that_fell_silent_follows_the_windows_within_a_round_of_ticks() -> None:
    engine = an_engine()
    symbols = [f"S{number}" for number in range(600)]
    for symbol in symbols:
        trade(engine, 1, 10.0, symbol=symbol)
    tick(engine, 2)
    assert len(engine.changed_quotes()) == 600
    tick_until(engine, 3, 70)
    engine.changed_quotes()
    given: dict[str, object] = {}
    for number in range(REFRESH_TICKS):
        tick(engine, 70.25 + number / 4)
        rows = engine.changed_quotes()
        assert len(rows) <= 3
        given |= {row.symbol: row.values["volume_1m"] for row in rows}
    assert given == dict.fromkeys(symbols, 0.0)


def test_a_new_day_gives_every_quote_again_with_nothing_of_yesterday() -> None:
    engine = an_engine()
    trade(engine, 1, 10.0)
    trade(engine, 1, 11.0, symbol="AAB")
    tick(engine, 2)
    assert len(engine.changed_quotes()) == 2
    tick(engine, 24 * 3600)
    assert [(row.symbol, row.values.keys()) for row in engine.changed_quotes()] == [
        ("AAA", {"session", "minutes_since_open"}),
        ("AAB", {"session", "minutes_since_open"}),
    ]
