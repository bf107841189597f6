"""What a listener knows of a provider, whichever it is.

A feed is split in two so that the socket task only reads: the *connection* hands over raw frames with the time of
their receipt, the *decoder* (pure, no I/O) turns a frame into events and says what it refused.
"""

import enum
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Event

__all__ = [
    "ConnectionCounts",
    "ConnectionPhase",
    "Decoded",
    "FeedConnection",
    "FrameDecoder",
    "FrameSink",
    "RejectionReason",
]

FrameSink = Callable[[bytes, int], None]
"""Takes a raw frame and the host's clock at its receipt (nanoseconds UTC); never blocks, never raises."""


class RejectionReason(enum.StrEnum):
    """Why an event or a frame was refused. Each is a metric label."""

    MALFORMED_FRAME = "MalformedFrame"
    UNKNOWN_EVENT = "UnknownEvent"
    MISSING_FIELD = "MissingField"
    WRONG_TYPE = "WrongType"
    NOT_FINITE = "NotFinite"
    NEGATIVE = "Negative"
    ZERO_PRICE = "ZeroPrice"
    BAD_TIMESTAMP = "BadTimestamp"
    BAD_SYMBOL = "BadSymbol"
    TOO_LARGE = "TooLarge"


class Decoded(Struct, frozen=True):
    """What one frame held: runs of events of one channel in the order of the frame, and counts of what was refused."""

    runs: tuple[tuple[Channel, list[Event]], ...] = ()
    rejected: dict[RejectionReason, int] = {}


class FrameDecoder(Protocol):
    """Turns frames into events. Pure: the same frame gives the same events."""

    def decode(self, frame: bytes) -> Decoded:
        """Decode one frame; never raises: what can't be used is counted in ``rejected`` and the rest is kept."""
        ...


class ConnectionPhase(enum.StrEnum):
    """How far a connection is."""

    DISCONNECTED = "Disconnected"
    CONNECTING = "Connecting"
    AUTHENTICATING = "Authenticating"
    SUBSCRIBING = "Subscribing"
    STREAMING = "Streaming"
    BACKING_OFF = "BackingOff"
    FINISHED = "Finished"


class ConnectionCounts(Struct, frozen=True, kw_only=True):
    """Totals and the present state of a connection, for status, metrics and conditions.

    ``unacknowledged`` are asked topics that the provider did not confirm within its time; ``last_error`` is one line
    for people, without secrets; ``retry_in_s`` is set while backing off.
    """

    phase: ConnectionPhase = ConnectionPhase.DISCONNECTED
    connects: int = 0
    disconnects: int = 0
    frames: int = 0
    bytes: int = 0
    authentication_failures: int = 0
    connection_limit_refusals: int = 0
    unacknowledged: tuple[str, ...] = ()
    last_error: str = ""
    retry_in_s: float | None = None


class FeedConnection(Protocol):
    """The one connection of a feed."""

    @property
    def decoder(self) -> FrameDecoder:
        """What understands this connection's frames."""
        ...

    @property
    def counts(self) -> ConnectionCounts:
        """Totals and the present state."""
        ...

    async def run(self, sink: FrameSink) -> None:
        """Connect, subscribe and hand every data frame to *sink*; reconnect for ever. Returns only when a recording is
        played to its end (phase ``Finished``); cancelling it closes the connection properly before it returns.
        """
        ...
