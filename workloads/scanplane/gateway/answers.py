"""What the HTTP endpoints answer, as typed structs: the JSON and the OpenAPI document are made from them."""

from msgspec import Struct

from scanplane.gateway.freshness import Freshness
from scanplane.gateway.merge import Board
from scanplane.marketdata.results import QuoteRow, Signal
from scanplane.telemetry.status import RoleStatus

__all__ = [
    "BoardAnswer",
    "BoardListAnswer",
    "BoardSummary",
    "ErrorAnswer",
    "FeatureAnswer",
    "FeatureListAnswer",
    "HealthAnswer",
    "MarketSummary",
    "QuoteAnswer",
    "QuoteListAnswer",
    "SignalListAnswer",
    "StatusAnswer",
]


class ErrorAnswer(Struct, frozen=True):
    """What went wrong, in one line that says what to write instead."""

    error: str


class BoardAnswer(Struct, frozen=True, rename="camel"):
    """One board; ``sequence`` is that of its topic in the stream."""

    topic: str
    sequence: int
    freshness: Freshness
    data: Board


class BoardSummary(Struct, frozen=True, kw_only=True, rename="camel"):
    """A board without its rows; ``rows`` is how many it has."""

    topic: str
    market: str
    scanner: str
    columns: tuple[str, ...]
    rows: int
    matches: int
    complete: bool
    freshness: Freshness


class BoardListAnswer(Struct, frozen=True, rename="camel"):
    """Every board that exists."""

    boards: tuple[BoardSummary, ...]
    stale: bool
    stale_reason: str


class QuoteAnswer(Struct, frozen=True, rename="camel"):
    """The known features of one symbol."""

    freshness: Freshness
    data: QuoteRow


class QuoteListAnswer(Struct, frozen=True, rename="camel"):
    """Several symbols, in the asked order; ``unknown`` are those that the market does not know (yet)."""

    quotes: tuple[QuoteAnswer, ...]
    unknown: tuple[str, ...]


class SignalListAnswer(Struct, frozen=True, rename="camel"):
    """Signals, oldest first.

    Ask again with ``since`` = ``next`` for what comes after them; ``more`` says that there is more already. ``markets``
    tells how fresh each market is.
    """

    signals: tuple[Signal, ...]
    next: str
    more: bool
    markets: dict[str, Freshness]
    stale: bool
    stale_reason: str


class MarketSummary(Struct, frozen=True, rename="camel"):
    """One market as a whole: its boards, and how fresh the newest evaluation is."""

    market: str
    boards: int
    freshness: Freshness


class StatusAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """The live figures of every role, of this gateway, and of every market. ``clients`` counts streams by the client's name."""

    gateway: RoleStatus
    roles: dict[str, RoleStatus]
    markets: tuple[MarketSummary, ...]
    clients: dict[str, int]
    stale: bool
    stale_reason: str


class FeatureAnswer(Struct, frozen=True):
    """One feature of the catalogue."""

    name: str
    type: str
    unit: str
    definition: str
    source: str


class FeatureListAnswer(Struct, frozen=True):
    """The whole catalogue."""

    features: tuple[FeatureAnswer, ...]


class HealthAnswer(Struct, frozen=True):
    """Whether it is, and why (not)."""

    ok: bool
    why: str
