"""The arithmetic of every feature of the catalogue, as functions from a tick's view of the state to a column.

What a feature means stands in ``scanplane.features.catalogue``. Unknown is nan and never becomes an infinity: a
quotient with a divisor that is not positive is unknown.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from scanplane.engine.columns import Columns
from scanplane.engine.coverage import Coverage
from scanplane.engine.records import greatest_record
from scanplane.engine.reference_data import VolumeCurve
from scanplane.engine.sessions import Session, TradingDay
from scanplane.engine.state import HIGHS, LOWS, POSTMARKET, PREMARKET, REGULAR
from scanplane.engine.windows import Samples
from scanplane.features.catalogue import CATALOGUE

__all__ = ["DEFINITIONS", "EVENTS", "FEATURES", "VWAP_BAND", "Moment", "View", "is_above_vwap", "is_below_vwap"]

Numbers = NDArray[np.float64]
Truths = NDArray[np.bool_]

VWAP_BAND = 0.0005
"""How far price must be from VWAP, as a fraction of VWAP, to count as above or below it."""

_MINUTE_NS = 60_000_000_000
_SECOND_NS = 1_000_000_000


class Moment(Struct, frozen=True, eq=False):
    """What the features of one tick are made from. ``names`` has shape (rows,)."""

    tick_ns: int
    day: TradingDay
    names: NDArray[np.str_]
    state: Columns
    coverage: Coverage
    reference: Columns
    curve: VolumeCurve | None
    prices: Samples
    volumes: Samples


class View(Protocol):
    """A tick's features by name, and what they are made from."""

    @property
    def moment(self) -> Moment:
        """Where and when."""
        ...

    @property
    def rows(self) -> int:
        """The number of symbols."""
        ...

    def __getitem__(self, name: str) -> NDArray[Any]: ...

    def state(self, name: str) -> NDArray[Any]:
        """Return a column of the state, shape (rows,) or (planes, rows)."""
        ...


def _symbol(view: View) -> NDArray[np.str_]:
    return view.moment.names


def _session(view: View) -> NDArray[np.str_]:
    return np.array(str(view.moment.day.session_at(view.moment.tick_ns)))


def _minutes_since_open(view: View) -> Numbers:
    moment = view.moment
    if moment.day.session_at(moment.tick_ns) is Session.CLOSED:
        return np.full(view.rows, np.nan)
    return np.full(view.rows, (moment.tick_ns - moment.day.open_ns) / _MINUTE_NS)


def _price(view: View) -> Numbers:
    is_bar_newer = view.state("bar_start_ns") > view.state("trade_ns")
    return np.where(is_bar_newer, view.state("bar_price"), view.state("trade_price"))


def _open(view: View) -> Numbers:
    if not view.moment.coverage.regular:
        return _first_known(view.state("official_open"), _reference(view, "told_open"))
    return _first_known(view.state("official_open"), view.state("trade_open"), view.state("bar_open"))


def _extreme(view: View, plane: int) -> Numbers:
    trades = view.state("trade_extreme")[plane]
    greatest: Numbers = np.maximum(trades, greatest_record(view.moment.state, plane, view.rows))
    return np.where(np.isinf(greatest), np.nan, greatest)


def _regular_extreme(view: View, side: int) -> Numbers:
    heard = _extreme(view, side + REGULAR)
    if view.moment.coverage.regular:
        return heard
    told = _reference(view, "told_high") if side == HIGHS else -_reference(view, "told_low")
    return np.where(np.isnan(told), np.nan, np.fmax(heard, told))


def _premarket_extreme(view: View, side: int) -> Numbers:
    return _extreme(view, side + PREMARKET) if view.moment.coverage.day else _unknown(view)


def _extreme_of_day(view: View, side: int) -> Numbers:
    if not view.moment.coverage.day:
        return _unknown(view)
    sessions = [_extreme(view, side + session) for session in (PREMARKET, REGULAR, POSTMARKET)]
    return np.fmax(np.fmax(sessions[0], sessions[1]), sessions[2])


def _gap_percent(view: View) -> Numbers:
    has_opened = view.moment.tick_ns >= view.moment.day.open_ns
    return _change(view["open"] if has_opened else view["price"], view["previous_close"])


def _volume_of_day(view: View) -> Numbers:
    return _told_by_bars(view, view["counted_volume"], "accumulated_volume")


def _vwap_of_day(view: View) -> Numbers:
    return _told_by_bars(view, _vwap(view), "session_vwap")


def _premarket_volume(view: View) -> Numbers:
    return _told_by_bars(view, _positive(view.state("premarket_volume")), "premarket_accumulated_volume")


def _told_by_bars(view: View, figure: Numbers, told: str) -> Numbers:
    """Return a figure of the day so far: where it was not heard from its beginning, it is known of symbols whose bars say it."""
    if view.moment.coverage.day:
        return figure
    return np.where(np.isnan(view.state(told)), np.nan, figure) if told in view.moment.state else _unknown(view)


def _vwap(view: View) -> Numbers:
    notional, volume = view.state("trade_notional"), view.state("trade_notional_volume")
    vwap = _quotient(notional, volume)
    state = view.moment.state
    if "session_vwap" not in state and "bar_sum_volume" not in state:
        return vwap
    # The trades that came after the newest bar did, on top of what bars say.
    later, later_volume = notional - view.state("notional_before"), volume - view.state("notional_volume_before")
    if "bar_sum_volume" in state:
        bars, bars_volume = _sums_of_bars(view)
        bars_volume += later_volume
        vwap = np.where(volume < bars_volume, _quotient(bars + later, bars_volume), vwap)
    if "session_vwap" in state:
        provider, weight = view.state("session_vwap"), view.state("volume_bar")
        with_later = (provider * weight + later) / (weight + later_volume)
        vwap = _first_known(np.where(later_volume > 0, with_later, provider), vwap)
    return vwap


def _sums_of_bars(view: View) -> tuple[Numbers, Numbers]:
    """Return notional and volume of the bars, of the kind that saw more volume."""
    (seconds, minutes), notional = view.state("bar_sum_volume"), view.state("bar_sum_notional")
    has_minutes = minutes > seconds
    return np.where(has_minutes, notional[1], notional[0]), np.where(has_minutes, minutes, seconds)


def _relative_volume(view: View) -> Numbers:
    curve = view.moment.curve
    if curve is None:
        return np.full(view.rows, np.nan)
    second = (view.moment.tick_ns - view.moment.day.midnight_ns) / _SECOND_NS
    place = int(np.searchsorted(curve.seconds, second, side="right")) - 1
    if place < 0:
        return np.full(view.rows, np.nan)
    following = min(place + 1, len(curve.seconds) - 1)
    span = curve.seconds[following] - curve.seconds[place]
    weight = (second - curve.seconds[place]) / span if span > 0 else 0.0
    usual = np.full(view.rows, np.nan)
    if curve.volumes is not None:
        positions = view.moment.reference["curve_position"][: view.rows]
        has_curve = positions >= 0
        before = curve.volumes[positions[has_curve], place]
        usual[has_curve] = before + (curve.volumes[positions[has_curve], following] - before) * weight
    if curve.fractions is not None:
        before = curve.fractions[place]
        fraction = before + (curve.fractions[following] - before) * weight
        usual = _first_known(usual, view["average_volume"] * fraction)
    return _quotient(view["volume"], usual)


def _price_change(view: View, minutes: int) -> Numbers:
    sample = view.moment.prices.at_least(minutes * _MINUTE_NS, view.moment.tick_ns)
    if sample is None:
        return np.full(view.rows, np.nan)
    return _change(view["price"], sample.padded(view.rows))


def _volume_within(view: View, minutes: int) -> Numbers:
    sample = view.moment.volumes.at_least(minutes * _MINUTE_NS, view.moment.tick_ns)
    if sample is None:
        return np.full(view.rows, np.nan)
    values = sample.padded(view.rows)
    counts_from = view.state("volume_since_ns")
    began = np.where(np.isnan(values) | (sample.tick_ns <= counts_from), view.state("volume_before"), values)
    return np.asarray(np.maximum(view["counted_volume"] - began, 0.0))


def _spread_percent(view: View) -> Numbers:
    bid, ask = view["bid"], view["ask"]
    spread = np.where(ask >= bid, ask - bid, np.nan)
    return _quotient(spread, (ask + bid) / 2) * 100


def is_above_vwap(view: View) -> Truths:
    """Say for which symbols price is above VWAP by more than the band."""
    above: Truths = view["price"] > view["vwap"] * (1 + VWAP_BAND)
    return above


def is_below_vwap(view: View) -> Truths:
    """Say for which symbols price is below VWAP by more than the band."""
    below: Truths = view["price"] < view["vwap"] * (1 - VWAP_BAND)
    return below


def _unknown(view: View) -> Numbers:
    return np.full(view.rows, np.nan)


def _reference(view: View, name: str) -> Numbers:
    values: Numbers = view.moment.reference[name][: view.rows]
    return values


def _first_known(*columns: Numbers) -> Numbers:
    """Return, for each symbol, the value of the first column that knows it."""
    result = columns[-1]
    for column in reversed(columns[:-1]):
        result = np.where(np.isnan(column), result, column)
    return result


def _positive(values: Numbers) -> Numbers:
    return np.where(values > 0, values, np.nan)


def _quotient(dividend: Numbers, divisor: Numbers) -> Numbers:
    return np.asarray(dividend / _positive(divisor))


def _change(value: Numbers, base: Numbers) -> Numbers:
    return _quotient(value - base, base) * 100


Definition = Callable[[View], NDArray[Any]]

EVENTS: dict[str, Definition] = {
    "new_high_of_day": lambda view: view["high_of_day"] > view.state("ticked_high"),
    "new_low_of_day": lambda view: view["low_of_day"] < view.state("ticked_low"),
    "crossed_above_vwap": lambda view: is_above_vwap(view) & (view.state("vwap_side") < 0),
    "crossed_below_vwap": lambda view: is_below_vwap(view) & (view.state("vwap_side") > 0),
}

FEATURES: dict[str, Definition] = {
    "symbol": _symbol,
    "session": _session,
    "minutes_since_open": _minutes_since_open,
    "price": _price,
    "open": _open,
    "high": lambda view: _regular_extreme(view, HIGHS),
    "low": lambda view: -_regular_extreme(view, LOWS),
    "previous_close": lambda view: _reference(view, "previous_close"),
    "change_percent": lambda view: _change(view["price"], view["previous_close"]),
    "gap_percent": _gap_percent,
    "change_from_open_percent": lambda view: _change(view["price"], view["open"]),
    "volume": _volume_of_day,
    "dollar_volume": lambda view: view["volume"] * view["vwap"],
    "vwap": _vwap_of_day,
    "range_percent": lambda view: _change(view["high"], view["low"]),
    "average_volume": lambda view: _reference(view, "average_volume"),
    "relative_volume": _relative_volume,
    "free_float": lambda view: _reference(view, "free_float"),
    "float_rotation": lambda view: _quotient(view["volume"], view["free_float"]),
    "high_of_day": lambda view: _extreme_of_day(view, HIGHS),
    "low_of_day": lambda view: -_extreme_of_day(view, LOWS),
    "premarket_high": lambda view: _premarket_extreme(view, HIGHS),
    "premarket_low": lambda view: -_premarket_extreme(view, LOWS),
    "premarket_volume": _premarket_volume,
    "change_1m_percent": lambda view: _price_change(view, 1),
    "change_5m_percent": lambda view: _price_change(view, 5),
    "change_15m_percent": lambda view: _price_change(view, 15),
    "volume_1m": lambda view: _volume_within(view, 1),
    "volume_5m": lambda view: _volume_within(view, 5),
    "bid": lambda view: view.state("bid"),
    "ask": lambda view: view.state("ask"),
    "spread_percent": _spread_percent,
    **EVENTS,
}

if FEATURES.keys() != CATALOGUE.keys():
    raise RuntimeError(f"catalogue and definitions differ: {sorted(FEATURES.keys() ^ CATALOGUE.keys())}")

DEFINITIONS: dict[str, Definition] = {
    **FEATURES,
    "counted_volume": lambda view: _positive(view.state("volume")),
}
"""The features, and what windows are made of: the volume as far as it was heard."""
