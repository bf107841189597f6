"""Ready-made schedules are those that the library makes, and nothing is imported for them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scanplane.plan.calendars import CALENDARS
from scanplane.reference import schedule
from scanplane.reference.schedule import FOLDER_VARIABLE, Schedule, load_schedule, write_schedules

Instants = NDArray[np.int64]

FIELDS = ("days", "open_ns", "close_ns", "usual_close_ns")
ASK = """
import sys
from scanplane.plan.configuration import SessionHours
from scanplane.reference import load_calendar
calendar = load_calendar(SessionHours(calendar="XNYS", premarket="04:00", postmarket="20:00"))
assert len(calendar.open_ns) > 10_000
print("pandas" in sys.modules)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two usual schedules, written beforehand."""
    monkeypatch.setattr(schedule, "USUAL", ("XNYS", "24/7"))
    write_schedules(tmp_path)
    return tmp_path


def assert_same(one: Schedule, other: Schedule) -> None:
    assert one.time_zone == other.time_zone
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


@pytest.mark.parametrize("name", ["XNYS", "24/7", "XLON"])
def test_a_ready_made_schedule_is_the_library_s(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_schedule(name)
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    assert_same(load_schedule(name), made)  # one that was not written is made


@pytest.mark.parametrize(("there", "imported"), [(True, "False"), (False, "True")])
def test_a_ready_made_schedule_imports_nothing_of_weight(folder: Path, there: bool, imported: str) -> None:  # noqa: FBT001
    variables = {**os.environ, FOLDER_VARIABLE: str(folder if there else folder / "nowhere")}
    asked = subprocess.run([sys.executable, "-c", ASK], env=variables, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == imported


def test_what_another_version_made_or_is_damaged_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_schedule("XNYS")
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    file = folder / "XNYS.npz"
    np.savez(file, made_by="0.0.1", time_zone="UTC", **{field: np.zeros(1, np.int64) for field in FIELDS})
    assert_same(load_schedule("XNYS"), made)
    file.write_bytes(b"PK\x03\x04 cut off")
    assert_same(load_schedule("XNYS"), made)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # some calendars of the library use what pandas will drop
def test_the_planner_s_table_of_calendars_is_what_the_library_can_load() -> None:
    import exchange_calendars  # noqa: PLC0415  # takes a second, and only this test needs it

    found: dict[str, tuple[int, int] | None] = {}
    for name in exchange_calendars.get_calendar_names(include_aliases=False):
        try:
            made = load_schedule(name)
        except (NotImplementedError, ValueError):  # the library's Easter and special days do not suit its own pandas
            continue
        last_close_ns = np.maximum(made.close_ns, made.usual_close_ns)
        found[name] = (int(local_minutes(made, made.open_ns).min()), int(local_minutes(made, last_close_ns).max()))
    names = exchange_calendars.get_calendar_names(include_aliases=True)
    for name in names:
        found[name] = found.get(exchange_calendars.resolve_alias(name))
    assert {name: hours for name, hours in found.items() if hours is not None} == CALENDARS


def local_minutes(made: Schedule, instants: Instants) -> Instants:
    """Return minutes from each day's midnight, exchange local time."""
    import pandas as pd  # noqa: PLC0415  # as above

    local = pd.DatetimeIndex(instants, tz="UTC").tz_convert(made.time_zone).tz_localize(None)
    midnights = pd.DatetimeIndex(made.days.astype("datetime64[D]"))
    return np.asarray((local - midnights) // pd.Timedelta(minutes=1))
