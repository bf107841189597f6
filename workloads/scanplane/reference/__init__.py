"""Reference data and trading calendars, loaded once before a session and never on the hot path."""

from scanplane.reference.calendar import UnknownCalendarError, load_calendar
from scanplane.reference.errors import ReferenceDataError
from scanplane.reference.loading import load_reference

__all__ = ["ReferenceDataError", "UnknownCalendarError", "load_calendar", "load_reference"]
