"""Make ``examples/data`` and the demos' reference files from LEAN's sample data.

    python -m scanplane.simulator.prepare_examples SOURCE_DIR [EXAMPLES_DIR]

SOURCE_DIR holds ``us-equities-ticks/{symbol}_20131008_{trade,quote}.zip`` and ``us-equities-daily/{date}.csv.gz`` in
LEAN's own formats. Lossless but for the layout: a header line, prices in dollars, and one row for each quote, where the
source has one for each side (its ``suspicious`` is 1 for the bid plus 2 for the ask). The same source gives the same bytes.
"""

import csv
import gzip
import io
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from scanplane.simulator.sessions.daily import ReferenceDay, read_reference
from scanplane.simulator.sessions.files import DAILY_COLUMNS, QUOTE_COLUMNS, TRADE_COLUMNS
from scanplane.simulator.sessions.profile import BUCKET_MINUTES, CURVE_COLUMNS, measure_curve
from scanplane.simulator.sessions.ticks import TICK_FOLDER, TICK_SYMBOLS

__all__ = ["main", "prepare", "prepare_ticks"]

_DAILY_FOLDER = "us-equities-daily"
_DAYS = ("20140324", "20140325", "20140326")


def _source_lines(path: Path) -> Iterator[list[str]]:
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        yield from csv.reader(io.TextIOWrapper(member, encoding="ascii"))


def _dollars(ten_thousandths: str) -> str:
    return format((Decimal(ten_thousandths) / 10_000).normalize(), "f")


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=9, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="ascii", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _trade_rows(path: Path) -> Iterator[Sequence[str]]:
    for time_ms, price, size, exchange, conditions, suspicious in _source_lines(path):
        yield time_ms, _dollars(price), size, exchange, conditions, suspicious


def _quote_rows(path: Path) -> Iterator[Sequence[str]]:
    """Join the two rows of each quote; each side's other half is the zeros of its own row."""
    lines = _source_lines(path)
    for bid in lines:
        ask = next(lines, None)
        if ask is None or bid[0] != ask[0] or bid[3] != "0" or ask[1] != "0" or bid[6] != ask[6]:
            raise ValueError(f"{path}: expected a bid and an ask of the same time, found {bid} and {ask}")
        suspicious = str(int(bid[7]) + 2 * int(ask[7]))
        yield bid[0], _dollars(bid[1]), bid[2], _dollars(ask[3]), ask[4], bid[5], ask[5], bid[6], suspicious


def _write_text(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _reference_rows(reference: ReferenceDay) -> Iterator[Sequence[str]]:
    for symbol, close, volume in zip(
        reference.symbols, reference.previous_close, reference.average_volume, strict=True
    ):
        yield symbol, f"{close:.6g}" if close > 0 else "", f"{volume:.0f}" if volume > 0 else ""


def prepare_ticks(source: Path, data: Path, symbol: str) -> None:
    """Write the trades of *symbol*, and its quotes where there are some. Raises as :func:`prepare`."""
    stem = f"{symbol.lower()}_20131008"
    ticks, made = source / TICK_FOLDER, data / TICK_FOLDER
    _write(made / f"{stem}_trades.csv.gz", TRADE_COLUMNS, _trade_rows(ticks / f"{stem}_trade.zip"))
    quotes = ticks / f"{stem}_quote.zip"
    if quotes.exists():
        _write(made / f"{stem}_quotes.csv.gz", QUOTE_COLUMNS, _quote_rows(quotes))


def prepare(source: Path, examples: Path) -> None:
    """Write the data and the reference files. Raises OSError and ValueError for a source that is not as described."""
    data = examples / "data"
    for symbol in TICK_SYMBOLS:
        prepare_ticks(source, data, symbol)
    for day in _DAYS:
        with gzip.open(source / _DAILY_FOLDER / f"{day}.csv.gz", "rt", encoding="ascii", newline="") as file:
            _write(data / _DAILY_FOLDER / f"{day}.csv.gz", DAILY_COLUMNS, csv.reader(file))
    curve = measure_curve(data)
    rows = [
        (f"{minute // 60:02d}:{minute % 60:02d}", f"{fraction:.6f}")
        for minute, fraction in zip(range(4 * 60 + BUCKET_MINUTES, 20 * 60 + 1, BUCKET_MINUTES), curve, strict=True)
    ]
    _write_text(data / "volume_curve.csv", CURVE_COLUMNS, rows)
    _write_text(examples / "demo-market" / "reference" / "volume_curve.csv", CURVE_COLUMNS, rows)
    _write_text(
        examples / "demo-market" / "reference" / "symbols.csv",
        ("symbol", "previous_close", "average_volume"),
        _reference_rows(read_reference(data)),
    )


def main() -> int:
    """Run from the command line."""
    arguments = sys.argv[1:]
    if len(arguments) not in {1, 2}:
        sys.stderr.write("usage: python -m scanplane.simulator.prepare_examples SOURCE_DIR [EXAMPLES_DIR]\n")
        return 2
    prepare(Path(arguments[0]), Path(arguments[1] if len(arguments) == 2 else "examples"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
