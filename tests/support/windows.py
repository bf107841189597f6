"""A part of a session, so that a journey takes seconds."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from scanplane.marketdata.channels import AssetClass
from scanplane.simulator.sessions.interface import Block, PreparedBlock, ReferenceTicker, Session

__all__ = ["Window"]


class Window:
    """What *session* plays from *first_ns* until before *end_ns*."""

    def __init__(self, session: Session, first_ns: int, end_ns: int) -> None:
        self._session = session
        self._end_ns = end_ns
        self.name = session.name
        self.start_ns = first_ns

    @property
    def asset_classes(self) -> frozenset[AssetClass]:
        return self._session.asset_classes

    def reference(self) -> Sequence[ReferenceTicker]:
        return self._session.reference()

    def blocks(self) -> Iterator[Block]:
        for block in self._session.blocks():
            assert not isinstance(block, PreparedBlock), "a recording is played whole"
            if block.times_ns[0] >= self._end_ns:
                return
            first, end = (bisect_left(block.times_ns, limit_ns) for limit_ns in (self.start_ns, self._end_ns))
            if first < end:
                yield Block(block.times_ns[first:end], block.messages[first:end])
