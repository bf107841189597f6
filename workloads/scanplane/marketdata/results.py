"""What an analyzer makes of the market: board parts, signals and quotes.

Encoded as JSON in the cache, so that what a gateway serves can be read there with any Redis client.
Unknown values are ``null``. Rows and signals come by the thousand and hold plain values only, so the garbage collector
need not follow them (``gc=False``).
"""

from msgspec import Struct

__all__ = ["BoardPart", "BoardRow", "QuoteRow", "Signal", "Value"]

Value = float | int | str | bool | None
"""One cell: a number in the feature's unit, a text, a truth, or None where it is not known."""


class BoardRow(Struct, frozen=True, gc=False):
    """One symbol of a board: the value it is ranked by and the asked columns, in the scanner's order."""

    symbol: str
    rank_value: float
    values: tuple[Value, ...]


class BoardPart(Struct, frozen=True, rename="camel"):
    """One partition's best rows of a board at one tick, best first. Ties are broken by symbol, ascending.

    ``matches`` counts all symbols of the partition that the scanner's ``where`` accepts, shown or not.
    ``received_ns`` is when the newest event behind it was received (in a silent live market, when the host's clock ticked),
    ``evaluated_ns`` the host's clock at evaluation; both are left out (0) of what is compared between runs, and so is
    ``traceparent``, the W3C trace context that the gateway continues where a batch behind the board was traced.
    ``data_label`` tells people what data it is, such as ``15 min delayed``; empty for real time. The board is stale
    ``stale_after_ns`` after its evaluation, and at once where ``silence`` says which feed of the open market had been silent
    for too long.
    """

    market: str
    scanner: str
    partition: str
    columns: tuple[str, ...]
    descending: bool
    limit: int
    tick_ns: int
    matches: int
    rows: tuple[BoardRow, ...]
    received_ns: int = 0
    evaluated_ns: int = 0
    data_label: str = ""
    stale_after_ns: int = 0
    silence: str = ""
    traceparent: str = ""


class Signal(Struct, frozen=True, rename="camel", gc=False):
    """A scanner's condition became true for a symbol at a tick. ``signal_id`` is the same in every run of a recording."""

    signal_id: str
    market: str
    scanner: str
    symbol: str
    tick_ns: int
    price: float | None
    columns: tuple[str, ...]
    values: tuple[Value, ...]
    explanation: str = ""
    received_ns: int = 0
    evaluated_ns: int = 0
    data_label: str = ""


class QuoteRow(Struct, frozen=True, rename="camel", gc=False):
    """The features of one symbol at a tick, by name; only the known ones."""

    market: str
    symbol: str
    tick_ns: int
    values: dict[str, Value]
