"""RabbitMQ behind the Broker interface: every publisher, consumer and baton has connections of its own.

A connection that publishes can be held back by the broker; what consumes or holds a baton must not wait for it.
"""

from contextlib import AbstractAsyncContextManager

from scanplane.broker.interface import BatonHold, Consumer, Publisher, QueueLimits
from scanplane.broker.rabbitmq.baton import hold_baton
from scanplane.broker.rabbitmq.connection import Connector
from scanplane.broker.rabbitmq.consumer import open_consumer
from scanplane.broker.rabbitmq.publisher import open_publisher
from scanplane.broker.rabbitmq.topology import declare_market
from scanplane.marketdata.partitions import Partition

__all__ = ["RabbitBroker"]


class RabbitBroker:
    """A Broker for one namespace. Raises BrokerUnavailableError for a URL that is none."""

    def __init__(self, url: str, namespace: str) -> None:
        self._connector = Connector(url)
        self._namespace = namespace

    def __repr__(self) -> str:
        return f"RabbitBroker({self._connector.address}, {self._namespace})"

    def publisher(
        self, market: str, limits: QueueLimits, *, confirms: bool, window: int = 64, max_waiting: int = 4096
    ) -> AbstractAsyncContextManager[Publisher]:
        """Open a publisher of *market*."""
        return open_publisher(
            self._connector,
            self._namespace,
            market,
            limits,
            confirms=confirms,
            window=window,
            max_waiting=max_waiting,
        )

    def consumer(
        self, market: str, partition: Partition, limits: QueueLimits, *, prefetch: int = 0
    ) -> AbstractAsyncContextManager[Consumer]:
        """Open the consumer of one partition."""
        return open_consumer(self._connector, self._namespace, market, partition, limits, prefetch=prefetch)

    def baton(self, name: str) -> AbstractAsyncContextManager[BatonHold]:
        """Wait for the baton *name* and hold it."""
        return hold_baton(self._connector, self._namespace, name)

    async def prepare_market(self, market: str, partitions: int, limits: QueueLimits) -> None:
        """Declare the market's exchange and partition queues."""
        async with self._connector.session(f"preparation of {market}") as session:
            await declare_market(session, self._namespace, market, partitions, limits)

    async def close(self) -> None:
        """Do nothing: every connection ends with the context that opened it."""
