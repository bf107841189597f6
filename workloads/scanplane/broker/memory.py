"""A broker inside one process, with the semantics of the one on RabbitMQ.

Queues are bounded in bytes with the oldest dropped and counted, messages expire, and what a consumer did not
acknowledge goes back to the head of its queue, in order. Roles share the object.
Queue names hold no limits here: all roles of a process have the same configuration, and a change replaces the limits.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from scanplane.broker.interface import (
    DELIVERIES_IN_A_ROW,
    BatonHold,
    Consumer,
    Delivery,
    Publisher,
    PublisherCounts,
    QueueLimits,
)
from scanplane.broker.memory_baton import MemoryBatons
from scanplane.marketdata.batches import Batch
from scanplane.marketdata.partitions import Partition

__all__ = ["MemoryBroker", "MemoryQueue"]

_Clock = Callable[[], int]


class _Message(msgspec.Struct):
    batch: Batch
    expires_ns: int
    redelivered: bool = False


class MemoryQueue:
    """One partition queue. ``dropped`` (for the bound) and ``expired`` count batches that no consumer got, ``lost_events``
    the events in both; ``consumers`` are those that take from it now.
    """

    def __init__(self, limits: QueueLimits, clock: _Clock) -> None:
        self.limits = limits
        self.dropped = 0
        self.expired = 0
        self.lost_events = 0
        self.consumers = 0
        self._clock = clock
        self._ready: deque[_Message] = deque()
        self._ready_bytes = 0
        self.arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def put(self, batch: Batch) -> None:
        """Append a batch; drop from the head what exceeds the bound."""
        self._expire()
        self._ready.append(_Message(batch, self._clock() + self.limits.time_to_live_ns))
        self._ready_bytes += len(batch.body)
        self._trim()
        self.arrived.set()

    def take(self) -> _Message | None:
        """Remove and return the head, or None if the queue is empty."""
        self._expire()
        if not self._ready:
            return None
        message = self._ready.popleft()
        self._ready_bytes -= len(message.batch.body)
        return message

    def give_back(self, messages: list[_Message]) -> None:
        """Put unacknowledged messages back to the head, in order."""
        for message in reversed(messages):
            message.redelivered = True
            self._ready.appendleft(message)
            self._ready_bytes += len(message.batch.body)
        self._trim()
        self.arrived.set()

    def _expire(self) -> None:
        now = self._clock()
        while self._ready and self._ready[0].expires_ns <= now:
            self._lose_head()
            self.expired += 1

    def _trim(self) -> None:
        while self._ready_bytes > self.limits.max_bytes and self._ready:
            self._lose_head()
            self.dropped += 1

    def _lose_head(self) -> None:
        batch = self._ready.popleft().batch
        self._ready_bytes -= len(batch.body)
        self.lost_events += batch.header.count


class _MemoryPublisher:
    """Puts batches straight into the queues, so nothing is unconfirmed.

    What waits are the batches that a consumer is there for and has not taken yet: a source that can wait, such as a
    recording played as fast as it goes, then keeps to the speed of the slowest consumer instead of overrunning its queue.
    Where nobody consumes nothing waits either: the queue fills to its bound, and what it loses is counted as dropped.
    """

    def __init__(self, broker: "MemoryBroker", market: str, limits: QueueLimits) -> None:
        self._broker = broker
        self._market = market
        self._limits = limits
        self._batches = 0
        self._events = 0
        self._lost_before = broker.lost(market)

    def publish(self, batch: Batch) -> None:
        """Put *batch* into its queue."""
        self._broker.queue(self._market, batch.header.partition, self._limits).put(batch)
        self._batches += 1
        self._events += batch.header.count

    async def flush(self) -> None:
        """Give others a turn; there is nothing to wait for."""
        await asyncio.sleep(0)

    @property
    def counts(self) -> PublisherCounts:
        """Totals so far."""
        (batches, events), (batches_before, events_before) = self._broker.lost(self._market), self._lost_before
        return PublisherCounts(
            published_batches=self._batches,
            published_events=self._events,
            confirmed_batches=self._batches,
            dropped_batches=batches - batches_before,
            dropped_events=events - events_before,
            waiting_batches=self._broker.waiting_batches(self._market),
        )


class _MemoryConsumer:
    """Takes from a queue when asked; ``prefetch`` bounds what is unacknowledged."""

    def __init__(self, queue: MemoryQueue, prefetch: int) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._unacknowledged: dict[int, _Message] = {}
        self._tag = 0
        self._stopped = False
        self._wake = queue.arrived
        queue.consumers += 1

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            if self._stopped:
                raise StopAsyncIteration
            message = None
            if not self._prefetch or len(self._unacknowledged) < self._prefetch:
                message = self._queue.take()
            if message is not None:
                break
            self._wake.clear()
            await self._wake.wait()
        self._tag += 1
        if self._tag % DELIVERIES_IN_A_ROW == 0:
            await asyncio.sleep(0)
        self._unacknowledged[self._tag] = message
        return Delivery(message.batch, self._tag, message.redelivered)

    async def acknowledge(self, tag: int) -> None:
        """Forget every delivery up to and including *tag*."""
        for acknowledged in [number for number in self._unacknowledged if number <= tag]:
            del self._unacknowledged[acknowledged]
        self._wake.set()

    async def stop(self) -> None:
        """Take no further deliveries."""
        self._stopped = True
        self._wake.set()

    @property
    def backlog(self) -> int:
        """Batches that wait in the queue: here nothing is received before it is asked for."""
        return len(self._queue)

    async def is_exhausted(self) -> bool:
        """Whether nothing waits."""
        return not len(self._queue)

    def close(self) -> None:
        """Give back what was not acknowledged."""
        self._queue.consumers -= 1
        self._queue.give_back(list(self._unacknowledged.values()))
        self._unacknowledged = {}


class MemoryBroker:
    """A Broker whose queues and batons live in this process."""

    def __init__(self, clock: _Clock = time.monotonic_ns) -> None:
        self._clock = clock
        self._queues: dict[tuple[str, Partition], MemoryQueue] = {}
        self._batons = MemoryBatons()

    def queue(self, market: str, partition: Partition, limits: QueueLimits) -> MemoryQueue:
        """The queue of one partition, made if it is not there."""
        queue = self._queues.get((market, partition))
        if queue is None:
            queue = self._queues[market, partition] = MemoryQueue(limits, self._clock)
        queue.limits = limits
        return queue

    def waiting_batches(self, market: str) -> int:
        """How many batches of *market* its slowest consumer has not taken yet."""
        return max((len(queue) for queue in self._queues_of(market) if queue.consumers), default=0)

    def lost(self, market: str) -> tuple[int, int]:
        """How many batches of *market*, and events in them, were dropped or expired."""
        queues = self._queues_of(market)
        return sum(queue.dropped + queue.expired for queue in queues), sum(queue.lost_events for queue in queues)

    def _queues_of(self, market: str) -> list[MemoryQueue]:
        return [queue for (name, _), queue in self._queues.items() if name == market]

    @asynccontextmanager
    async def publisher(
        self, market: str, limits: QueueLimits, *, confirms: bool, window: int = 64, max_waiting: int = 4096
    ) -> AsyncIterator[Publisher]:
        """Open a publisher of *market*; confirms and windows have no meaning here."""
        del confirms, window, max_waiting
        yield _MemoryPublisher(self, market, limits)

    @asynccontextmanager
    async def consumer(
        self, market: str, partition: Partition, limits: QueueLimits, *, prefetch: int = 0
    ) -> AsyncIterator[Consumer]:
        """Open the consumer of one partition."""
        consumer = _MemoryConsumer(self.queue(market, partition, limits), prefetch)
        try:
            yield consumer
        finally:
            consumer.close()

    def baton(self, name: str) -> AbstractAsyncContextManager[BatonHold]:
        """Wait for the baton *name* and hold it."""
        return self._batons.hold(name)

    async def prepare_market(self, market: str, partitions: int, limits: QueueLimits) -> None:
        """Make the partition queues."""
        for index in range(partitions):
            self.queue(market, Partition(index, partitions), limits)

    async def close(self) -> None:
        """Nothing to close."""
