"""An exchange's trading days as plain arrays, made by ``exchange_calendars`` or read from where they were made before.

The library knows holidays, early closes and daylight saving time, and takes as long to import (pandas) as everything else
that an analyzer needs to start. So the image holds the schedules of the usual exchanges ready-made: ``python -P
schedule.py FOLDER`` writes them (this file needs nothing else of Scanplane), and SCANPLANE_CALENDARS names the folder. One
that another version of the library has made is not used.
"""

import datetime as dt
import os
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = [
    "FIRST_DAY",
    "FOLDER_VARIABLE",
    "LAST_DAY",
    "Schedule",
    "UnknownScheduleError",
    "load_schedule",
    "write_schedules",
]

FIRST_DAY = "2000-01-01"
LAST_DAY = "2040-12-31"
FOLDER_VARIABLE = "SCANPLANE_CALENDARS"
USUAL = ("24/5", "24/7", "CMES", "XASX", "XETR", "XHKG", "XLON", "XNAS", "XNYS", "XPAR", "XTKS", "XTSE", "us_futures")

_LIBRARY = "exchange_calendars"
_ARRAYS = ("days", "open_ns", "close_ns", "usual_close_ns")

Instants = NDArray[np.int64]


class UnknownScheduleError(ValueError):
    """The library knows no calendar of that name."""


class Schedule(Struct, frozen=True, eq=False):
    """Trading days in order: ``days`` since 1970-01-01, and instants in nanoseconds UTC.

    ``usual_close_ns`` is when an ordinary day of that time would have closed: later than ``close_ns`` on an early close.
    """

    time_zone: str
    days: Instants
    open_ns: Instants
    close_ns: Instants
    usual_close_ns: Instants


def load_schedule(name: str) -> Schedule:
    """Return the schedule of a calendar from 2000 to 2040, or as far as it is known. Raises UnknownScheduleError."""
    folder = os.environ.get(FOLDER_VARIABLE)
    ready = _read(Path(folder) / _file_name(name)) if folder else None
    return _make(name) if ready is None else ready


def write_schedules(folder: Path) -> None:
    """Write the usual schedules into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in USUAL:
        schedule = _make(name)
        arrays: dict[str, Any] = {field: getattr(schedule, field) for field in _ARRAYS}
        np.savez(folder / _file_name(name), made_by=version(_LIBRARY), time_zone=schedule.time_zone, **arrays)


def _file_name(name: str) -> str:
    return f"{name.replace('/', '-')}.npz"


def _read(file: Path) -> Schedule | None:
    """Return what was written; None if there is nothing, if it is damaged, or if it is not of this library's version."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
            if str(saved["made_by"]) != version(_LIBRARY):
                return None
            return Schedule(str(saved["time_zone"]), *(saved[field] for field in _ARRAYS))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _make(name: str) -> Schedule:
    import exchange_calendars  # noqa: PLC0415  # see the module's text

    try:
        calendar = exchange_calendars.get_calendar(name, start=FIRST_DAY, end=LAST_DAY)
    except exchange_calendars.errors.InvalidCalendarName:
        raise UnknownScheduleError(name) from None
    except ValueError:
        calendar = exchange_calendars.get_calendar(name)  # known for a shorter time only
    schedule = calendar.schedule
    return Schedule(
        time_zone=str(calendar.tz),
        days=np.asarray(schedule.index.to_numpy("datetime64[D]").astype(np.int64)),
        open_ns=_nanoseconds(schedule["open"]),
        close_ns=_nanoseconds(schedule["close"]),
        usual_close_ns=_usual_close_ns(calendar, [day.date() for day in schedule.index]),
    )


def _nanoseconds(instants: Any) -> Instants:  # noqa: ANN401 # a pandas series
    return np.asarray(instants.to_numpy("datetime64[ns]").astype(np.int64))


def _usual_close_ns(calendar: Any, dates: list[dt.date]) -> Instants:  # noqa: ANN401 # the library has no types
    """Return the close of an ordinary day for each date; the hours of an exchange may have changed over the years."""
    zone = ZoneInfo(str(calendar.tz))
    periods = [(None if start is None else start.date(), time) for start, time in calendar.close_times]
    offset = dt.timedelta(days=calendar.close_offset)
    instants = []
    for date in dates:
        time = [time for start, time in periods if start is None or start <= date][-1]
        local = dt.datetime.combine(date, time, zone)
        instants.append(int(local.timestamp() + offset.total_seconds()) * 1_000_000_000)
    return np.array(instants, np.int64)


if __name__ == "__main__":
    write_schedules(Path(sys.argv[1]))
