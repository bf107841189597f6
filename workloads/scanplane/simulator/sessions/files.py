"""The shipped data: where it is, and reading it line by line."""

import csv
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from scanplane.simulator.sessions.interface import SessionFileError

__all__ = ["DAILY_COLUMNS", "DATA_DIRECTORY", "QUOTE_COLUMNS", "TRADE_COLUMNS", "read_rows"]

_PACKAGE = Path(__file__).resolve().parents[2]
_BELOW_THE_ROOT = Path("examples/data")


def _find_data() -> Path:
    """Return the data's folder: of the checkout that one stands in, of the package's own checkout, or in the package."""
    candidates = (_BELOW_THE_ROOT, _PACKAGE.parents[1] / _BELOW_THE_ROOT, _PACKAGE / _BELOW_THE_ROOT)
    return next((folder for folder in candidates if folder.is_dir()), _BELOW_THE_ROOT)


DATA_DIRECTORY = _find_data()
"""Where the shipped data is."""

TRADE_COLUMNS = ("time_ms", "price", "size", "exchange", "conditions", "suspicious")
QUOTE_COLUMNS = (
    "time_ms",
    "bid_price",
    "bid_size",
    "ask_price",
    "ask_size",
    "bid_exchange",
    "ask_exchange",
    "condition",
    "suspicious",
)
DAILY_COLUMNS = (
    "security_id",
    "symbol",
    "close",
    "volume",
    "dollar_volume",
    "has_fundamental_data",
    "price_factor",
    "split_factor",
)


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[list[str]]:
    """Give the rows of a gzipped CSV file after its header line, which has to name *columns*.

    Raises SessionFileError.
    """
    try:
        with gzip.open(path, "rt", encoding="ascii", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if header != list(columns):
                raise SessionFileError(f"{path}: expected the columns {','.join(columns)}, found {','.join(header)}")
            yield from rows
    except FileNotFoundError:
        raise SessionFileError(f"{path} is missing; run within a checkout, or name the data's folder") from None
    except (OSError, UnicodeDecodeError, csv.Error, EOFError) as error:
        raise SessionFileError(f"{path} can't be read: {error}") from error
