"""Trading days as the engine sees them: a table of instants, made beforehand by ``scanplane.reference.calendar``.

A *trading day* owns every instant from its own beginning (premarket, or the open where there is none) to the beginning
of the next trading day: the values of Friday stay on the boards over the weekend. Daylight saving time, holidays and
early closes are in the instants, so that nothing here knows a time zone.
"""

import enum

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["Session", "TradingCalendar", "TradingDay"]

Instants = NDArray[np.int64]


class Session(enum.StrEnum):
    """The value of the feature ``session``."""

    PREMARKET = "premarket"
    REGULAR = "regular"
    POSTMARKET = "postmarket"
    CLOSED = "closed"


class TradingDay(Struct, frozen=True):
    """One trading day; every instant in nanoseconds UTC.

    ``begin_ns`` <= ``open_ns`` < ``close_ns`` <= ``end_ns`` <= ``next_begin_ns``; ``midnight_ns`` is where the
    exchange's clock showed 00:00, for times of day.
    """

    begin_ns: int
    open_ns: int
    close_ns: int
    end_ns: int
    next_begin_ns: int
    midnight_ns: int

    def session_at(self, instant_ns: int) -> Session:
        """Return the session of an instant of this day."""
        if instant_ns < self.begin_ns or instant_ns >= self.end_ns:
            return Session.CLOSED
        if instant_ns < self.open_ns:
            return Session.PREMARKET
        return Session.REGULAR if instant_ns < self.close_ns else Session.POSTMARKET


class TradingCalendar(Struct, frozen=True, eq=False):
    """Trading days in ascending order, as parallel arrays of nanoseconds UTC.

    Raises ValueError when the arrays are no such order.
    """

    name: str
    begin_ns: Instants
    open_ns: Instants
    close_ns: Instants
    end_ns: Instants
    midnight_ns: Instants

    def __post_init__(self) -> None:
        if len(self.begin_ns) == 0:
            raise ValueError(f"calendar {self.name}: no trading days")
        within_day = (
            (self.begin_ns <= self.open_ns) & (self.open_ns < self.close_ns) & (self.close_ns <= self.end_ns)
        ).all()
        if not within_day or not (self.end_ns[:-1] <= self.begin_ns[1:]).all():
            raise ValueError(
                f"calendar {self.name}: premarket, open, close and postmarket must follow one another within a day, "
                "and days must not overlap"
            )

    def day_at(self, instant_ns: int) -> TradingDay:
        """Return the trading day that owns *instant_ns*.

        An instant before the first day belongs to the first; after the last, to the last.
        """
        last = len(self.begin_ns) - 1
        index = max(int(np.searchsorted(self.begin_ns, instant_ns, side="right")) - 1, 0)
        end_ns = int(self.end_ns[index])
        return TradingDay(
            begin_ns=int(self.begin_ns[index]),
            open_ns=int(self.open_ns[index]),
            close_ns=int(self.close_ns[index]),
            end_ns=end_ns,
            next_begin_ns=int(self.begin_ns[index + 1]) if index < last else max(end_ns, np.iinfo(np.int64).max),
            midnight_ns=int(self.midnight_ns[index]),
        )
