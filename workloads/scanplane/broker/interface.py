"""The narrow interface between the roles and a message broker.

Delivery is at least once and in order within a queue; a batch that was consumed but not acknowledged when its consumer
went away is delivered again, in order, to the next. Nothing is dropped without being counted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from scanplane.marketdata.batches import Batch
from scanplane.marketdata.partitions import Partition

__all__ = [
    "DELIVERIES_IN_A_ROW",
    "BatonHold",
    "Broker",
    "BrokerUnavailableError",
    "Consumer",
    "Delivery",
    "Publisher",
    "PublisherCounts",
    "QueueLimits",
]


DELIVERIES_IN_A_ROW = 64
"""After so many deliveries without a wait a consumer lets the rest of the process have a turn."""


class BrokerUnavailableError(Exception):
    """The broker can't be reached, refused the credentials, or went away; the text says which, without secrets."""


class QueueLimits(Struct, frozen=True, kw_only=True):
    """Bounds of every partition queue of a market; both ends declare the same."""

    time_to_live_ns: int
    max_bytes: int


class PublisherCounts(Struct, frozen=True, kw_only=True):
    """Totals since the publisher was opened, in batches and in events.

    ``unconfirmed_batches``, ``waiting_batches`` and ``connected`` are of this moment: what is on its way, what is not
    yet sent, and whether the broker is there. ``resent_batches`` went again after a loss of the connection.
    """

    published_batches: int = 0
    published_events: int = 0
    confirmed_batches: int = 0
    dropped_batches: int = 0
    dropped_events: int = 0
    reconnects: int = 0
    unconfirmed_batches: int = 0
    resent_batches: int = 0
    waiting_batches: int = 0
    connected: bool = True


class Publisher(Protocol):
    """Sends batches of one market.

    ``publish`` never blocks on the broker: it puts the batch into a bounded window. When the window is full, the
    oldest batch that was not yet sent is dropped and counted. While the broker is away the window fills; when it is
    back, what waits is sent in order, a batch whose confirm is outstanding first.
    """

    def publish(self, batch: Batch) -> None:
        """Queue *batch* for its partition."""
        ...

    async def flush(self) -> None:
        """Wait until everything queued is sent and, with confirms on, confirmed."""
        ...

    @property
    def counts(self) -> PublisherCounts:
        """Totals so far."""
        ...


class Delivery(Struct, frozen=True):
    """A batch and the broker's number for it, which only grows while the consumer lives."""

    batch: Batch
    tag: int
    redelivered: bool


class Consumer(Protocol):
    """Receives the batches of one partition queue, in order.

    Iteration ends when ``stop`` is called and what was already received is handed out, and raises
    BrokerUnavailableError when the connection is lost; whoever iterates then opens a new consumer.
    """

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def acknowledge(self, tag: int) -> None:
        """Acknowledge every delivery up to and including *tag*."""
        ...

    async def stop(self) -> None:
        """Take no further deliveries; unacknowledged ones go back to the queue when the consumer is closed."""
        ...

    @property
    def backlog(self) -> int:
        """Batches received and not yet handed out."""
        ...

    async def is_exhausted(self) -> bool:
        """Whether nothing waits, here or at the broker. What is just on its way may be missed: ask twice.

        Raises BrokerUnavailableError.
        """
        ...


class BatonHold(Protocol):
    """The right to work, while it is held.

    ``generation`` grows with every holder: what an older generation writes is refused. ``memo`` is what the last
    holder left on release (empty at first or after a kill). ``abandoned`` says that the last holder released nothing: it
    was killed, or lost the baton and is perhaps only just noticing.
    """

    @property
    def generation(self) -> int:
        """Number of this holder, greater than that of every earlier one."""
        ...

    @property
    def memo(self) -> bytes:
        """What the last holder left."""
        ...

    @property
    def abandoned(self) -> bool:
        """Whether the last holder vanished without a release."""
        ...

    @property
    def lost(self) -> asyncio.Event:
        """Set when the baton was lost (broker gone, connection cut): stop working at once."""
        ...

    def leave(self, memo: bytes) -> None:
        """Say what the next holder finds as ``memo``; sent with the release at the end of ``hold``."""
        ...


class Broker(Protocol):
    """A connection to a broker, for one namespace."""

    def publisher(
        self, market: str, limits: QueueLimits, *, confirms: bool, window: int = 64, max_waiting: int = 4096
    ) -> AbstractAsyncContextManager[Publisher]:
        """Open a publisher of *market*; *window* bounds unconfirmed batches, *max_waiting* those not yet sent."""
        ...

    def consumer(
        self, market: str, partition: Partition, limits: QueueLimits, *, prefetch: int = 0
    ) -> AbstractAsyncContextManager[Consumer]:
        """Open the consumer of one partition; *prefetch* bounds unacknowledged batches (0: no bound by the broker)."""
        ...

    def baton(self, name: str) -> AbstractAsyncContextManager[BatonHold]:
        """Wait for the baton *name*, hold it within the context, release it at its end.

        Raises BrokerUnavailableError while entering if the broker can't be reached.
        """
        ...

    async def prepare_market(self, market: str, partitions: int, limits: QueueLimits) -> None:
        """Make sure that the market's exchange and partition queues are there, so that nothing published is lost."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
