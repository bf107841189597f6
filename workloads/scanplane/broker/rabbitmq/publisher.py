"""Publishing with a bounded window of outstanding confirms, over losses of the connection.

Awaiting each confirm costs a round trip a message; here up to ``window`` messages are on their way at once, so a
distant broker costs latency, not throughput. After a reconnect the unconfirmed go again first, in order: the broker
may have had them, and the receiver recognises a repeat by its sequence number. With confirms off, what was handed to
the connection counts as delivered.

Frames are laid out by ``frames`` and put into aiormq's own write queue, with a future for each confirm where
``basic_publish`` would put it: the same path as the library's, less the marshalling.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiormq.abc import ChannelFrame
from aiormq.channel import Channel as AmqpChannel
from aiormq.exceptions import PublishError

from scanplane.broker.background import background
from scanplane.broker.interface import BrokerUnavailableError, PublisherCounts, QueueLimits
from scanplane.broker.rabbitmq.connection import Connector, Session
from scanplane.broker.rabbitmq.frames import PublicationMarshaller
from scanplane.broker.rabbitmq.topology import declare_market, exchange_name, routing_key
from scanplane.broker.rabbitmq.window import SendWindow, Sent
from scanplane.marketdata.batches import Batch

__all__ = ["RabbitPublisher", "open_publisher"]

_LOG = logging.getLogger(__name__)


class RabbitPublisher:
    """A Publisher of one market; see the interface."""

    def __init__(
        self,
        connector: Connector,
        namespace: str,
        market: str,
        limits: QueueLimits,
        window: SendWindow,
        *,
        confirms: bool,
    ) -> None:
        self._connector = connector
        self._namespace = namespace
        self._market = market
        self._limits = limits
        self._window = window
        self._confirms = confirms
        self._partition_counts: set[int] = set()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def publish(self, batch: Batch) -> None:
        """Queue *batch*; never waits for the broker."""
        self._window.put(batch)
        self._settled.clear()
        self._wake.set()

    async def flush(self) -> None:
        """Wait until all is sent and, with confirms on, confirmed; bound it with ``asyncio.timeout``."""
        await self._settled.wait()

    @property
    def counts(self) -> PublisherCounts:
        """Totals so far."""
        return self._window.counts

    async def opened(self) -> None:
        """Wait for the outcome of the first attempt to connect. Raises BrokerUnavailableError."""
        await self._opened

    async def run(self) -> None:
        """Send for ever, over losses of the connection; returns only if the first attempt to connect failed."""
        while True:
            try:
                async with self._connector.session(f"publisher {self._market}", confirms=self._confirms) as session:
                    await self._work(session)
            except BrokerUnavailableError as error:
                if not self._opened.done():
                    self._opened.set_exception(error)
                    return
                if self._window.connected:
                    _LOG.warning("publishing to market %s is interrupted: %s", self._market, error)
            self._window.connected = False
            self._window.take_back()

    async def _work(self, session: Session) -> None:
        async with session.while_open():
            await self._declare(session, self._partition_counts)
            if self._opened.done():
                self._window.reconnects += 1
                _LOG.info("publishing to market %s goes on", self._market)
            else:
                self._opened.set_result(None)
            self._window.connected = True
            await self._send(session)

    async def _declare(self, session: Session, partition_counts: set[int]) -> None:
        for partitions in sorted(partition_counts):
            await declare_market(session, self._namespace, self._market, partitions, self._limits)

    async def _send(self, session: Session) -> None:
        channel = session.channel
        assert isinstance(channel, AmqpChannel)
        exchange = exchange_name(self._namespace, self._market)
        marshaller = PublicationMarshaller(exchange, channel.number, channel.connection.connection_tune.frame_max)
        tag = 0
        while True:
            while (sent := self._window.take()) is not None:
                # From here until the batch is among the unconfirmed nothing may be awaited, or a loss would lose it.
                tag += 1
                self._window.sent(tag, sent)
                await self._declare_partitions(session, sent)
                await self._write(channel, marshaller, tag, sent)
            if self._window.must_declare:
                _LOG.warning("a partition queue of market %s was missing and is declared again", self._market)
                await self._declare(session, self._partition_counts)
                self._window.take_back()
                continue
            self._wake.clear()
            if self._window.settled:
                self._settled.set()
            await self._wake.wait()

    async def _declare_partitions(self, session: Session, sent: Sent) -> None:
        partitions = sent.batch.header.partition.count
        if partitions not in self._partition_counts:
            await self._declare(session, {partitions})
            self._partition_counts.add(partitions)

    async def _write(self, channel: AmqpChannel, marshaller: PublicationMarshaller, tag: int, sent: Sent) -> None:
        header = sent.batch.header
        message_id = f"{header.epoch:x}-{header.sequence:x}-{tag:x}"
        key = routing_key(header.channel, header.partition, is_seal=header.is_seal)
        payload = marshaller.marshal(sent.batch, key, message_id)
        loop = asyncio.get_running_loop()
        if self._confirms:
            confirmation: asyncio.Future[object] = loop.create_future()
            confirmation.add_done_callback(partial(self._on_confirmation, channel, tag, message_id))
            channel.confirmations[tag] = confirmation
            channel.message_id_delivery_tag[message_id] = tag
            await channel.write_queue.put(ChannelFrame(payload=payload, should_close=False, drain_future=None))
            return
        drained: asyncio.Future[object] = loop.create_future()
        await channel.write_queue.put(ChannelFrame(payload=payload, should_close=False, drain_future=drained))
        await drained
        self._window.confirm(tag)

    def _on_confirmation(
        self, channel: AmqpChannel, tag: int, message_id: str, confirmation: "asyncio.Future[object]"
    ) -> None:
        channel.message_id_delivery_tag.pop(message_id, None)
        if confirmation.cancelled():
            return
        error = confirmation.exception()
        if error is None:
            self._window.confirm(tag)
        elif isinstance(error, PublishError):
            self._window.give_back(tag)
        else:
            self._window.refuse(tag)
        self._wake.set()


@asynccontextmanager
async def open_publisher(
    connector: Connector,
    namespace: str,
    market: str,
    limits: QueueLimits,
    *,
    confirms: bool,
    window: int,
    max_waiting: int,
) -> AsyncIterator[RabbitPublisher]:
    """Open a publisher. Raises BrokerUnavailableError if the broker can't be reached at first; later it is waited for.

    At the end what is still undelivered is dropped, counted and logged: ``flush`` before.
    """
    bookkeeping = SendWindow(window, max_waiting)
    publisher = RabbitPublisher(connector, namespace, market, limits, bookkeeping, confirms=confirms)
    async with background(publisher.run(), f"publisher of market {market}"):
        await publisher.opened()
        try:
            yield publisher
        finally:
            if left := bookkeeping.abandon():
                _LOG.warning("the publisher of market %s was closed with %d batches undelivered", market, left)
