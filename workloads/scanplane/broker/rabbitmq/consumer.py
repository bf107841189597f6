"""Consuming one partition queue, in order, with acknowledgements that cover everything up to a tag.

The broker pushes. What is received and not yet handed out is bounded by bytes: above the upper mark the consumer is
cancelled, below the lower mark it consumes again, on the same channel, so that order and unacknowledged deliveries
stay as they are. Meanwhile batches wait in the queue, where its limits hold, instead of in this process, where none would.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from scanplane.broker.background import background
from scanplane.broker.interface import DELIVERIES_IN_A_ROW, BrokerUnavailableError, Delivery, QueueLimits
from scanplane.broker.rabbitmq.connection import Connector, Session
from scanplane.broker.rabbitmq.frames import decode_header
from scanplane.broker.rabbitmq.topology import declare_market, partition_queue_name
from scanplane.marketdata.batches import Batch
from scanplane.marketdata.partitions import Partition

__all__ = ["RabbitConsumer", "open_consumer"]

_LOG = logging.getLogger(__name__)
_UPPER_MARK_BYTES = 64 * 1024 * 1024
_LOWER_MARK_BYTES = 16 * 1024 * 1024


class RabbitConsumer:
    """A Consumer of one queue; see the interface. ``rejected`` counts messages that are no batches."""

    def __init__(self, session: Session, queue: str, *, upper_mark: int, lower_mark: int) -> None:
        self._session = session
        self._queue = queue
        self._upper_mark = upper_mark
        self._lower_mark = lower_mark
        self._received: deque[Delivery] = deque()
        self._received_bytes = 0
        self._arrived = asyncio.Event()
        self._level_changed = asyncio.Event()
        self._consumer_tag: str | None = None
        self._subscribing = asyncio.Lock()
        self._stopped = False
        self._acknowledged = 0
        self._handed_out = 0
        self.rejected = 0
        self.pauses = 0

    async def start(self, prefetch: int) -> None:
        """Begin to receive."""
        self._session.watch(self._arrived.set)
        # aiormq keeps the set itself for this: called when the broker cancels, for instance because the queue was deleted.
        self._session.channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
        if prefetch:
            async with self._session.request() as channel:
                await channel.basic_qos(prefetch_count=prefetch)
        await self._subscribe()

    async def _subscribe(self) -> None:
        async with self._subscribing:
            if self._stopped or self._consumer_tag is not None:
                return
            async with self._session.request() as channel:
                self._consumer_tag = (await channel.basic_consume(self._queue, self._on_message)).consumer_tag

    async def _unsubscribe(self) -> None:
        async with self._subscribing:
            if (tag := self._consumer_tag) is None:
                return
            async with self._session.request() as channel:
                await channel.basic_cancel(tag)
            self._consumer_tag = None

    def _on_cancelled(self, _frame: object) -> None:
        self._session.lose(f"RabbitMQ ended the consumption of queue {self._queue}: was it deleted?")

    async def _on_message(self, message: DeliveredMessage) -> None:
        # No await in here: aiormq runs this as a task for each message, started in their order.
        delivery = message.delivery
        assert isinstance(delivery, Basic.Deliver)
        assert delivery.delivery_tag is not None
        headers = message.header.properties.headers or {}
        try:
            batch = Batch(decode_header(headers), message.body)
        except msgspec.DecodeError as error:
            self.rejected += 1
            _LOG.warning("a message in queue %s is no batch and is left out: %s", self._queue, error)
            return
        self._received.append(Delivery(batch, delivery.delivery_tag, bool(delivery.redelivered)))
        self._received_bytes += len(message.body)
        self._arrived.set()
        if self._received_bytes > self._upper_mark:
            self._level_changed.set()

    async def regulate(self) -> None:
        """Stop and start the flow by the marks, until cancelled or the session is lost."""
        try:
            async with self._session.while_open():
                while True:
                    await self._level_changed.wait()
                    self._level_changed.clear()
                    if self._received_bytes > self._upper_mark and self._consumer_tag is not None:
                        self.pauses += 1
                        await self._unsubscribe()
                    if self._received_bytes < self._lower_mark:
                        await self._subscribe()
        except BrokerUnavailableError as error:
            _LOG.debug("consuming %s ended: %s", self._queue, error)

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        """Return the next delivery. Raises BrokerUnavailableError when the connection is lost."""
        while True:
            self._session.check()
            if self._received:
                break
            if self._stopped:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        self._handed_out += 1
        if self._handed_out % DELIVERIES_IN_A_ROW == 0:
            await asyncio.sleep(0)
        delivery = self._received.popleft()
        self._received_bytes -= len(delivery.batch.body)
        if self._consumer_tag is None and self._received_bytes < self._lower_mark:
            self._level_changed.set()
        return delivery

    async def acknowledge(self, tag: int) -> None:
        """Acknowledge up to and including *tag*. Raises BrokerUnavailableError."""
        if tag <= self._acknowledged:
            return
        async with self._session.request() as channel:
            await channel.basic_ack(tag, multiple=True)
        self._acknowledged = tag

    async def stop(self) -> None:
        """Take no further deliveries. Raises BrokerUnavailableError."""
        self._stopped = True
        try:
            await self._unsubscribe()
        finally:
            self._arrived.set()

    @property
    def backlog(self) -> int:
        """Batches received and not yet handed out."""
        return len(self._received)

    async def is_exhausted(self) -> bool:
        """Whether nothing waits, here or at the broker. Raises BrokerUnavailableError."""
        async with self._session.request() as channel:
            declared = await channel.queue_declare(self._queue, passive=True)
        return not declared.message_count and not self._received


@asynccontextmanager
async def open_consumer(
    connector: Connector,
    namespace: str,
    market: str,
    partition: Partition,
    limits: QueueLimits,
    *,
    prefetch: int,
    upper_mark: int = _UPPER_MARK_BYTES,
    lower_mark: int = _LOWER_MARK_BYTES,
) -> AsyncIterator[RabbitConsumer]:
    """Open the consumer of one partition; marks in bytes of bodies. Raises BrokerUnavailableError."""
    async with connector.session(f"consumer {market} {partition}") as session:
        await declare_market(session, namespace, market, partition.count, limits)
        queue = partition_queue_name(namespace, market, partition, limits)
        consumer = RabbitConsumer(session, queue, upper_mark=upper_mark, lower_mark=lower_mark)
        async with background(consumer.regulate(), f"flow of queue {queue}"):
            await consumer.start(prefetch)
            yield consumer
