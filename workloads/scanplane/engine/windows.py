"""What was a minute, five or fifteen minutes ago: samples of price and volume, taken at ticks.

The window rule. At the first tick in every slot of 5 seconds of event time, price and volume of every symbol are
sampled. ``change_1m_percent`` compares the price at a tick with the newest sample that is at least a minute older than
the tick, so the window is between 60 and 65 seconds long, or longer where nothing happened in the whole market for
longer; volume windows likewise. Nothing is known until such a sample of the same trading day exists.

Samples at ticks instead of slots filled by events: all partitions tick at the same instants, so the windows are the
same whatever the batches, partitions and restarts were; minute bars, second bars and trades need no different treatment;
and a correction of the accumulated volume corrects the window with it. The price is that an event counts from when it
arrived, not from when it happened.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["PRICE_SAMPLES", "SLOT_NS", "VOLUME_SAMPLES", "Sample", "Samples"]

Numbers = NDArray[np.float64]

SLOT_NS = 5_000_000_000
PRICE_SAMPLES = 182
"""15 minutes of slots, and two: the window may be a slot longer, and the newest slot has its sample already."""
VOLUME_SAMPLES = 62


class Sample(Struct, frozen=True, eq=False):
    """Values of all symbols at a tick, shape (rows known by then,)."""

    tick_ns: int
    values: Numbers

    def padded(self, rows: int) -> Numbers:
        """Return the values of the first *rows* symbols; nan for those that came later."""
        if len(self.values) == rows:
            return self.values
        values = np.full(rows, np.nan)
        values[: len(self.values)] = self.values
        return values


class Samples:
    """The newest samples, one for a slot, each in a place of its own.

    A new sample takes the place of the oldest, however long ago that was: in a quiet market the newest sample that is old
    enough for a window can be much older than the window is long, and must not have gone.
    """

    def __init__(self, places: int) -> None:
        self._places: list[Sample | None] = [None] * places
        self._ticks: list[int] = []
        self._order: list[int] = []
        self.changed: set[int] = set()
        """Places written or emptied since the owner last cleared this."""

    def is_due(self, tick_ns: int) -> bool:
        """Say whether the tick is the first of its slot."""
        return not self._ticks or tick_ns // SLOT_NS > self._ticks[-1] // SLOT_NS

    def take(self, tick_ns: int, values: Numbers) -> None:
        """Keep a copy of *values* as the sample of the tick's slot."""
        self.put(Sample(tick_ns, values.copy()))

    def put(self, sample: Sample) -> None:
        """Keep *sample* instead of that of its slot, or of the oldest; one that is older than all of them is left out."""
        index, has_slot = self._find(sample.tick_ns)
        if has_slot:
            place = self._order[index]
        elif len(self._order) < len(self._places):
            place = self._places.index(None)
        elif index == 0:
            return
        else:
            place, index = self._order.pop(0), index - 1
            del self._ticks[0]
        if has_slot:
            self._ticks[index] = sample.tick_ns
        else:
            self._ticks.insert(index, sample.tick_ns)
            self._order.insert(index, place)
        self._places[place] = sample
        self.changed.add(place)

    def at_least(self, age_ns: int, tick_ns: int) -> Sample | None:
        """Return the newest sample that is at least *age_ns* older than the tick, if there is one."""
        index = bisect_right(self._ticks, tick_ns - age_ns) - 1
        return self._places[self._order[index]] if index >= 0 else None

    def clear(self) -> None:
        """Forget every sample."""
        self.changed.update(self._order)
        self._places = [None] * len(self._places)
        self._ticks, self._order = [], []

    def places(self) -> Iterator[tuple[int, Sample | None]]:
        """Yield every place with its sample."""
        yield from enumerate(self._places)

    def of_slot(self, tick_ns: int) -> Sample | None:
        """Return the sample of the tick's slot, if there is one."""
        index, has_slot = self._find(tick_ns)
        return self._places[self._order[index]] if has_slot else None

    def _find(self, tick_ns: int) -> tuple[int, bool]:
        """Return where the sample of the tick's slot is, or belongs, and whether it is there."""
        slot = tick_ns // SLOT_NS
        index = bisect_left(self._ticks, slot * SLOT_NS)
        return index, index < len(self._ticks) and self._ticks[index] // SLOT_NS == slot
