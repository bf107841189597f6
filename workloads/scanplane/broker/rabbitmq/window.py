"""The bookkeeping of a publisher: what waits, what is on its way, what must go again. Pure.

A batch is in exactly one place. It *waits* until there is room among the *unconfirmed*, of which there are at most
``window``; from there it is confirmed (gone), refused by the broker (dropped), *returned* because no queue took it, or
taken back because the connection was lost. What was returned or taken back goes *again*, before everything that waits and in its
first order. Only what waits is ever dropped for want of room, the oldest first.
"""

from collections import deque
from typing import NamedTuple

from scanplane.broker.interface import PublisherCounts
from scanplane.marketdata.batches import Batch

__all__ = ["SendWindow", "Sent"]


class Sent(NamedTuple):
    """A batch with its place in the order of first sending."""

    ordinal: int
    batch: Batch


def _ordinal(sent: Sent) -> int:
    return sent.ordinal


class SendWindow:
    """Where each batch of a publisher is."""

    def __init__(self, window: int, max_waiting: int) -> None:
        self._window = window
        self._max_waiting = max_waiting
        self._waiting: deque[Batch] = deque()
        self._again: deque[Sent] = deque()
        self._unconfirmed: dict[int, Sent] = {}
        self._returned: list[Sent] = []
        self._published_events = 0
        self._published = 0
        self._confirmed = 0
        self._dropped = 0
        self._dropped_events = 0
        self._resent = 0
        self.reconnects = 0
        self.connected = False

    @property
    def settled(self) -> bool:
        """Nothing waits and nothing is on its way."""
        return not (self._waiting or self._again or self._unconfirmed or self._returned)

    @property
    def must_declare(self) -> bool:
        """Batches came back because a queue is missing, and nothing else is on its way any more."""
        return bool(self._returned) and not self._unconfirmed

    @property
    def counts(self) -> PublisherCounts:
        """Totals so far; what is on its way or goes again counts as unconfirmed."""
        return PublisherCounts(
            published_batches=self._published,
            published_events=self._published_events,
            confirmed_batches=self._confirmed,
            dropped_batches=self._dropped,
            dropped_events=self._dropped_events,
            reconnects=self.reconnects,
            unconfirmed_batches=len(self._unconfirmed) + len(self._again) + len(self._returned),
            resent_batches=self._resent,
            waiting_batches=len(self._waiting),
            connected=self.connected,
        )

    def put(self, batch: Batch) -> None:
        """Let *batch* wait; drop the oldest that waits if there is no room."""
        if len(self._waiting) >= self._max_waiting:
            self._drop(self._waiting.popleft())
        self._waiting.append(batch)

    def take(self) -> Sent | None:
        """Return what to send next, or None if nothing may be sent now."""
        if self._returned or len(self._unconfirmed) >= self._window:
            return None
        if self._again:
            self._resent += 1
            return self._again.popleft()
        if not self._waiting:
            return None
        batch = self._waiting.popleft()
        self._published += 1
        self._published_events += batch.header.count
        return Sent(self._published, batch)

    def sent(self, tag: int, sent: Sent) -> None:
        """*sent* is on its way under the channel's number *tag*."""
        self._unconfirmed[tag] = sent

    def confirm(self, tag: int) -> None:
        """The broker has it."""
        if self._unconfirmed.pop(tag, None) is not None:
            self._confirmed += 1

    def refuse(self, tag: int) -> None:
        """The broker could not take it; to send it later would break the order."""
        if (sent := self._unconfirmed.pop(tag, None)) is not None:
            self._drop(sent.batch)

    def give_back(self, tag: int) -> None:
        """No queue took it."""
        if (sent := self._unconfirmed.pop(tag, None)) is not None:
            self._returned.append(sent)

    def take_back(self) -> None:
        """Let everything that is not confirmed go again, in its first order."""
        self._again = deque(sorted((*self._again, *self._returned, *self._unconfirmed.values()), key=_ordinal))
        self._returned = []
        self._unconfirmed = {}

    def abandon(self) -> int:
        """Drop and count everything that is left; return how many batches."""
        self.take_back()
        left = [*(sent.batch for sent in self._again), *self._waiting]
        for batch in left:
            self._drop(batch)
        self._again.clear()
        self._waiting.clear()
        return len(left)

    def _drop(self, batch: Batch) -> None:
        self._dropped += 1
        self._dropped_events += batch.header.count
