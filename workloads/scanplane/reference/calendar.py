"""Trading calendars of ``exchange_calendars`` as plain instants for the engine.

The library knows holidays, early closes and daylight saving time of the exchanges. It is heavy to import (pandas), which
is why nothing else imports it.

Extended hours come from the Market. On an early close the postmarket session ends as much earlier as the close: the
NYSE's early closes at 13:00 end late trading at 17:00 instead of 20:00 (NYSE Group, Holiday and Early Closings Calendar).
A lunch break, which a few Asian exchanges have, counts as part of the regular session.
"""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
from numpy.typing import NDArray

from scanplane.engine.sessions import TradingCalendar
from scanplane.plan.configuration import SessionHours

__all__ = ["FIRST_DAY", "LAST_DAY", "UnknownCalendarError", "load_calendar"]

FIRST_DAY = "2000-01-01"
LAST_DAY = "2040-12-31"

Instants = NDArray[np.int64]

_DAY_NS = 86_400_000_000_000


class UnknownCalendarError(ValueError):
    """No such calendar, or hours that don't fit it; the text says what to write instead."""


def load_calendar(hours: SessionHours) -> TradingCalendar:
    """Make the table of trading days from 2000 to 2040, or as far as the calendar is known.

    Raises UnknownCalendarError.
    """
    calendar = _calendar(hours.calendar)
    zone = ZoneInfo(str(calendar.tz))
    schedule = calendar.schedule
    open_ns = _nanoseconds(schedule["open"])
    close_ns = _nanoseconds(schedule["close"])
    dates = [day.date() for day in schedule.index]
    midnight_ns = np.array([_local(date, dt.time(), zone) for date in dates], np.int64)
    begin_ns = open_ns
    if hours.premarket is not None:
        begin_ns = _at(dates, hours.premarket, zone)
        if (begin_ns > open_ns).any():
            raise UnknownCalendarError(
                f"sessions.premarket: {hours.premarket} is after the open of {hours.calendar}; write an earlier time"
            )
    end_ns = close_ns
    if hours.postmarket is not None:
        earlier_by = _usual_close(calendar, dates, zone) - close_ns
        end_ns = _at(dates, hours.postmarket, zone) - np.maximum(earlier_by, 0)
        if (end_ns < close_ns).any():
            raise UnknownCalendarError(
                f"sessions.postmarket: {hours.postmarket} is before the close of {hours.calendar}; write a later time"
            )
    return TradingCalendar(hours.calendar, begin_ns, open_ns, close_ns, end_ns, midnight_ns)


def _calendar(name: str) -> exchange_calendars.ExchangeCalendar:
    try:
        return exchange_calendars.get_calendar(name, start=FIRST_DAY, end=LAST_DAY)
    except exchange_calendars.errors.InvalidCalendarName:
        raise UnknownCalendarError(
            f"calendar: {name} is unknown; write an exchange's MIC such as XNYS, or 24/7"
        ) from None
    except ValueError:
        return exchange_calendars.get_calendar(name)  # known for a shorter time only


def _nanoseconds(instants: Any) -> Instants:  # noqa: ANN401 # a pandas series
    return np.asarray(instants.to_numpy("datetime64[ns]").astype(np.int64))


def _local(date: dt.date, time: dt.time, zone: ZoneInfo) -> int:
    instant = dt.datetime.combine(date, time, zone)
    return int(instant.timestamp()) * 1_000_000_000


def _at(dates: list[dt.date], text: str, zone: ZoneInfo) -> Instants:
    try:
        time = dt.time.fromisoformat(text)
    except ValueError:
        raise UnknownCalendarError(f"sessions: {text!r} is no time of day; write HH:MM") from None
    return np.array([_local(date, time, zone) for date in dates], np.int64)


def _usual_close(calendar: exchange_calendars.ExchangeCalendar, dates: list[dt.date], zone: ZoneInfo) -> Instants:
    """Return the close of an ordinary day for each date; the hours of an exchange may have changed over the years."""
    periods = [(None if start is None else start.date(), time) for start, time in calendar.close_times]
    offset_ns = calendar.close_offset * _DAY_NS
    instants = []
    for date in dates:
        time = [time for start, time in periods if start is None or start <= date][-1]
        instants.append(_local(date, time, zone) + offset_ns)
    return np.array(instants, np.int64)
