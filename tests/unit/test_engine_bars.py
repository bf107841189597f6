"""Bars: upserts, corrections, and bars beside trades."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.engine import Engine
from scanplane.engine.columns import Columns
from scanplane.engine.records import apply_records
from scanplane.engine.state import DAY_COLUMNS
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.events import Bar, Trade
from support.engine_market import MINUTE_NS, SECOND_NS, an_engine, features, new_york, round_the_clock

OPEN_NS = new_york("2026-03-10 09:30")
NAN = float("nan")
SECONDS, MINUTES = Channel.SECOND_AGGREGATES, Channel.MINUTE_AGGREGATES


def a_bar(
    second: int,
    close: float = 10.0,
    *,
    high: float | None = None,
    low: float | None = None,
    volume: float = 100.0,
    accumulated: float = NAN,
    official_open: float = NAN,
    vwap: float = NAN,
    length_ns: int = SECOND_NS,
    symbol: str = "AAA",
) -> Bar:
    start = OPEN_NS + second * SECOND_NS
    high, low = close if high is None else high, close if low is None else low
    return Bar(
        symbol, start + length_ns, start, close, high, low, close, volume, close, accumulated, official_open, vwap
    )


def a_minute(second: int, close: float = 10.0, **figures: float) -> Bar:
    return a_bar(second, close, length_ns=MINUTE_NS, **figures)  # type: ignore[arg-type]  # floats by name


def fed(*batches: tuple[Channel, Sequence[Bar | Trade]], engine: Engine | None = None) -> Mapping[str, object]:
    engine = engine or an_engine()
    for channel, events in batches:
        engine.apply(channel, encode_events(events))
    engine.tick(Tick(OPEN_NS + 3600 * SECOND_NS))
    return features(engine, "AAA")


def test_accumulated_volume_is_authoritative_and_that_of_the_bar_that_ended_last() -> None:
    known = fed((SECONDS, [a_bar(0, accumulated=500.0), a_bar(2, accumulated=900.0), a_bar(1, accumulated=700.0)]))
    assert known["volume"] == 900.0


def test_a_bar_that_is_sent_again_replaces_itself() -> None:
    first = a_bar(0, 10.0, high=12.0, accumulated=500.0, vwap=11.0)
    again = a_bar(0, 10.5, high=11.0, accumulated=450.0, vwap=10.7)
    engine = an_engine()
    known = fed((SECONDS, [first]), (SECONDS, [again]), engine=engine)
    assert (known["price"], known["high"], known["volume"], known["vwap"]) == (10.5, 11.0, 450.0, 10.7)
    assert engine.counts.repeated_bars == 1


def test_minute_and_second_bars_never_add_up() -> None:
    known = fed(
        (SECONDS, [a_bar(second, accumulated=100.0 * (second + 1)) for second in range(60)]),
        (MINUTES, [a_minute(0, volume=6000.0, accumulated=6000.0)]),
    )
    assert known["volume"] == 6000.0


def test_without_accumulated_volume_minute_bars_do_not_add_to_second_bars_and_corrections_do_not_add() -> None:
    engine = an_engine(asset_class=AssetClass.CRYPTO, calendar=round_the_clock())
    seconds = [a_bar(second, volume=1.0) for second in range(30)]
    known = fed(
        (SECONDS, seconds),
        (MINUTES, [a_minute(0, volume=30.0)]),
        (SECONDS, [a_bar(29, volume=4.0), a_bar(20, volume=3.0), a_bar(40, volume=1.0)]),
        engine=engine,
    )
    assert known["volume"] == 30.0 + 3.0 + 2.0 + 1.0
    assert known["vwap"] == 10.0


def test_a_bar_too_late_for_a_summed_volume_is_counted() -> None:
    engine = an_engine(asset_class=AssetClass.CRYPTO, calendar=round_the_clock())
    known = fed(
        (SECONDS, [a_bar(second, volume=1.0) for second in range(10, 40)]), (SECONDS, [a_bar(0)]), engine=engine
    )
    assert known["volume"] == 30.0
    assert engine.counts.dropped_bar_volumes == 1


def test_taking_back_the_record_leaves_the_next_highest_bar() -> None:
    bars = [a_bar(0, high=11.0), a_bar(1, high=15.0), a_bar(2, high=12.0), a_bar(3, high=10.0)]
    known = fed((SECONDS, bars), (SECONDS, [a_bar(1, high=10.5)]))
    assert (known["high"], known["high_of_day"]) == (12.0, 12.0)


def test_a_low_that_is_taken_back_rises() -> None:
    known = fed((SECONDS, [a_bar(0, low=9.0), a_bar(1, low=5.0)]), (SECONDS, [a_bar(1, low=9.5)]))
    assert known["low"] == 9.0


def test_a_late_bar_can_still_make_the_high() -> None:
    known = fed((SECONDS, [a_bar(5, high=11.0)]), (SECONDS, [a_bar(1, high=13.0)]))
    assert (known["high"], known["price"]) == (13.0, 10.0)


def test_the_official_open_wins_over_the_first_trade_and_the_first_bar() -> None:
    trade = Trade("AAA", OPEN_NS + 5, 9.5, 100.0)
    assert fed((SECONDS, [a_bar(0, 9.7)]))["open"] == 9.7
    assert fed((SECONDS, [a_bar(0, 9.7)]), (Channel.TRADES, [trade]))["open"] == 9.5
    assert fed((SECONDS, [a_bar(0, 9.7, official_open=9.6)]), (Channel.TRADES, [trade]))["open"] == 9.6


def test_an_official_open_before_the_open_is_not_todays() -> None:
    assert "open" not in fed((SECONDS, [a_bar(-60, 9.7, official_open=9.6)]))


def test_premarket_volume_is_the_accumulated_volume_of_the_last_premarket_bar() -> None:
    known = fed((SECONDS, [a_bar(-60, accumulated=700.0), a_bar(-5, accumulated=900.0), a_bar(3, accumulated=5000.0)]))
    assert (known["premarket_volume"], known["volume"]) == (900.0, 5000.0)
    assert "premarket_volume" not in fed((SECONDS, [a_bar(3, accumulated=5000.0)]))


def test_figures_that_a_provider_does_not_know_stay_as_they_were() -> None:
    known = fed((SECONDS, [a_bar(0, accumulated=700.0, vwap=10.0), a_bar(1, 10.2)]))
    assert (known["volume"], known["vwap"], known["price"]) == (700.0, 10.0, 10.2)


def test_a_minute_bar_is_no_correction_of_the_second_bar_with_the_same_start() -> None:
    known = fed((SECONDS, [a_bar(0, high=15.0)]), (MINUTES, [a_minute(0, high=12.0)]))
    assert known["high"] == 15.0


RECORD_COLUMNS = ("record_key", "record", "runner_up_key", "runner_up", "remainder")


@settings(max_examples=150, deadline=None)
@given(
    bars=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 6), st.integers(1, 9)), min_size=1, max_size=300),
    repeated=st.booleans(),
)
def test_bars_of_many_symbols_applied_at_once_leave_what_they_leave_one_by_one(
    bars: list[tuple[int, int, int]], *, repeated: bool
) -> None:
    """Cells, starts and highs; with *repeated* every cell has a bar first, so that rounds are large."""
    if repeated:
        bars = [(cell, 0, cell % 9 + 1) for cell in range(40)] * 2 + bars
    cells, keys = np.array([bar[0] for bar in bars], np.intp), np.array([bar[1] for bar in bars], np.int64)
    values = np.array([bar[2] for bar in bars], np.float64)
    at_once, one_by_one = Columns(DAY_COLUMNS), Columns(DAY_COLUMNS)
    apply_records(at_once, cells, keys, values)
    for place in range(len(bars)):
        apply_records(one_by_one, cells[place : place + 1], keys[place : place + 1], values[place : place + 1])
    for name in RECORD_COLUMNS:
        assert at_once[name].tobytes() == one_by_one[name].tobytes(), name


@pytest.mark.parametrize("channel", [SECONDS, MINUTES])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_highs_and_lows_are_those_of_the_latest_versions_as_long_as_the_two_extreme_bars_are_corrected(
    channel: Channel, data: st.DataObject
) -> None:
    """The oracle keeps every bar. Only the holder of the record or the runner-up is corrected downwards."""
    engine = an_engine()
    versions: dict[int, float] = {}
    for _ in range(data.draw(st.integers(1, 40))):
        ranking = sorted(versions, key=lambda start: versions[start], reverse=True)
        if ranking and data.draw(st.booleans()):
            second = ranking[0]
        else:
            second = data.draw(st.integers(0, 50).filter(lambda start: start not in versions))
        high = float(data.draw(st.integers(1, 30)))
        if second in versions and len(ranking) > 2:
            high = max(high, versions[ranking[2]])
        versions[second] = high
        length = SECOND_NS if channel is SECONDS else MINUTE_NS
        engine.apply(channel, encode_events([a_bar(second, 1.0, high=high, low=1.0, length_ns=length)]))
    engine.tick(Tick(OPEN_NS + 3600 * SECOND_NS))
    assert features(engine, "AAA")["high"] == max(versions.values())
