"""How far each stream has been applied: what makes delivery at least once into processing exactly once.

The positions are saved with the engine's state, in one step. After a crash the broker delivers again whatever the saved
state does not cover, and the positions tell what of it is a repeat. They also tell which of its layouts each feed is in
here, and whether it has left it: see ``docs/design/0007-repartition.md``. Pure.
"""

import enum
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from scanplane.marketdata.batches import BatchHeader
from scanplane.marketdata.layouts import Seal

__all__ = ["Position", "PositionCounts", "Positions", "Relation", "Verdict", "decode_positions"]


class Position(Struct, frozen=True, array_like=True):
    """The last batch of a feed's stream that was applied; see :mod:`scanplane.marketdata.batches`.

    ``layout_since`` names the stay that the stream belongs to, and ``sealed`` says that its seal was the last batch.
    """

    epoch: int
    sequence: int
    numbered_since: int = 0
    layout_since: int = 0
    sealed: bool = False


class Verdict(enum.Enum):
    """What to do with a batch."""

    NEXT = "next"
    REPEATED = "repeated"
    OUTDATED = "outdated"


class Relation(enum.Enum):
    """How a batch's stay relates to the one that its feed is in here."""

    HERE = "here"
    PAST = "past"
    AHEAD = "ahead"
    UNKNOWN = "unknown"


class PositionCounts(Struct, kw_only=True):
    """Totals for status and metrics."""

    repeated_batches: int = 0
    outdated_batches: int = 0
    missing_batches: int = 0
    handovers: int = 0
    lost_seals: int = 0
    unknown_beginnings: int = 0


def decode_positions(saved: bytes) -> dict[str, Position]:
    """Decode what :meth:`Positions.encode` wrote. Raises msgspec.DecodeError."""
    return msgspec.msgpack.decode(saved, type=dict[str, Position])


class Positions:
    """The positions of one partition, by feed."""

    def __init__(self, saved: bytes | Mapping[str, Position] | None = None) -> None:
        self._by_feed = decode_positions(saved) if isinstance(saved, bytes) else dict(saved or {})
        self.counts = PositionCounts()

    @property
    def by_feed(self) -> Mapping[str, Position]:
        """The positions of now."""
        return self._by_feed

    def encode(self) -> bytes:
        """Encode for the saved state."""
        return msgspec.msgpack.encode(self._by_feed)

    def relate(self, header: BatchHeader) -> Relation:
        """Say whether the batch belongs to the stay that its feed is in here; ``judge`` it only then."""
        known = self._by_feed.get(header.feed)
        if known is None:
            return Relation.UNKNOWN
        if header.layout_since == known.layout_since:
            return Relation.PAST if known.sealed else Relation.HERE
        return Relation.AHEAD if header.layout_since > known.layout_since else Relation.PAST

    def meet(self, header: BatchHeader) -> None:
        """Take a feed in that was not heard here before; one that is in the middle of its count was heard by somebody."""
        self.counts.unknown_beginnings += header.first_sequence > 0
        self.join(header.feed, header.layout_since)

    def join(self, feed: str, layout_since: int) -> None:
        """Take *feed* in with the stay that began at *layout_since*; what it is numbered by is known with its first batch."""
        known = self._by_feed.get(feed)
        self._by_feed[feed] = (
            Position(0, -1, 0, layout_since)
            if known is None
            else msgspec.structs.replace(known, layout_since=layout_since, sealed=False)
        )

    def end(self, feed: str) -> None:
        """End the feed's stay here: nothing more is expected of it."""
        self._by_feed[feed] = msgspec.structs.replace(self._by_feed[feed], sealed=True)

    def lose_seal(self, feed: str, seal: Seal | None = None, partition: int = 0) -> None:
        """End the feed's stay though its seal has not come and will not: count what is missing before it, if that is known."""
        known = self._by_feed[feed]
        self.counts.lost_seals += 1
        if seal is not None and seal.numbered_since == known.numbered_since:
            self.counts.missing_batches += max(0, seal.sequences[partition] - known.sequence - 1)
        self.end(feed)

    def pass_over(self, header: BatchHeader) -> None:
        """Count a batch of an earlier stay, which the state knows already."""
        self.counts.outdated_batches += not header.is_seal

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
            self.counts.handovers += known.epoch > 0
            if header.numbered_since == known.numbered_since:
                expected = known.sequence + 1
        missing = header.sequence - expected
        self.counts.missing_batches += missing
        self.counts.unknown_beginnings += missing > 0 and (known is None or known.epoch == 0)
        self._by_feed[header.feed] = Position(
            header.epoch, header.sequence, header.numbered_since, header.layout_since, header.is_seal
        )
        return Verdict.NEXT
