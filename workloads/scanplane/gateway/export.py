"""CSV for spreadsheets: plain columns, a file name that says what and when, and cells that can't become formulas."""

import csv
import io
from collections.abc import Iterable, Sequence

from scanplane.gateway.freshness import Freshness, iso_time
from scanplane.gateway.merge import Board
from scanplane.marketdata.results import QuoteRow, Signal, Value

__all__ = ["board_csv", "file_name", "quotes_csv", "signals_csv"]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def _cell(value: Value) -> str:
    """Return a cell; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    return repr(value)


def _table(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def board_csv(board: Board, freshness: Freshness) -> str:
    """Return a board, one row a symbol, best first."""
    header = ["position", "symbol", "rank_value", *board.columns, "tick_time", "delay"]
    rows = (
        [position, row.symbol, row.rank_value, *row.values, freshness.tick_time, freshness.delay]
        for position, row in enumerate(board.rows, start=1)
    )
    return _table(header, rows)


def signals_csv(signals: Sequence[Signal]) -> str:
    """Return signals, oldest first; the columns of all scanners side by side."""
    columns = list(dict.fromkeys(column for signal in signals for column in signal.columns))
    fixed = ["tick_time", "market", "scanner", "symbol", "price", "explanation", "data_label", "signal_id"]
    rows = []
    for signal in signals:
        values = dict(zip(signal.columns, signal.values, strict=False))
        rows.append(
            [
                iso_time(signal.tick_ns),
                signal.market,
                signal.scanner,
                signal.symbol,
                signal.price,
                signal.explanation,
                signal.data_label,
                signal.signal_id,
                *(values.get(column) for column in columns),
            ]
        )
    return _table([*fixed, *columns], rows)


def quotes_csv(quotes: Sequence[QuoteRow]) -> str:
    """Return quotes, one row a symbol; every feature that any of them knows is a column."""
    columns = list(dict.fromkeys(name for quote in quotes for name in quote.values if name != "symbol"))
    rows = (
        [quote.symbol, iso_time(quote.tick_ns), *(quote.values.get(column) for column in columns)] for quote in quotes
    )
    return _table(["symbol", "tick_time", *columns], rows)


def file_name(*parts: str) -> str:
    """Return a file name of *parts*, free of anything that a shell, a browser or a folder would take amiss."""
    text = "_".join(part for part in parts if part)
    return (
        "".join(each if each.isascii() and (each.isalnum() or each in "-_.") else "-" for each in text)[:150] + ".csv"
    )
