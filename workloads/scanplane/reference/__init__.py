"""Reference data and trading calendars: loaded before a session, the provider's for each day, and never on the hot path."""

from scanplane.reference.calendar import UnknownCalendarError, load_calendar
from scanplane.reference.errors import ReferenceDataError, ReferenceUnavailableError
from scanplane.reference.loading import day_reference, fetch_from_provider, load_files
from scanplane.reference.provider import Snapshot

__all__ = [
    "ReferenceDataError",
    "ReferenceUnavailableError",
    "Snapshot",
    "UnknownCalendarError",
    "day_reference",
    "fetch_from_provider",
    "load_calendar",
    "load_files",
]
