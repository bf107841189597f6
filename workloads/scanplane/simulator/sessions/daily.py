"""The whole US market's closes and volumes of three days, as columns.

Source: the sample data of QuantConnect's LEAN engine, in ``examples/data/us-equities-daily``. Prices and volumes are
raw, so the day before is brought into the terms of the day by the ratio of the two split factors. A few tickers belong
to two securities; the one that traded more is taken.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from scanplane.simulator.sessions.files import DAILY_COLUMNS, DATA_DIRECTORY, read_rows
from scanplane.simulator.sessions.interface import SessionFileError

__all__ = ["DAILY_FOLDER", "MarketDay", "ReferenceDay", "read_market_day", "read_reference"]

DAILY_FOLDER = "us-equities-daily"
_EARLIER_DAYS = ("20140324", "20140325")
_DAY = "20140326"

Floats = npt.NDArray[np.float64]


class _Row(Struct, frozen=True):
    """One security on one day: close in raw dollars, volume in shares."""

    symbol: str
    close: float
    volume: int
    split_factor: float


class ReferenceDay(Struct, frozen=True):
    """What is known before the day, by symbol in alphabetical order; NaN where it is not.

    ``previous_close`` and ``previous_volume`` are those of 2014-03-25, ``average_volume`` is the mean of 2014-03-24 and
    -25 (two days is all that there is), all split-adjusted to 2014-03-26.
    """

    symbols: tuple[str, ...]
    previous_close: Floats
    previous_volume: Floats
    average_volume: Floats


class MarketDay(Struct, frozen=True):
    """2014-03-26 by symbol in alphabetical order: every security with volume. ``previous_close`` is NaN if unknown."""

    symbols: tuple[str, ...]
    previous_close: Floats
    close: Floats
    volume: npt.NDArray[np.int64]


def _read(data: Path, day: str) -> dict[str, _Row]:
    path = data / DAILY_FOLDER / f"{day}.csv.gz"
    try:
        return {
            security: _Row(symbol, float(close), int(volume), float(split))
            for security, symbol, close, volume, _, _, _, split in read_rows(path, DAILY_COLUMNS)
        }
    except ValueError as error:
        raise SessionFileError(f"{path}: a row can't be read: {error}") from error


def _one_per_symbol(rows: Mapping[str, _Row]) -> dict[str, str]:
    """Return symbol → security, the one with the larger volume where two share a symbol."""
    chosen: dict[str, str] = {}
    for security, row in rows.items():
        rival = chosen.get(row.symbol)
        if rival is None or row.volume > rows[rival].volume:
            chosen[row.symbol] = security
    return chosen


def read_market_day(data: Path = DATA_DIRECTORY) -> MarketDay:
    """Read the day that the market session plays. Raises SessionFileError."""
    day, before = _read(data, _DAY), _read(data, _EARLIER_DAYS[-1])
    chosen = {symbol: key for symbol, key in sorted(_one_per_symbol(day).items()) if day[key].volume > 0}
    previous = [
        before[key].close * before[key].split_factor / day[key].split_factor if key in before else float("nan")
        for key in chosen.values()
    ]
    return MarketDay(
        symbols=tuple(chosen),
        previous_close=np.array(previous),
        close=np.array([day[key].close for key in chosen.values()]),
        volume=np.array([day[key].volume for key in chosen.values()], dtype=np.int64),
    )


def read_reference(data: Path = DATA_DIRECTORY) -> ReferenceDay:
    """Read what is known before the day that the market session plays. Raises SessionFileError."""
    day = _read(data, _DAY)
    earlier = [_read(data, name) for name in _EARLIER_DAYS]
    known = _one_per_symbol(earlier[-1])
    known.update({symbol: key for symbol, key in _one_per_symbol(day).items() if any(key in rows for rows in earlier)})
    closes, last_volumes, volumes = [], [], []
    for _, key in sorted(known.items()):
        split_now = day[key].split_factor if key in day else earlier[-1][key].split_factor
        last = earlier[-1].get(key)
        closes.append(last.close * last.split_factor / split_now if last else float("nan"))
        last_volumes.append(last.volume * split_now / last.split_factor if last else float("nan"))
        traded = [row.volume * split_now / row.split_factor for rows in earlier if (row := rows.get(key))]
        volumes.append(sum(traded) / len(traded))
    return ReferenceDay(
        symbols=tuple(sorted(known)),
        previous_close=np.array(closes),
        previous_volume=np.array(last_volumes),
        average_volume=np.array(volumes),
    )
