"""Names and declarations on RabbitMQ.

    exchange  <namespace>.<market>                               topic
    queue     <namespace>.<market>.<i-of-n>.<ttl>ms.<bytes>B     one for each partition, bound with ``*.<i-of-n>``
    queue     <namespace>.batons.<name>                          one for each baton

The routing key is ``<channel>.<i-of-n>``, with ``Tick`` and ``Seal`` for what has no channel, so that other programs can
bind what they like.

Queues are durable classic queues: they work alike on RabbitMQ 3.10 and 4, and perishable ticks need no replication.
Messages in them are transient. RabbitMQ refuses to declare a queue again with other limits, so the limits are part of
its name: a change makes a new queue beside the old one. Both are bound and get every batch, which is what a rolling
restart needs: the next analyzer's queue fills while the last one still works, and repeats are recognised by their
sequence numbers. A queue that nobody uses removes itself; a publisher whose batch finds no queue declares it again.

The time to live runs on while a batch is with a consumer: one that is older when its consumer goes away does not come
again. So it must cover what an analyzer leaves unacknowledged between two saves and the time until the next one is there.

What expires or is dropped at the head of a queue is not reported by the broker; the analyzer sees it as a gap in the
sequence numbers and counts it there.
"""

from pamqp.common import FieldTable

from scanplane.broker.interface import QueueLimits
from scanplane.broker.rabbitmq.connection import Session
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.partitions import Partition

__all__ = [
    "baton_queue_name",
    "declare_baton",
    "declare_market",
    "exchange_name",
    "partition_queue_name",
    "routing_key",
]

_TICK, _SEAL = "Tick", "Seal"
_UNUSED_PARTITION_QUEUE_MS = 3_600_000
_UNUSED_BATON_QUEUE_MS = 7 * 24 * 3_600_000


def exchange_name(namespace: str, market: str) -> str:
    """The exchange that a market's batches go through."""
    return f"{namespace}.{market}"


def partition_queue_name(namespace: str, market: str, partition: Partition, limits: QueueLimits) -> str:
    """The queue of one partition with these limits."""
    return f"{namespace}.{market}.{partition}.{_milliseconds(limits)}ms.{limits.max_bytes}B"


def baton_queue_name(namespace: str, name: str) -> str:
    """The queue that holds a baton's token."""
    return f"{namespace}.batons.{name}"


def routing_key(channel: Channel | None, partition: Partition, *, is_seal: bool = False) -> str:
    """Where a batch goes; a tick goes with the key ``Tick``, a seal with ``Seal``."""
    control = _SEAL if is_seal else _TICK
    return f"{control if channel is None else channel.value}.{partition}"


def _milliseconds(limits: QueueLimits) -> int:
    return max(1, limits.time_to_live_ns // 1_000_000)


async def declare_market(session: Session, namespace: str, market: str, partitions: int, limits: QueueLimits) -> None:
    """Declare a market's exchange and all its partition queues. Raises BrokerUnavailableError."""
    exchange = exchange_name(namespace, market)
    arguments: FieldTable = {
        "x-message-ttl": _milliseconds(limits),
        "x-max-length-bytes": limits.max_bytes,
        "x-overflow": "drop-head",
        "x-expires": _UNUSED_PARTITION_QUEUE_MS,
    }
    async with session.request() as channel:
        await channel.exchange_declare(exchange, exchange_type="topic", durable=True)
        for index in range(partitions):
            partition = Partition(index, partitions)
            queue = partition_queue_name(namespace, market, partition, limits)
            await channel.queue_declare(queue, durable=True, arguments=arguments)
            await channel.queue_bind(queue, exchange, f"*.{partition}")


async def declare_baton(session: Session, namespace: str, name: str) -> None:
    """Declare a baton's queue. Raises BrokerUnavailableError."""
    arguments: FieldTable = {"x-single-active-consumer": True, "x-expires": _UNUSED_BATON_QUEUE_MS}
    async with session.request() as channel:
        await channel.queue_declare(baton_queue_name(namespace, name), durable=True, arguments=arguments)
