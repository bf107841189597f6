"""Trading days: calendars, resets, and what belongs to which day."""

import datetime as dt

import numpy as np
import pytest

from scanplane.engine import Session, TradingCalendar
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.events import Trade
from scanplane.plan.configuration import SessionHours
from scanplane.reference import UnknownCalendarError, load_calendar
from support.engine_market import SECOND_NS, a_signal, an_engine, features, new_york, round_the_clock, us_calendar


def a_trade(at: str, price: float = 10.0, *conditions: int) -> Trade:
    return Trade("AAA", new_york(at), price, 100.0, conditions)


@pytest.mark.parametrize(
    ("at", "session"),
    [
        ("2026-03-10 03:59:59.999", Session.CLOSED),
        ("2026-03-10 04:00", Session.PREMARKET),
        ("2026-03-10 09:29:59.999", Session.PREMARKET),
        ("2026-03-10 09:30", Session.REGULAR),
        ("2026-03-10 15:59:59.999", Session.REGULAR),
        ("2026-03-10 16:00", Session.POSTMARKET),
        ("2026-03-10 20:00", Session.CLOSED),
        ("2026-03-09 04:00", Session.PREMARKET),  # the first day of daylight saving time
        ("2026-03-06 04:00", Session.PREMARKET),  # the last day before it
        ("2026-11-02 09:30", Session.REGULAR),  # the first day after it
        ("2026-11-27 12:59:59", Session.REGULAR),  # the early close after Thanksgiving
        ("2026-11-27 13:00", Session.POSTMARKET),
        ("2026-11-27 17:00", Session.CLOSED),
        ("2026-11-26 12:00", Session.CLOSED),  # Thanksgiving
        ("2026-03-14 12:00", Session.CLOSED),  # a Saturday
        ("2013-10-08 04:00", Session.PREMARKET),
    ],
)
def test_an_instant_of_new_york_belongs_to_its_session(at: str, session: Session) -> None:
    instant_ns = new_york(at)
    assert us_calendar().day_at(instant_ns).session_at(instant_ns) is session


def test_a_weekend_belongs_to_friday_until_mondays_premarket() -> None:
    calendar = us_calendar()
    friday = calendar.day_at(new_york("2026-03-13 12:00"))
    assert calendar.day_at(new_york("2026-03-16 03:59:59")) == friday
    assert calendar.day_at(new_york("2026-03-16 04:00")).begin_ns == friday.next_begin_ns


def test_a_market_around_the_clock_begins_its_day_at_midnight_utc() -> None:
    noon = int(dt.datetime(2026, 3, 15, 12, tzinfo=dt.UTC).timestamp()) * SECOND_NS
    day = round_the_clock().day_at(noon)
    assert day.session_at(noon) is Session.REGULAR
    assert (noon - day.begin_ns, day.next_begin_ns - noon) == (12 * 3600 * SECOND_NS, 12 * 3600 * SECOND_NS)


def test_premarket_is_as_long_as_the_clock_says_on_every_day_of_a_year() -> None:
    calendar = us_calendar()
    assert set((calendar.open_ns - calendar.begin_ns) // SECOND_NS) == {int(5.5 * 3600)}
    assert set((calendar.end_ns - calendar.close_ns) // SECOND_NS) == {4 * 3600}


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        (SessionHours(calendar="XNYSE", premarket=None, postmarket=None), "XNYSE is unknown; write"),
        (SessionHours(calendar="XNYS", premarket="10:00", postmarket=None), "premarket: 10:00 is after the open"),
        (SessionHours(calendar="XNYS", premarket=None, postmarket="15:00"), "postmarket: 15:00 is before the close"),
        (SessionHours(calendar="XNYS", premarket="early", postmarket=None), "'early' is no time of day"),
    ],
)
def test_hours_that_do_not_fit_a_calendar_are_refused_with_what_to_write(hours: SessionHours, message: str) -> None:
    with pytest.raises(UnknownCalendarError, match=message):
        load_calendar(hours)


def test_a_calendar_whose_days_overlap_is_refused() -> None:
    times = [np.array(values, np.int64) for values in ([0, 5], [1, 6], [2, 7], [6, 8], [0, 5])]
    with pytest.raises(ValueError, match="days must not overlap"):
        TradingCalendar("made-up", *times)


def test_a_new_day_forgets_the_old_one_at_its_first_tick_without_any_event() -> None:
    engine = an_engine()
    engine.apply(Channel.TRADES, encode_events([a_trade("2026-03-10 10:00")]))
    engine.tick(Tick(new_york("2026-03-11 03:59:59.750")))
    assert features(engine, "AAA")["price"] == 10.0
    engine.tick(Tick(new_york("2026-03-11 04:00")))
    assert features(engine, "AAA") == {"session": "premarket", "minutes_since_open": -330.0}
    engine.tick(Tick(new_york("2026-03-11 04:00:00.250")))
    assert engine.counts.day_resets == 1


def test_a_gap_of_days_resets_once() -> None:
    engine = an_engine()
    engine.tick(Tick(new_york("2026-03-10 10:00")))
    engine.apply(Channel.TRADES, encode_events([a_trade("2026-03-10 10:00")]))
    engine.tick(Tick(new_york("2026-03-25 10:00")))
    assert "price" not in features(engine, "AAA")
    assert engine.counts.day_resets == 1


def test_an_event_of_another_day_changes_nothing_of_this_one() -> None:
    engine = an_engine()
    engine.tick(Tick(new_york("2026-03-10 10:00")))
    events = [a_trade("2026-03-09 19:59"), a_trade("2026-03-10 10:00", 11.0), a_trade("2026-03-11 04:00", 12.0)]
    engine.apply(Channel.TRADES, encode_events(events))
    engine.tick(Tick(new_york("2026-03-10 10:00:01")))
    assert features(engine, "AAA")["high_of_day"] == features(engine, "AAA")["low_of_day"] == 11.0
    assert (engine.counts.stale_events, engine.counts.waiting_early_events) == (1, 1)


def test_a_consumer_that_joins_before_its_first_tick_takes_the_day_of_the_first_event() -> None:
    engine = an_engine()
    engine.apply(Channel.TRADES, encode_events([a_trade("2026-03-10 10:00"), a_trade("2026-03-09 10:00")]))
    engine.tick(Tick(new_york("2026-03-10 10:00:01")))
    assert features(engine, "AAA")["volume"] == 100.0
    assert (engine.counts.stale_events, engine.counts.day_resets) == (1, 0)


def test_a_tick_that_is_not_later_is_counted_and_yields_nothing() -> None:
    engine = an_engine(a_signal(where="price > 1"))
    engine.apply(Channel.TRADES, encode_events([a_trade("2026-03-10 10:00")]))
    engine.tick(Tick(new_york("2026-03-10 10:00:01")))
    for at in ("2026-03-10 10:00:01", "2026-03-10 09:00", "2026-03-09 10:00"):
        evaluation = engine.tick(Tick(new_york(at)))
        assert (evaluation.boards, evaluation.signals, evaluation.changed) == ((), (), ())
    assert features(engine, "AAA")["price"] == 10.0
    assert engine.counts.ignored_ticks == 3


def test_a_rewound_tick_begins_anew() -> None:
    engine = an_engine()
    engine.apply(Channel.TRADES, encode_events([a_trade("2026-03-10 10:00")]))
    engine.tick(Tick(new_york("2026-03-10 10:00:01")))
    engine.tick(Tick(new_york("2026-03-10 04:00"), rewound=True))
    assert engine.quotes() == []
    assert engine.counts.rewinds == 1


def test_what_happens_around_the_clock_is_regular() -> None:
    engine = an_engine(asset_class=AssetClass.CRYPTO, calendar=round_the_clock())
    engine.apply(Channel.TRADES, encode_events([a_trade("2026-03-14 03:00"), a_trade("2026-03-14 04:00", 12.0)]))
    engine.tick(Tick(new_york("2026-03-14 04:00:01")))
    known = features(engine, "AAA")
    assert (known["session"], known["high"], known["open"]) == ("regular", 12.0, 10.0)


def test_the_session_is_that_of_the_last_tick() -> None:
    engine = an_engine()
    seen = [engine.session]
    for at in ("2026-03-10 04:00", "2026-03-10 09:30", "2026-03-10 16:00", "2026-03-10 20:00", "2026-03-11 03:00"):
        engine.tick(Tick(new_york(at)))
        seen.append(engine.session)
    assert seen == ["closed", "premarket", "regular", "postmarket", "closed", "closed"]
