"""What is known beforehand of the symbols that trade, by the trading day that it belongs to.

There are two sources. What was *given* at the start (files) lasts until something else is given. But its previous closes are
those before one trading day: the one in progress at the first tick, or the next where the market was closed then. On later
days they are unknown, rather than yesterday's. What was *fetched* (from the provider) counts for its own day alone. It is
swapped in at the first tick of that day, or whenever it arrives, at a tick; from then on a figure that is known stays as it
is, and what is fetched again only adds symbols.

What is fetched is part of the saved state, so that whoever goes on with it has the same figures; what is given is not, since it
comes with the configuration.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from scanplane.engine.columns import Columns
from scanplane.engine.coverage import coverage_of
from scanplane.engine.reference_data import DayReference, DaySoFar, ReferenceData, SymbolReference
from scanplane.engine.sessions import Session, TradingDay
from scanplane.engine.state import REFERENCE_COLUMNS
from scanplane.marketdata.partitions import Partition, partition_of

__all__ = ["LEAD_NS", "References", "SavedReference"]

LEAD_NS = 30 * 60_000_000_000
"""How long before a day begins its figures are asked for: the provider's snapshot turns to the new day half an hour before."""

VAIN_FETCHES = 8
"""After so many that knew none of the symbols that are unknown, none is asked for until others come."""

_FETCHED = ("previous_close", "average_volume")
_TOLD = ("open", "high", "low")

_Row = TypeVar("_Row", SymbolReference, DaySoFar)


class SavedReference(Struct, frozen=True, array_like=True):
    """What a state keeps. ``digest`` and ``given_day_ns`` say what was given, and for which day its previous closes are."""

    digest: str
    given_day_ns: int | None
    day_ns: int | None
    symbols: dict[str, tuple[float, float]]
    as_of_ns: int
    so_far: dict[str, tuple[float, float, float]]


class _Shown(Struct, frozen=True):
    """What the columns say: on which day, whether with the previous closes that were given, and what of the fetched."""

    day_ns: int
    is_given_today: bool
    fetched: DayReference | None
    is_told: bool


class References:
    """The reference columns of one engine. *fetches* says that some figures have the provider as their source."""

    def __init__(self, given: ReferenceData, partition: Partition, *, fetches: bool) -> None:
        self.given = given
        self.columns = Columns(REFERENCE_COLUMNS)
        self.rows = 0
        """How many of the symbols have their row."""
        self.unknown = 0
        """How many of them no source knows; 0 where there is none."""
        self._partition = partition
        self._fetches = fetches
        self._given_day_ns: int | None = None
        self._fetched: DayReference | None = None
        self._coming: DayReference | None = None
        self._expected: DayReference | None = None
        self._unknown_then = 0
        self._vain_fetches = 0
        self._shown = _Shown(0, is_given_today=False, fetched=None, is_told=False)
        self._saved: bytes | None = None

    @property
    def given_day_ns(self) -> int | None:
        """The beginning of the trading day whose previous closes were given, once that is known."""
        return self._given_day_ns

    def begin_anew(self) -> None:
        """Forget the symbols, and which day it is."""
        self.forget_rows()
        self._given_day_ns = None
        self._saved = None

    def forget_rows(self) -> None:
        """Rows were given to other symbols."""
        self.rows, self.unknown, self._unknown_then, self._vain_fetches = 0, 0, 0, 0

    def expect(self, fetched: DayReference) -> None:
        """Take what was fetched; it shows from the first tick of its day on, or from the next."""
        if fetched is not self._expected:
            self._expected = self._coming = fetched

    def at_tick(self, day: TradingDay, tick_ns: int, since_ns: int, names: Sequence[str]) -> None:
        """Let the columns say what is known at a tick of *day*, which is heard since *since_ns*."""
        if self._given_day_ns is None:
            is_over = day.session_at(tick_ns) is Session.CLOSED
            self._given_day_ns = day.next_begin_ns if is_over else day.begin_ns
            self._saved = None
        if self._coming is not None and self._coming.begin_ns <= day.begin_ns:
            coming, self._coming = self._coming, None
            if coming.begin_ns == day.begin_ns:
                self._take(coming, day, since_ns)
                unknown, others_came = self.unknown, self.unknown > self._unknown_then
                self.show(day, tick_ns, names)
                self._vain_fetches = 0 if others_came or self.unknown < unknown else self._vain_fetches + 1
        self.show(day, tick_ns, names)

    def show(self, day: TradingDay, tick_ns: int, names: Sequence[str]) -> None:
        """Let the columns say what is known at an instant of *day* by what is here already."""
        fetched = self._fetched_of(day.begin_ns)
        is_told = fetched is not None and bool(fetched.so_far) and fetched.as_of_ns <= tick_ns
        shown = _Shown(day.begin_ns, self._given_day_ns == day.begin_ns, fetched, is_told)
        if shown != self._shown:
            self._shown, self.rows, self.unknown = shown, 0, 0
            self.columns.clear()
            self.grow(names)
            self._unknown_then = self.unknown

    def grow(self, names: Sequence[str]) -> None:
        """Make rows for those of *names* that have none yet, which are the last."""
        rows = len(names)
        if rows == self.rows:
            return
        self.columns.grow(rows)
        added = slice(self.rows, rows)
        for name, values in self._select(names[added]).items():
            self.columns[name][added] = values
        self.rows = rows

    def wanted(self, day: TradingDay, tick_ns: int, since_ns: int) -> int | None:
        """Return the beginning of the trading day whose figures are to be fetched, or fetched again; None if none are."""
        if not self._fetches:
            return None
        if day.session_at(tick_ns) is Session.CLOSED:
            is_due = day.next_begin_ns - tick_ns <= LEAD_NS
            is_there = self._coming is not None and self._coming.begin_ns == day.next_begin_ns
            return day.next_begin_ns if is_due and not is_there else None
        fetched = self._fetched_of(day.begin_ns)
        is_hopeful = self.unknown > self._unknown_then or self._vain_fetches < VAIN_FETCHES
        if fetched is None or (self.unknown and is_hopeful):
            return day.begin_ns
        is_untold = not coverage_of(day, since_ns).regular and tick_ns >= day.open_ns and not fetched.so_far
        return day.begin_ns if is_untold else None

    def encode(self) -> bytes:
        """Return what a state keeps; the same object as long as nothing changed."""
        if self._saved is None:
            fetched = self._fetched
            saved = SavedReference(
                digest=self.given.digest,
                given_day_ns=self._given_day_ns,
                day_ns=None if fetched is None else fetched.begin_ns,
                symbols={}
                if fetched is None
                else {name: (row.previous_close, row.average_volume) for name, row in fetched.symbols.items()},
                as_of_ns=0 if fetched is None else fetched.as_of_ns,
                so_far={}
                if fetched is None
                else {name: (row.open, row.high, row.low) for name, row in fetched.so_far.items()},
            )
            self._saved = msgspec.msgpack.encode(saved)
        return self._saved

    def restore(self, saved: SavedReference) -> None:
        """Take up what a state kept; of several states each may add symbols."""
        self._saved = None
        if saved.digest == self.given.digest and saved.given_day_ns is not None:
            self._given_day_ns = max(saved.given_day_ns, self._given_day_ns or saved.given_day_ns)
        if saved.day_ns is None or (self._fetched is not None and saved.day_ns < self._fetched.begin_ns):
            return
        restored = DayReference(
            begin_ns=saved.day_ns,
            symbols=self._mine(
                {
                    name: SymbolReference(previous_close=close, average_volume=volume)
                    for name, (close, volume) in saved.symbols.items()
                }
            ),
            as_of_ns=saved.as_of_ns,
            so_far=self._mine(
                {name: DaySoFar(open=first, high=high, low=low) for name, (first, high, low) in saved.so_far.items()}
            ),
        )
        self._fetched = _joined(self._fetched_of(saved.day_ns), restored)

    def _fetched_of(self, begin_ns: int) -> DayReference | None:
        return self._fetched if self._fetched is not None and self._fetched.begin_ns == begin_ns else None

    def _take(self, coming: DayReference, day: TradingDay, since_ns: int) -> None:
        """Take what was fetched for *day*. What it tells of the past helps only if it reaches to where the engine began."""
        helps = not coverage_of(day, since_ns).regular and coming.as_of_ns >= since_ns
        taken = msgspec.structs.replace(
            coming, symbols=self._mine(coming.symbols), so_far=self._mine(coming.so_far) if helps else {}
        )
        self._fetched = _joined(self._fetched_of(coming.begin_ns), taken)
        self._saved = None

    def _mine(self, rows: Mapping[str, _Row]) -> dict[str, _Row]:
        index, count = self._partition.index, self._partition.count
        return {name: row for name, row in rows.items() if count == 1 or partition_of(name, count) == index}

    def _select(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        given, fetched = self.given, self._shown.fetched
        columns: dict[str, NDArray[Any]] = dict(given.select(names))
        if not self._shown.is_given_today:
            columns["previous_close"] = np.full(len(names), np.nan)
        if fetched is not None:
            latest = ReferenceData(symbols=fetched.symbols).select(names)
            for figure in _FETCHED:
                columns[figure] = np.where(np.isnan(latest[figure]), columns[figure], latest[figure])
            if self._shown.is_told:
                rows = [fetched.so_far.get(name, _UNTOLD) for name in names]
                for figure in _TOLD:
                    columns[f"told_{figure}"] = np.array([getattr(row, figure) for row in rows], np.float64)
        if given.curve is not None:
            positions = given.curve.positions
            columns["curve_position"] = np.array([positions.get(name, -1) for name in names], np.int64)
        if given.symbols or self._fetches:
            known = (given.symbols, {} if fetched is None else fetched.symbols)
            self.unknown += sum(name not in known[0] and name not in known[1] for name in names)
        return columns


_UNTOLD = DaySoFar()


def _joined(before: DayReference | None, added: DayReference) -> DayReference:
    """Return both, of the same day; what was there before stays as it was."""
    if before is None:
        return added
    past = before if before.so_far else added
    return DayReference(
        begin_ns=added.begin_ns,
        symbols={**added.symbols, **before.symbols},
        as_of_ns=past.as_of_ns,
        so_far=past.so_far,
    )
