"""Trading calendars for the engine: an exchange's schedule, with the extended hours that a Market asks for.

On an early close the postmarket session ends as much earlier as the close: the NYSE's early closes at 13:00 end late
trading at 17:00 instead of 20:00 (NYSE Group, Holiday and Early Closings Calendar). A lunch break, which a few Asian
exchanges have, counts as part of the regular session.
"""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from scanplane.engine.sessions import TradingCalendar
from scanplane.plan.configuration import SessionHours
from scanplane.reference.schedule import FIRST_DAY, LAST_DAY, UnknownScheduleError, load_schedule

__all__ = ["FIRST_DAY", "LAST_DAY", "UnknownCalendarError", "load_calendar"]

Instants = NDArray[np.int64]

_EPOCH = dt.date(1970, 1, 1).toordinal()


class UnknownCalendarError(ValueError):
    """No such calendar, or hours that don't fit it; the text says what to write instead."""


def load_calendar(hours: SessionHours) -> TradingCalendar:
    """Make the table of trading days from 2000 to 2040, or as far as the calendar is known.

    Raises UnknownCalendarError.
    """
    try:
        schedule = load_schedule(hours.calendar)
    except UnknownScheduleError:
        raise UnknownCalendarError(
            f"calendar: {hours.calendar} is unknown; write an exchange's MIC such as XNYS, or 24/7"
        ) from None
    zone = ZoneInfo(schedule.time_zone)
    open_ns, close_ns = schedule.open_ns, schedule.close_ns
    dates = [dt.date.fromordinal(_EPOCH + day) for day in schedule.days.tolist()]
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
        earlier_by = schedule.usual_close_ns - close_ns
        end_ns = _at(dates, hours.postmarket, zone) - np.maximum(earlier_by, 0)
        if (end_ns < close_ns).any():
            raise UnknownCalendarError(
                f"sessions.postmarket: {hours.postmarket} is before the close of {hours.calendar}; write a later time"
            )
    return TradingCalendar(hours.calendar, begin_ns, open_ns, close_ns, end_ns, midnight_ns)


def _local(date: dt.date, time: dt.time, zone: ZoneInfo) -> int:
    instant = dt.datetime.combine(date, time, zone)
    return int(instant.timestamp()) * 1_000_000_000


def _at(dates: list[dt.date], text: str, zone: ZoneInfo) -> Instants:
    try:
        time = dt.time.fromisoformat(text)
    except ValueError:
        raise UnknownCalendarError(f"sessions: {text!r} is no time of day; write HH:MM") from None
    return np.array([_local(date, time, zone) for date in dates], np.int64)
