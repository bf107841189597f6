"""What the simulator plays: blocks of provider messages in the order and at the instants of their delivery."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from scanplane.feeds.massive.messages import MarketMessage
from scanplane.marketdata.channels import AssetClass

__all__ = ["Block", "PreparedBlock", "ReferenceTicker", "Session", "SessionFileError"]


class SessionFileError(Exception):
    """A session's file is missing or is not what it should be; the text says which, where, and what to do."""


class ReferenceTicker(Struct, frozen=True):
    """What is known of a symbol before the session: yesterday's close (dollars) and volume (shares), split-adjusted."""

    symbol: str
    previous_close: float
    previous_volume: float


class Block(Struct, frozen=True):
    """Messages with the instant of each one's delivery (nanoseconds UTC, never falling)."""

    times_ns: Sequence[int]
    messages: Sequence[MarketMessage]


class PreparedBlock(Struct, frozen=True):
    """Frames that are already encoded, all delivered at one instant; ``counts`` are the events in each.

    ``event_types`` are those that may be in them, so that a client that takes all of these gets the frames untouched;
    None says that it is not known and has to be looked up.
    """

    time_ns: int
    payloads: Sequence[bytes]
    counts: Sequence[int]
    event_types: frozenset[str] | None


class Session(Protocol):
    """A day of one asset class. Every call of ``blocks`` begins anew and gives the same."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def asset_classes(self) -> frozenset[AssetClass]:
        """The asset classes whose path it is served under."""
        ...

    @property
    def start_ns(self) -> int:
        """The instant at which its clock begins, nanoseconds UTC."""
        ...

    def blocks(self) -> Iterator[Block | PreparedBlock]:
        """Its events. Raises SessionFileError."""
        ...

    def reference(self) -> Sequence[ReferenceTicker]:
        """What is known beforehand; empty where nothing is."""
        ...
