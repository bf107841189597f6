"""How far each stream has been applied: what makes delivery at least once into processing exactly once.

The positions are saved with the engine's state, in one step. After a crash the broker delivers again whatever the saved
state does not cover, and the positions tell what of it is a repeat. Pure.
"""

import enum

import msgspec
from msgspec import Struct

from scanplane.marketdata.batches import BatchHeader

__all__ = ["Position", "PositionCounts", "Positions", "Verdict"]


class Position(Struct, frozen=True, array_like=True):
    """The last batch of a feed's stream that was applied; see :mod:`scanplane.marketdata.batches`."""

    epoch: int
    sequence: int
    numbered_since: int = 0


class Verdict(enum.Enum):
    """What to do with a batch."""

    NEXT = "next"
    REPEATED = "repeated"
    OUTDATED = "outdated"


class PositionCounts(Struct, kw_only=True):
    """Totals for status and metrics."""

    repeated_batches: int = 0
    outdated_batches: int = 0
    missing_batches: int = 0
    handovers: int = 0


class Positions:
    """The positions of one partition, by feed."""

    def __init__(self, saved: bytes | None = None) -> None:
        self._by_feed: dict[str, Position] = (
            {} if saved is None else msgspec.msgpack.decode(saved, type=dict[str, Position])
        )
        self.counts = PositionCounts()

    def encode(self) -> bytes:
        """Encode for the saved state."""
        return msgspec.msgpack.encode(self._by_feed)

    def judge(self, header: BatchHeader) -> Verdict:
        """Say whether the batch is the next of its stream, and move on if it is; what lies between is counted missing."""
        known = self._by_feed.get(header.feed)
        expected = header.first_sequence
        if known is not None and header.epoch < known.epoch:
            self.counts.outdated_batches += 1
            return Verdict.OUTDATED
        if known is not None and header.epoch == known.epoch:
            if header.sequence <= known.sequence:
                self.counts.repeated_batches += 1
                return Verdict.REPEATED
            expected = known.sequence + 1
        elif known is not None:
            self.counts.handovers += 1
            if header.numbered_since == known.numbered_since:
                expected = known.sequence + 1
        self.counts.missing_batches += header.sequence - expected
        self._by_feed[header.feed] = Position(header.epoch, header.sequence, header.numbered_since)
        return Verdict.NEXT
