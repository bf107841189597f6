"""What is known of a market's symbols before the session begins; loaded by ``scanplane.reference``."""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["DayReference", "DaySoFar", "ReferenceData", "SymbolReference", "VolumeCurve"]

Numbers = NDArray[np.float64]


class SymbolReference(Struct, frozen=True, kw_only=True):
    """One symbol's figures; ``nan`` is unknown.

    ``previous_close`` is in the quote currency and already adjusted for splits, ``average_volume`` in shares a day,
    ``free_float`` in shares.
    """

    previous_close: float = np.nan
    average_volume: float = np.nan
    free_float: float = np.nan


class VolumeCurve(Struct, frozen=True, eq=False):
    """The volume usual by a time of day.

    ``seconds`` are times of day, exchange local, strictly ascending, shape (points,). ``fractions`` holds the share of the
    day's volume that is usually traded by then, for every symbol. ``volumes`` holds shares for the symbols whose own
    curve is known, shape (symbols, points), in the order of ``positions``. Between two points the curve is a line;
    before the first it is unknown, after the last it stays.
    """

    seconds: Numbers
    fractions: Numbers | None = None
    positions: Mapping[str, int] = {}
    volumes: Numbers | None = None

    def __post_init__(self) -> None:
        if len(self.seconds) == 0 or (np.diff(self.seconds) <= 0).any():
            raise ValueError("a volume curve needs times of day in strictly ascending order")


class ReferenceData(Struct, frozen=True, eq=False):
    """Reference figures by symbol, and the volume curve. ``digest`` names what the previous closes were read from."""

    symbols: Mapping[str, SymbolReference] = {}
    curve: VolumeCurve | None = None
    digest: str = ""

    def select(self, names: Sequence[str]) -> dict[str, Numbers]:
        """Return the columns ``previous_close``, ``average_volume`` and ``free_float`` for *names*, nan where unknown."""
        unknown = SymbolReference()
        rows = [self.symbols.get(name, unknown) for name in names]
        return {
            "previous_close": _usable([row.previous_close for row in rows]),
            "average_volume": _usable([row.average_volume for row in rows]),
            "free_float": _usable([row.free_float for row in rows]),
        }


class DaySoFar(Struct, frozen=True, kw_only=True):
    """The regular session of one symbol so far, by the provider's word; prices, ``nan`` where there is none yet."""

    open: float = np.nan
    high: float = np.nan
    low: float = np.nan


class DayReference(Struct, frozen=True, kw_only=True, eq=False):
    """Reference figures of one trading day, that which begins at ``begin_ns``.

    ``so_far`` holds what had happened by ``as_of_ns``, for an analyzer that began after the session did.
    """

    begin_ns: int
    symbols: Mapping[str, SymbolReference]
    as_of_ns: int = 0
    so_far: Mapping[str, DaySoFar] = {}


def _usable(values: Sequence[float]) -> Numbers:
    """Every reference figure is a positive number; anything else would only divide by zero later."""
    array = np.array(values, np.float64)
    return np.where((array > 0) & np.isfinite(array), array, np.nan)
