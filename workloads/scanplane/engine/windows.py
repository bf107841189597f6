"""What was a minute, five or fifteen minutes ago: samples of price and volume, taken at ticks.

The window rule. At the first tick in every slot of 5 seconds of event time, price and volume of every symbol are
sampled. ``change_1m_percent`` compares the price at a tick with the newest sample that is at least a minute older than
the tick, so the window is between 60 and 65 seconds long; volume windows likewise. Nothing is known until such a sample
of the same trading day exists.

Samples at ticks instead of slots filled by events: all partitions tick at the same instants, so the windows are the
same whatever the batches, partitions and restarts were; minute bars, second bars and trades need no different treatment;
and a correction of the accumulated volume corrects the window with it. The price is that an event counts from when it
arrived, not from when it happened.
"""

from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["PRICE_SAMPLES", "SLOT_NS", "VOLUME_SAMPLES", "Sample", "Samples"]

Numbers = NDArray[np.float64]

SLOT_NS = 5_000_000_000
PRICE_SAMPLES = 182
"""15 minutes of slots, and two: the window may be a slot longer, and the newest slot is being filled."""
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
    """A ring of samples, one place per slot."""

    def __init__(self, places: int) -> None:
        self._places: list[Sample | None] = [None] * places
        self._newest_slot = -1
        self.changed: set[int] = set()
        """Places written or emptied since the owner last cleared this."""

    def is_due(self, tick_ns: int) -> bool:
        """Say whether the tick is the first of its slot."""
        return tick_ns // SLOT_NS > self._newest_slot

    def take(self, tick_ns: int, values: Numbers) -> None:
        """Keep a copy of *values* as the sample of the tick's slot."""
        self.put(Sample(tick_ns, values.copy()))

    def put(self, sample: Sample) -> None:
        """Keep *sample* in the place of its slot."""
        slot = sample.tick_ns // SLOT_NS
        place = slot % len(self._places)
        self._places[place] = sample
        self._newest_slot = max(self._newest_slot, slot)
        self.changed.add(place)

    def at_least(self, age_ns: int, tick_ns: int) -> Sample | None:
        """Return the newest sample that is at least *age_ns* older than the tick, if there is one."""
        old_enough = (sample for sample in self._places if sample is not None and sample.tick_ns <= tick_ns - age_ns)
        return max(old_enough, key=lambda sample: sample.tick_ns, default=None)

    def clear(self) -> None:
        """Forget every sample."""
        self.changed.update(place for place, sample in enumerate(self._places) if sample is not None)
        self._places = [None] * len(self._places)
        self._newest_slot = -1

    def places(self) -> Iterator[tuple[int, Sample | None]]:
        """Yield every place with its sample."""
        yield from enumerate(self._places)

    def place_of(self, tick_ns: int) -> Sample | None:
        """Return what is in the place of the tick's slot."""
        return self._places[tick_ns // SLOT_NS % len(self._places)]
