"""Before the market session begins: how much of each symbol's day falls where.

Every symbol gets a number of second bars (more for more volume), a share of its volume in premarket and postmarket (some
symbols trade only in the regular session), an opening price and a volatility. All of it is decided by chance that depends
on the symbol alone, from the real close of the day before to the real close and volume of the day.
"""

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from scanplane.simulator.sessions.chance import Floats, Integers, Keys, keys_of, uniform
from scanplane.simulator.sessions.daily import MarketDay
from scanplane.simulator.sessions.interface import SessionFileError

__all__ = ["SEGMENTS", "SegmentPlan", "SymbolPlan", "plan_segments", "plan_symbols"]

SEGMENTS = {"premarket": (0, 330), "regular": (330, 720), "postmarket": (720, 960)}
"""First and last minute of each segment, from 04:00 New York."""

_SECONDS_IN_MINUTE = 60
_MOST_BARS = (_SECONDS_IN_MINUTE - 1) * 390
_SHARES_PER_BAR = 100
_SMALLEST_DOLLAR = 1.0


class SymbolPlan(Struct, frozen=True):
    """One column for each figure; prices are in integer ``units`` of 1/scale dollars (cents, or less below $1)."""

    symbols: tuple[str, ...]
    keys: Keys
    scale: Integers
    previous: Integers
    opening: Integers
    close: Integers
    volume: Integers
    bars: Integers
    volatility: Floats


class SegmentPlan(Struct, frozen=True):
    """One segment of the day for every symbol: bars and volume in it, and the prices that it leads from and to."""

    name: str
    first_minute: int
    last_minute: int
    bars: Integers
    volume: Integers
    start: Integers
    target: Integers
    volatility: Floats
    activity: Floats


def _allot_bars(volume: Integers, events: int) -> Integers:
    """Share *events* among symbols: by the third power of the volume's logarithm, at most one for each 100 shares."""
    most = np.minimum(-(-volume // _SHARES_PER_BAR), _MOST_BARS)
    weights = np.log1p(volume.astype(np.float64)) ** 3
    if not len(volume) <= events <= int(most.sum()):
        raise SessionFileError(
            f"the market session can be played with {len(volume)} to {most.sum()} events, not {events}"
        )

    def allot(factor: float) -> Integers:
        bars: Integers = np.clip((factor * weights).astype(np.int64), 1, most)
        return bars

    low, high = 0.0, float(_MOST_BARS)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if allot(middle).sum() <= events else (low, middle)
    bars = allot(low)
    roomy = np.flatnonzero(bars < most)
    bars[roomy[: events - int(bars.sum())]] += 1
    return bars


def plan_symbols(day: MarketDay, events: int, seed: int) -> SymbolPlan:
    """Decide prices, volatility and number of bars. Raises SessionFileError for an impossible number of events."""
    keys = keys_of(day.symbols, seed)
    known = np.where(np.isnan(day.previous_close), day.close, day.previous_close)
    scale = np.where(np.minimum(known, day.close) < _SMALLEST_DOLLAR, 10_000, 100)
    change = np.log(day.close / known)
    volatility = np.clip(0.35 * np.abs(change) + 0.006 + 0.015 * uniform(keys, 0, 10), 0.0, 0.2)
    gap = change * (0.2 + 0.6 * uniform(keys, 0, 11)) + 0.3 * volatility * (uniform(keys, 0, 12) - 0.5)
    return SymbolPlan(
        symbols=day.symbols,
        keys=keys,
        scale=scale,
        previous=_units(known, scale),
        opening=_units(known * np.exp(gap), scale),
        close=_units(day.close, scale),
        volume=day.volume,
        bars=_allot_bars(day.volume, events),
        volatility=volatility,
    )


def _units(price: Floats, scale: Integers) -> Integers:
    units: Integers = np.maximum(np.rint(price * scale).astype(np.int64), 1)
    return units


def plan_segments(plan: SymbolPlan, profile: Floats) -> tuple[SegmentPlan, ...]:
    """Cut each symbol's bars and volume into the three segments. *profile* is each minute's share of a day's volume."""
    moved = np.abs(np.log(plan.opening / plan.previous))
    eager = np.clip((np.log10(plan.volume) - 4.5) / 3.0 + 10.0 * moved, 0.0, 0.97)
    early = (uniform(plan.keys, 0, 13) < eager) & (plan.bars >= 10)
    late = (uniform(plan.keys, 0, 14) < 0.8 * eager) & (plan.bars >= 10)
    early_bars, late_bars = (
        np.where(active, np.floor(plan.bars * (least + more * uniform(plan.keys, 0, stream))), 0).astype(np.int64)
        for active, least, more, stream in ((early, 0.02, 0.08, 15), (late, 0.01, 0.03, 16))
    )
    early_share = (
        _share(profile, "premarket") * (0.3 + 1.7 * uniform(plan.keys, 0, 17)) * (1.0 + 20.0 * np.minimum(moved, 0.3))
    )
    late_share = _share(profile, "postmarket") * (0.2 + 1.6 * uniform(plan.keys, 0, 18))
    early_volume, late_volume = (
        np.where(bars > 0, np.maximum((plan.volume * share).astype(np.int64), bars), 0)
        for bars, share in ((early_bars, early_share), (late_bars, late_share))
    )
    columns = {
        "premarket": (early_bars, early_volume, plan.previous, plan.opening, 0.4),
        "regular": (
            plan.bars - early_bars - late_bars,
            plan.volume - early_volume - late_volume,
            plan.opening,
            plan.close,
            1.0,
        ),
        "postmarket": (late_bars, late_volume, plan.close, plan.close, 0.2),
    }
    return tuple(
        SegmentPlan(
            name=name,
            first_minute=first,
            last_minute=last,
            bars=bars,
            volume=volume,
            start=start,
            target=target,
            volatility=plan.volatility * calmness,
            activity=_cumulative(profile[first:last]),
        )
        for (name, (first, last)), (bars, volume, start, target, calmness) in zip(
            SEGMENTS.items(), columns.values(), strict=True
        )
    )


def _share(profile: Floats, segment: str) -> float:
    """Return the share of a day's volume that the profile has in a segment."""
    first, last = SEGMENTS[segment]
    return float(profile[first:last].sum())


def _cumulative(shares: npt.NDArray[np.float64]) -> Floats:
    """Return cumulative shares at the minutes' bounds, from 0 to 1."""
    cumulative = np.concatenate(([0.0], np.cumsum(shares)))
    bounded: Floats = cumulative / cumulative[-1]
    bounded[-1] = 1.0
    return bounded
