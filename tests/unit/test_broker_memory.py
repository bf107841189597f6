"""The broker in memory keeps the contract."""

import asyncio
from collections.abc import Callable

import pytest

from scanplane.broker.factory import open_broker
from scanplane.broker.interface import Broker, QueueLimits
from scanplane.broker.memory import MemoryBroker
from support.broker_contract import LIMITS, ONLY, BrokerContract, batch, receive, sequences


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def brokers(self) -> Callable[[], Broker]:
        broker = open_broker(None, "scanplane")
        return lambda: broker


async def test_what_is_dropped_or_expired_is_counted() -> None:
    now = 0
    broker = MemoryBroker(clock=lambda: now)
    limits = QueueLimits(time_to_live_ns=1000, max_bytes=40)
    async with broker.publisher("us-stocks", limits, confirms=True) as publisher:
        for number in range(12):
            publisher.publish(batch(number, body=b"four"))
        queue = broker.queue("us-stocks", ONLY, limits)
        assert (queue.dropped, queue.expired, len(queue)) == (2, 0, 10)
        now = 1000
        publisher.publish(batch(12))
        assert (queue.dropped, queue.expired, len(queue)) == (2, 10, 1)
    async with broker.consumer("us-stocks", ONLY, limits) as consumer:
        assert sequences(await receive(consumer, 1)) == [12]


async def test_a_busy_consumer_lets_others_have_a_turn() -> None:
    broker = MemoryBroker()
    async with broker.publisher("us-stocks", LIMITS, confirms=True) as publisher:
        for number in range(1000):
            publisher.publish(batch(number))
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.ensure_future(count_turns())
    async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer:
        for _ in range(1000):
            await anext(aiter(consumer))
    counter.cancel()
    assert turns >= 10


async def test_what_a_consumer_has_not_taken_yet_counts_as_waiting() -> None:
    broker = MemoryBroker()
    async with (
        broker.publisher("us-stocks", LIMITS, confirms=True) as publisher,
        broker.consumer("us-stocks", ONLY, LIMITS) as consumer,
    ):
        for number in range(5):
            publisher.publish(batch(number))
        assert publisher.counts.waiting_batches == 5
        await receive(consumer, 3)
        assert publisher.counts.waiting_batches == 2


async def test_where_nobody_consumes_nothing_waits_and_what_the_queue_loses_counts_as_dropped() -> None:
    broker = MemoryBroker()
    limits = QueueLimits(time_to_live_ns=60_000_000_000, max_bytes=40)
    async with broker.publisher("us-stocks", limits, confirms=True) as publisher:
        for number in range(12):
            publisher.publish(batch(number, body=b"four"))
        counts = publisher.counts
        assert (counts.waiting_batches, counts.dropped_batches, counts.dropped_events) == (0, 2, 200)
        async with broker.consumer("us-stocks", ONLY, limits) as consumer:
            assert publisher.counts.waiting_batches == 10
            assert sequences(await receive(consumer, 10)) == list(range(2, 12))
        assert publisher.counts.waiting_batches == 0
    async with broker.publisher("us-stocks", limits, confirms=True) as another:
        assert another.counts.dropped_batches == 0
