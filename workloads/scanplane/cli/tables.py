"""Boards, signals and quotes as tables for a terminal: the same numbers in the same form as on the gateway's page.

Input is what the gateway sends, as plain values, so that a message of a newer gateway with more fields still shows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from scanplane.features.catalogue import CATALOGUE, Unit
from scanplane.marketdata.results import Value

__all__ = ["board_table", "clock", "format_value", "freshness_text", "quote_table", "signal_line", "signal_table"]

_STEPS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_COMPACT_FROM = 10_000


def _compact(value: float) -> str:
    for size, letter in _STEPS:
        if abs(value) >= size:
            return f"{value / size:.2f}{letter}"
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _is_change(name: str) -> bool:
    return "change" in name or "gap" in name


_FORMATS: dict[Unit, Callable[[str, float], str]] = {
    Unit.NONE: lambda _, value: f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}",
    Unit.PRICE: lambda _, value: f"{value:,.4f}" if abs(value) < 1 else f"{value:,.2f}",
    Unit.PERCENT: lambda name, value: f"{value:+,.2f} %" if _is_change(name) and value else f"{value:,.2f} %",
    Unit.SHARES: lambda _, value: _compact(value) if abs(value) >= _COMPACT_FROM else f"{value:,.0f}",
    Unit.CURRENCY: lambda _, value: f"${_compact(value)}",
    Unit.TIMES: lambda _, value: f"{value:,.2f}x" if value < 10 else f"{value:,.1f}x",
    Unit.MINUTES: lambda _, value: f"{value:,.0f} min",
}


def format_value(name: str, value: Value) -> str:
    """Return the value of the feature *name* in its unit; an unknown one is a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    feature = CATALOGUE.get(name)
    return _FORMATS[Unit.NONE if feature is None else feature.unit](name, value)


def _cell(name: str, value: Value) -> Text:
    style = ""
    if isinstance(value, int | float) and not isinstance(value, bool) and _is_change(name) and value:
        style = "green" if value > 0 else "red"
    return Text(format_value(name, value), style=style)


def clock(time_ns: int) -> str:
    """Return the time of day in the terminal's own zone; with the day before it where that is not today's."""
    moment = datetime.fromtimestamp(time_ns / 1e9, tz=UTC).astimezone()
    is_today = moment.date() == datetime.now(tz=UTC).astimezone().date()
    return f"{moment:%H:%M:%S}" if is_today else f"{moment:%Y-%m-%d %H:%M:%S}"


def freshness_text(freshness: Mapping[str, Any] | None) -> str:
    """Say in a few words how late and how live something is."""
    if not freshness:
        return ""
    parts = [freshness["delay"] or "live"]
    if freshness["lagMilliseconds"] is not None:
        parts.append(f"lag {freshness['lagMilliseconds']:,.0f} ms")
    if freshness["stale"]:
        parts.append(f"STALE: {freshness['staleReason']}")
    return ", ".join(parts)


def _title(name: str) -> str:
    return name.removesuffix("_percent").replace("_", " ") + (" %" if name.endswith("_percent") else "")


def board_table(board: Mapping[str, Any], freshness: Mapping[str, Any] | None = None, *, rows: int = 15) -> Table:
    """Return a board's best *rows* rows as a table."""
    head = f"{board['market']}/{board['scanner']}"
    matches = f"{board['matches']:,} match{'' if board['matches'] == 1 else 'es'}"
    caption = f"{matches}, {clock(board['tickNs'])}, {freshness_text(freshness)}".rstrip(", ")
    if not board["complete"]:
        caption += f", {board['partitionsPresent']} of {board['partitions']} partitions or not all at one tick"
    table = Table(title=head, caption=caption, box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left")
    table.add_column("symbol", style="bold", no_wrap=True)
    for column in board["columns"]:
        table.add_column(_title(column), justify="right", no_wrap=True)
    for row in board["rows"][:rows]:
        cells = (_cell(name, value) for name, value in zip(board["columns"], row["values"], strict=False))
        table.add_row(Text(row["symbol"]), *cells)
    return table


def signal_line(signal: Mapping[str, Any]) -> str:
    """Return a signal as one line."""
    price = format_value("price", signal["price"])
    why = f"  {signal['explanation']}" if signal.get("explanation") else ""
    return f"{clock(signal['tickNs'])}  {signal['symbol']:<8} {price:>10}  {signal['market']}/{signal['scanner']}{why}"


def signal_table(signals: Iterable[Mapping[str, Any]]) -> Table:
    """Return signals as a table, in the order given."""
    table = Table(title="signals", box=box.SIMPLE_HEAD, title_justify="left")
    for name, justify in (("time", "left"), ("symbol", "left"), ("price", "right"), ("scanner", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # rich wants a literal
    table.add_column("why")
    for signal in signals:
        table.add_row(
            clock(signal["tickNs"]),
            Text(signal["symbol"], style="bold"),
            format_value("price", signal["price"]),
            f"{signal['market']}/{signal['scanner']}",
            Text(signal.get("explanation", "")),
        )
    return table


def quote_table(quotes: Sequence[Mapping[str, Any]]) -> Table:
    """Return quotes side by side, one row a feature."""
    table = Table(title="quotes", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("feature")
    for quote in quotes:
        table.add_column(quote["symbol"], justify="right", no_wrap=True)
    names = dict.fromkeys(name for quote in quotes for name in quote.get("values", {}) if name != "symbol")
    for name in names:
        table.add_row(_title(name), *(_cell(name, quote.get("values", {}).get(name)) for quote in quotes))
    return table
