"""Late and corrected second bars, laid over another session.

Of the chosen bars, every other comes late, whole; the rest come in time but without what was reported late (half the
volume, no extremes) and are sent again, complete, up to 15 minutes afterwards. Every bar has arrived by the end, so
whoever replaces bars by (symbol, start) and takes the accumulated volume of the newest bar ends where he would have
ended without corrections; whoever adds volumes up does not.
"""

import heapq
import zlib
from collections.abc import Iterator, Sequence
from itertools import count

from msgspec import structs

from scanplane.feeds.massive.messages import MarketMessage, SecondBarMessage
from scanplane.marketdata.channels import AssetClass
from scanplane.simulator.sessions.interface import Block, PreparedBlock, ReferenceTicker, Session

__all__ = ["CorrectedSession"]

_SHORTEST_DELAY_NS = 1_000_000_000
_DELAYS = 900
_HASHES = 1 << 32

_Pending = tuple[int, int, MarketMessage]


class CorrectedSession:
    """*session* with a *share* of its second bars late or corrected; the same bars with every run of the same seed."""

    def __init__(self, session: Session, share: float, *, seed: int = 0) -> None:
        self._session = session
        self._threshold = int(share * _HASHES)
        self._seed = seed
        self.name = f"{session.name} with corrections"

    @property
    def asset_classes(self) -> frozenset[AssetClass]:
        """Those of the session beneath."""
        return self._session.asset_classes

    @property
    def start_ns(self) -> int:
        """That of the session beneath."""
        return self._session.start_ns

    def reference(self) -> Sequence[ReferenceTicker]:
        """That of the session beneath."""
        return self._session.reference()

    def blocks(self) -> Iterator[Block | PreparedBlock]:
        """The session's blocks; prepared frames pass untouched. What is still pending at the end comes then."""
        pending: list[_Pending] = []
        order = count()
        last_ns = self._session.start_ns
        for block in self._session.blocks():
            if isinstance(block, PreparedBlock):
                yield block
                continue
            timed: list[tuple[int, MarketMessage]] = []
            for time_ns, message in zip(block.times_ns, block.messages, strict=True):
                now, later_ns = self._judge(message)
                if now is not None:
                    timed.append((time_ns, now))
                if later_ns:
                    heapq.heappush(pending, (time_ns + later_ns, next(order), message))
            last_ns = block.times_ns[-1]
            while pending and pending[0][0] <= last_ns:
                due_ns, _, message = heapq.heappop(pending)
                timed.append((due_ns, message))
            timed.sort(key=lambda pair: pair[0])
            if timed:
                yield Block([time_ns for time_ns, _ in timed], [message for _, message in timed])
        if pending:
            rest = [heapq.heappop(pending)[2] for _ in range(len(pending))]
            yield Block([last_ns] * len(rest), rest)

    def _judge(self, message: MarketMessage) -> tuple[MarketMessage | None, int]:
        """Return what is sent of *message* now, and after how many nanoseconds it is sent whole (0: not again)."""
        if not isinstance(message, SecondBarMessage):
            return message, 0
        chance = zlib.crc32(f"{self._seed}:{message.symbol}:{message.start}".encode())
        if chance >= self._threshold:
            return message, 0
        delay_ns = _SHORTEST_DELAY_NS * (1 + chance % _DELAYS)
        if chance & 1:
            return None, delay_ns
        missing = message.volume // 2
        return (
            structs.replace(
                message,
                volume=message.volume - missing,
                high=max(message.open, message.close),
                low=min(message.open, message.close),
                accumulated_volume=message.accumulated_volume - missing,
            ),
            delay_ns,
        )
