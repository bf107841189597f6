"""How a day's volume is spread over the day, measured on real trades.

The curve is the mean, over the four symbols whose every trade of 2013-10-08 is shipped, of the share of the day's
volume traded by the end of each five minutes from 04:00 to 20:00 New York. Official opening and closing prices, which
are reported as trades, count no volume.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanplane.simulator.sessions.files import DATA_DIRECTORY, TRADE_COLUMNS, read_rows
from scanplane.simulator.sessions.interface import SessionFileError
from scanplane.simulator.sessions.ticks import TICK_FOLDER, TICK_SYMBOLS

__all__ = ["BUCKET_MINUTES", "CURVE_COLUMNS", "CURVE_FILE", "measure_curve", "minute_profile", "read_curve"]

BUCKET_MINUTES = 5
CURVE_COLUMNS = ("time", "fraction")
CURVE_FILE = "volume_curve.csv"

_FIRST_MINUTE = 4 * 60
_MINUTES = 16 * 60
_BUCKETS = _MINUTES // BUCKET_MINUTES
_CLOSING_BUCKET = (16 - 4) * 60 // BUCKET_MINUTES
_NO_VOLUME = (1 << 24) | (1 << 26)  # LEAN's flags for a market center's official close and open

Floats = npt.NDArray[np.float64]


def measure_curve(data: Path) -> Sequence[float]:
    """Return the share of the day's volume traded by the end of each bucket; the last is 1. Raises SessionFileError."""
    shares = np.zeros((len(TICK_SYMBOLS), _BUCKETS))
    for row, symbol in enumerate(TICK_SYMBOLS):
        path = data / TICK_FOLDER / f"{symbol.lower()}_20131008_trades.csv.gz"
        for time_ms, _, size, _, conditions, suspicious in read_rows(path, TRADE_COLUMNS):
            if suspicious == "0" and not int(conditions, 16) & _NO_VOLUME:
                bucket = (int(time_ms) // 60_000 - _FIRST_MINUTE) // BUCKET_MINUTES
                shares[row, min(max(bucket, 0), _BUCKETS - 1)] += int(size)
    shares /= shares.sum(axis=1, keepdims=True)
    curve = np.round(np.cumsum(shares.mean(axis=0)), 6)
    curve[-1] = 1.0
    return [float(fraction) for fraction in curve]


def read_curve(data: Path = DATA_DIRECTORY) -> Floats:
    """Read the curve that :func:`measure_curve` measured. Raises SessionFileError."""
    path = data / CURVE_FILE
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        curve = np.array([float(line.split(",")[1]) for line in lines[1:]])
    except (OSError, ValueError, IndexError) as error:
        raise SessionFileError(f"{path} can't be read: {error}") from error
    if curve.shape != (_BUCKETS,) or curve[-1] != 1.0 or np.any(np.diff(curve) < 0):
        raise SessionFileError(f"{path}: expected {_BUCKETS} fractions that grow to 1")
    return curve


def minute_profile(curve: Floats) -> Floats:
    """Return each minute's share of the day's volume, 960 from 04:00; they sum to 1.

    The five minutes after 16:00 hold the closing auctions, reported a few seconds late: they go to the last five of the
    regular session, where a market without delays would have them.
    """
    buckets = np.diff(curve, prepend=0.0)
    buckets[_CLOSING_BUCKET - 1] += buckets[_CLOSING_BUCKET]
    buckets[_CLOSING_BUCKET] = 0.0
    return np.repeat(buckets / BUCKET_MINUTES, BUCKET_MINUTES)
