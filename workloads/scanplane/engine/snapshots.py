"""The engine's state as fields of bytes, and back.

A field is one column of one plane, one sample, one scanner's memory, the names, the reference data of the day, or some of the
events that wait for their day. Between two snapshots only fields whose bytes changed are given out, so that a quiet column
costs nothing; a field that fell back to "nothing known" is removed.
Every number is little-endian; rows stand in the order of the names. Symbols and columns are found by name when a state is
taken up again, so a saved state fits another set of scanners and, filtered by symbol, another number of partitions.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from scanplane.engine.columns import Columns
from scanplane.engine.early import read_early
from scanplane.engine.references import SavedReference
from scanplane.engine.scanners import CompiledScanner
from scanplane.engine.state import DAY_COLUMNS, LAYOUT_VERSION
from scanplane.engine.windows import Sample, Samples

__all__ = ["Header", "SnapshotFields", "StateMismatchError", "StateReader"]

HEADER = "header"
SYMBOLS = "symbols"
COLUMN = "column:"
SAMPLE = "sample:"
SCANNER = "scanner:"
REFERENCE = "reference"

_DAY_COLUMNS = {column.name: column for column in DAY_COLUMNS}
_ENCODE = msgspec.msgpack.Encoder().encode


class StateMismatchError(ValueError):
    """Saved state that this version can't take up; the text says why."""


class Header(Struct, frozen=True, array_like=True):
    """``day_instant_ns`` is an instant of the trading day that the state belongs to, None if there was none yet.

    ``since_ns`` says since when that day is heard: None before the first tick, 0 since ever.
    """

    layout_version: int
    rows: int
    day_instant_ns: int | None
    tick_ns: int
    since_ns: int | None = 0


class _SavedSample(Struct, frozen=True, array_like=True):
    tick_ns: int
    values: bytes


class _SavedScanner(Struct, frozen=True, array_like=True):
    is_primed: bool
    active: bytes
    fired_ns: bytes


class SnapshotFields:
    """Turns state into the fields that changed since the last time."""

    def __init__(self) -> None:
        self._given: dict[str, bytes] = {}
        self._stored: set[str] = set()
        self._early: set[str] = set()
        self._named = 0

    def forget(self) -> None:
        """Give out everything again: what was given out is not where it was put any more."""
        self._given.clear()
        self._stored.clear()

    def forget_names(self) -> None:
        """Give out the names again: rows were given to other symbols."""
        self._given.pop(SYMBOLS, None)

    def assume_stored(self, names: Mapping[str, bytes]) -> None:
        """Remember that these fields exist where the snapshot will go, so that unused ones are removed there."""
        self._stored.update(names)

    def collect(
        self,
        header: Header,
        names: list[str],
        state: Columns,
        samples: Mapping[str, Samples],
        scanners: tuple[CompiledScanner, ...],
        early: Mapping[str, bytes],
        reference: bytes,
    ) -> dict[str, bytes | None]:
        """Return changed fields, and None for those to remove."""
        changed: dict[str, bytes | None] = {}
        self._put(changed, HEADER, _ENCODE(header))
        if len(names) != self._named or SYMBOLS not in self._given:
            self._put(changed, SYMBOLS, _ENCODE(names))
        self._named = len(names)
        self._put(changed, REFERENCE, reference)
        for name, plane, values, fill in state.planes():
            used = values[: header.rows]
            is_unknown = np.isnan(used).all() if fill != fill else (used == fill).all()  # noqa: PLR0124 # nan
            self._put(changed, f"{COLUMN}{name}:{plane}", None if is_unknown else used.tobytes())
        for kind, ring in samples.items():
            self._collect_samples(changed, kind, ring)
        for scanner in scanners:
            if scanner.digest and scanner.is_primed:
                memory = scanner.memory
                memory.grow(header.rows)
                arrays = (memory[name][: header.rows].tobytes() for name in ("active", "fired_ns"))
                self._put(changed, SCANNER + scanner.digest, _ENCODE(_SavedScanner(scanner.is_primed, *arrays)))
        for name in [*early, *(self._early - early.keys())]:
            self._put(changed, name, early.get(name))
        self._early = set(early)
        changed.update(dict.fromkeys(self._stored - self._given.keys()))
        self._stored = set(self._given)
        return changed

    def _collect_samples(self, changed: dict[str, bytes | None], kind: str, ring: Samples) -> None:
        for place, sample in ring.places():
            name = f"{SAMPLE}{kind}:{place}"
            if place not in ring.changed and (name in self._given) == (sample is not None):
                continue
            saved = None if sample is None else _SavedSample(sample.tick_ns, sample.values.tobytes())
            self._put(changed, name, None if saved is None else _ENCODE(saved))
        ring.changed.clear()

    def _put(self, changed: dict[str, bytes | None], name: str, value: bytes | None) -> None:
        if value is None:
            if self._given.pop(name, None) is not None:
                changed[name] = None
        elif self._given.get(name) != value:
            self._given[name] = changed[name] = value


class StateReader:
    """Reads saved fields, all of them when it is made, so that a state that can't be read changes nothing.

    Raises StateMismatchError for what is missing, damaged or of another layout.
    """

    def __init__(self, fields: Mapping[str, bytes]) -> None:
        self.header = _decode(fields, HEADER, Header)
        if self.header.layout_version != LAYOUT_VERSION:
            raise StateMismatchError(
                f"saved state has layout {self.header.layout_version}, this version reads layout {LAYOUT_VERSION}"
            )
        self.names = _decode(fields, SYMBOLS, list[str])
        if len(self.names) != self.header.rows:
            raise StateMismatchError(f"saved state names {len(self.names)} symbols and has {self.header.rows} rows")
        self.reference = _decode(fields, REFERENCE, SavedReference) if REFERENCE in fields else None
        self._columns: list[tuple[str, int, NDArray[Any]]] = []
        self._samples: list[tuple[str, int, NDArray[np.float64]]] = []
        self._scanners: dict[str, tuple[bool, dict[str, NDArray[Any]]]] = {}
        try:
            self.early = read_early(fields)
        except ValueError as error:
            raise StateMismatchError(f"saved state can't be read: its early events: {error}") from None
        for field in fields:
            if field.startswith(COLUMN):
                self._read_column(fields, field)
            elif field.startswith(SAMPLE):
                self._read_sample(fields, field)
            elif field.startswith(SCANNER):
                self._read_scanner(fields, field)

    def columns_into(self, state: Columns, from_rows: NDArray[np.intp], to_rows: NDArray[np.intp]) -> None:
        """Copy the rows of every saved column."""
        for name, plane, values in self._columns:
            state.plane(name, plane)[to_rows] = values[from_rows]

    def samples_into(
        self, kind: str, ring: Samples, from_rows: NDArray[np.intp], to_rows: NDArray[np.intp], rows: int
    ) -> None:
        """Copy the rows of every saved sample; a slot with a newer sample keeps it."""
        for saved_kind, tick_ns, old in self._samples:
            present = ring.of_slot(tick_ns)
            if saved_kind != kind or (present is not None and present.tick_ns > tick_ns):
                continue
            same = present is not None and present.tick_ns == tick_ns
            values = present.padded(rows).copy() if present is not None and same else np.full(rows, np.nan)
            known = from_rows < len(old)
            values[to_rows[known]] = old[from_rows[known]]
            ring.put(Sample(tick_ns, values))

    def scanner_into(self, scanner: CompiledScanner, from_rows: NDArray[np.intp], to_rows: NDArray[np.intp]) -> None:
        """Copy the rows of a scanner's memory, if it was saved."""
        saved = self._scanners.get(scanner.digest)
        if saved is not None:
            is_primed, arrays = saved
            for name, values in arrays.items():
                scanner.memory[name][to_rows] = values[from_rows]
            scanner.is_primed = scanner.is_primed or is_primed

    def _read_column(self, fields: Mapping[str, bytes], field: str) -> None:
        name, _, plane = field.removeprefix(COLUMN).rpartition(":")
        column = _DAY_COLUMNS.get(name)
        if column is None or not plane.isdecimal() or int(plane) >= column.planes:
            raise StateMismatchError(f"saved state has the column {field!r}, which this version has not")
        self._columns.append((name, int(plane), self._array(field, fields[field], column.dtype)))

    def _read_sample(self, fields: Mapping[str, bytes], field: str) -> None:
        kind = field.removeprefix(SAMPLE).partition(":")[0]
        saved = _decode(fields, field, _SavedSample)
        if len(saved.values) % 8 or len(saved.values) > self.header.rows * 8:
            raise StateMismatchError(f"saved state has {len(saved.values)} bytes in {field!r}, which is no sample")
        self._samples.append((kind, saved.tick_ns, np.frombuffer(saved.values, "<f8")))

    def _read_scanner(self, fields: Mapping[str, bytes], field: str) -> None:
        saved = _decode(fields, field, _SavedScanner)
        arrays = {
            "active": self._array(field, saved.active, "|b1"),
            "fired_ns": self._array(field, saved.fired_ns, "<i8"),
        }
        self._scanners[field.removeprefix(SCANNER)] = (saved.is_primed, arrays)

    def _array(self, field: str, value: bytes, dtype: str) -> NDArray[Any]:
        if len(value) != self.header.rows * np.dtype(dtype).itemsize:
            raise StateMismatchError(f"saved state has {len(value)} bytes in {field!r}, which is no column of its rows")
        return np.frombuffer(value, dtype)


_Decoded = TypeVar("_Decoded")


def _decode(fields: Mapping[str, bytes], field: str, kind: type[_Decoded]) -> _Decoded:
    try:
        return msgspec.msgpack.decode(fields[field], type=kind)
    except KeyError:
        raise StateMismatchError(f"saved state has no field {field!r}") from None
    except msgspec.DecodeError as error:
        raise StateMismatchError(f"saved state can't be read: {field!r}: {error}") from None
