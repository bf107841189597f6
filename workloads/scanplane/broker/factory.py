"""Which broker a URL means."""

from scanplane.broker.interface import Broker
from scanplane.broker.memory import MemoryBroker
from scanplane.broker.rabbitmq.broker import RabbitBroker

__all__ = ["open_broker"]


def open_broker(url: str | None, namespace: str) -> Broker:
    """Return the broker at *url* without connecting yet, or a new one in memory for None.

    Roles of one process share a broker in memory by sharing the object.
    Raises BrokerUnavailableError if *url* is not an AMQP URL.
    """
    return MemoryBroker() if url is None else RabbitBroker(url, namespace)
