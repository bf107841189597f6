"""What every home of the broker must do, as tests: ``class TestX(BrokerContract)`` with a fixture ``brokers``.

``brokers`` gives handles on one and the same home, as two processes would have them.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from scanplane.broker.interface import BatonHold, Broker, Consumer, Delivery, QueueLimits
from scanplane.marketdata.batches import Batch, BatchHeader
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.partitions import Partition

LIMITS = QueueLimits(time_to_live_ns=60_000_000_000, max_bytes=8_000_000)
ONLY = Partition(0, 1)
PATIENCE_S = 20.0


def batch(
    sequence: int,
    *,
    body: bytes = b"body",
    partition: Partition = ONLY,
    channel: Channel | None = Channel.TRADES,
    traceparent: str = "",
) -> Batch:
    header = BatchHeader(
        feed="massive",
        market="us-stocks",
        partition=partition,
        channel=channel,
        epoch=1_763_832_013_123,
        sequence=sequence,
        count=100,
        first_received_ns=1_763_832_013_123_456_789,
        last_received_ns=1_763_832_013_123_456_999,
        traceparent=traceparent,
    )
    return Batch(header, body)


async def receive(consumer: Consumer, count: int) -> list[Delivery]:
    """Take *count* deliveries or fail."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(deliveries) < count:
            deliveries.append(await anext(aiter(consumer)))
    return deliveries


def sequences(deliveries: list[Delivery]) -> list[int]:
    return [delivery.batch.header.sequence for delivery in deliveries]


class BrokerContract:
    """The shared cases."""

    @pytest.fixture
    def brokers(self) -> Callable[[], Broker]:
        raise NotImplementedError

    async def test_batches_arrive_whole_and_in_order(self, brokers: Callable[[], Broker]) -> None:
        here, there = brokers(), brokers()
        await here.prepare_market("us-stocks", 1, LIMITS)
        sent = [batch(number, body=bytes([number % 256]) * (number * 37)) for number in range(200)]
        sent.append(batch(200, channel=None, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
        async with here.publisher("us-stocks", LIMITS, confirms=True) as publisher:
            for one in sent:
                publisher.publish(one)
            async with asyncio.timeout(PATIENCE_S):
                await publisher.flush()
            assert publisher.counts.published_batches == publisher.counts.confirmed_batches == 201
            assert publisher.counts.published_events == 20_100
            assert publisher.counts.dropped_batches == publisher.counts.unconfirmed_batches == 0
        async with there.consumer("us-stocks", ONLY, LIMITS) as consumer:
            received = await receive(consumer, 201)
            await consumer.acknowledge(received[-1].tag)
        assert [delivery.batch for delivery in received] == sent
        assert not any(delivery.redelivered for delivery in received)
        tags = [delivery.tag for delivery in received]
        assert tags == sorted(set(tags))

    async def test_a_body_larger_than_a_frame_arrives_whole(self, brokers: Callable[[], Broker]) -> None:
        broker = brokers()
        await broker.prepare_market("us-stocks", 1, LIMITS)
        bodies = [b"", b"x" * 131_064, b"y" * 131_065, bytes(range(256)) * 3000]
        async with broker.publisher("us-stocks", LIMITS, confirms=True) as publisher:
            for number, body in enumerate(bodies):
                publisher.publish(batch(number, body=body))
            async with asyncio.timeout(PATIENCE_S):
                await publisher.flush()
        async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer:
            received = await receive(consumer, len(bodies))
        assert [delivery.batch.body for delivery in received] == bodies

    async def test_partitions_do_not_mix(self, brokers: Callable[[], Broker]) -> None:
        broker = brokers()
        await broker.prepare_market("us-stocks", 2, LIMITS)
        async with broker.publisher("us-stocks", LIMITS, confirms=True) as publisher:
            for number in range(20):
                publisher.publish(batch(number, partition=Partition(number % 2, 2)))
            async with asyncio.timeout(PATIENCE_S):
                await publisher.flush()
        for index in range(2):
            async with broker.consumer("us-stocks", Partition(index, 2), LIMITS) as consumer:
                assert sequences(await receive(consumer, 10)) == list(range(index, 20, 2))

    async def test_what_was_not_acknowledged_comes_again_in_order(self, brokers: Callable[[], Broker]) -> None:
        broker = brokers()
        await broker.prepare_market("us-stocks", 1, LIMITS)
        async with broker.publisher("us-stocks", LIMITS, confirms=True) as publisher:
            for number in range(50):
                publisher.publish(batch(number))
            async with asyncio.timeout(PATIENCE_S):
                await publisher.flush()
            async with broker.consumer("us-stocks", ONLY, LIMITS) as first:
                received = await receive(first, 30)
                await first.acknowledge(received[9].tag)
                await first.acknowledge(received[4].tag)
            async with broker.consumer("us-stocks", ONLY, LIMITS) as second:
                again = await receive(second, 40)
                assert sequences(again) == list(range(10, 50))
                assert all(delivery.redelivered for delivery in again[:20])
                await second.acknowledge(again[-1].tag)
                publisher.publish(batch(50))
                (newest,) = await receive(second, 1)
                assert (newest.batch.header.sequence, newest.redelivered) == (50, False)

    async def test_prefetch_bounds_what_is_unacknowledged(self, brokers: Callable[[], Broker]) -> None:
        broker = brokers()
        await broker.prepare_market("us-stocks", 1, LIMITS)
        async with broker.publisher("us-stocks", LIMITS, confirms=True) as publisher:
            for number in range(10):
                publisher.publish(batch(number))
            async with asyncio.timeout(PATIENCE_S):
                await publisher.flush()
        async with broker.consumer("us-stocks", ONLY, LIMITS, prefetch=4) as consumer:
            received = await receive(consumer, 4)
            more = asyncio.ensure_future(anext(aiter(consumer)))
            done, _ = await asyncio.wait([more], timeout=0.2)
            assert not done
            await consumer.acknowledge(received[0].tag)
            assert (await asyncio.wait_for(more, PATIENCE_S)).batch.header.sequence == 4

    async def test_a_stopped_consumer_ends_and_leaves_the_rest(self, brokers: Callable[[], Broker]) -> None:
        broker = brokers()
        await broker.prepare_market("us-stocks", 1, LIMITS)
        async with broker.publisher("us-stocks", LIMITS, confirms=True) as publisher:
            for number in range(10):
                publisher.publish(batch(number))
            async with asyncio.timeout(PATIENCE_S):
                await publisher.flush()
        async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer:
            seen = sequences(await receive(consumer, 3))
            await consumer.stop()
            last = 0
            async with asyncio.timeout(PATIENCE_S):
                async for delivery in consumer:
                    seen.append(delivery.batch.header.sequence)
                    last = delivery.tag
            if last:
                await consumer.acknowledge(last)
            assert seen == list(range(len(seen)))
        async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer:
            left = 10 - (len(seen) if last else 0)
            rest = await receive(consumer, left) if left else []
            assert sequences(rest) == list(range(10 - left, 10))

    async def test_a_waiting_consumer_ends_when_it_is_stopped(self, brokers: Callable[[], Broker]) -> None:
        broker = brokers()
        async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer:
            waiting = asyncio.ensure_future(anext(aiter(consumer)))
            await asyncio.sleep(0)
            await consumer.stop()
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(waiting, PATIENCE_S)

    async def test_a_queue_is_exhausted_when_everything_was_handed_out(self, brokers: Callable[[], Broker]) -> None:
        broker = brokers()
        await broker.prepare_market("us-stocks", 1, LIMITS)
        async with broker.publisher("us-stocks", LIMITS, confirms=True) as publisher:
            for number in range(10):
                publisher.publish(batch(number))
            async with asyncio.timeout(PATIENCE_S):
                await publisher.flush()
        async with broker.consumer("us-stocks", ONLY, LIMITS, prefetch=8) as consumer:
            await receive(consumer, 5)
            assert not await consumer.is_exhausted()
            received = await receive(consumer, 3)
            assert not await consumer.is_exhausted()
            await consumer.acknowledge(received[-1].tag)
            await receive(consumer, 2)
            assert await consumer.is_exhausted()

    async def test_beyond_the_byte_bound_the_oldest_are_dropped(self, brokers: Callable[[], Broker]) -> None:
        broker = brokers()
        limits = QueueLimits(time_to_live_ns=60_000_000_000, max_bytes=10_000)
        await broker.prepare_market("us-stocks", 1, limits)
        async with broker.publisher("us-stocks", limits, confirms=True) as publisher:
            for number in range(100):
                publisher.publish(batch(number, body=b"x" * 1000))
            async with asyncio.timeout(PATIENCE_S):
                await publisher.flush()
        async with broker.consumer("us-stocks", ONLY, limits) as consumer:
            assert sequences(await receive(consumer, 10)) == list(range(90, 100))

    async def test_expired_batches_are_not_delivered(self, brokers: Callable[[], Broker]) -> None:
        broker = brokers()
        limits = QueueLimits(time_to_live_ns=50_000_000, max_bytes=1_000_000)
        await broker.prepare_market("us-stocks", 1, limits)
        async with broker.publisher("us-stocks", limits, confirms=True) as publisher:
            publisher.publish(batch(0))
            async with asyncio.timeout(PATIENCE_S):
                await publisher.flush()
            await asyncio.sleep(0.3)  # time to live is what is tested
            async with broker.consumer("us-stocks", ONLY, limits) as consumer:
                publisher.publish(batch(1))
                assert sequences(await receive(consumer, 1)) == [1]

    async def test_other_limits_do_not_break_either_end(self, brokers: Callable[[], Broker]) -> None:
        here, there = brokers(), brokers()
        changed = QueueLimits(time_to_live_ns=30_000_000_000, max_bytes=4_000_000)
        await here.prepare_market("us-stocks", 1, LIMITS)
        await there.prepare_market("us-stocks", 1, changed)
        async with here.publisher("us-stocks", LIMITS, confirms=True) as publisher:
            for number in range(5):
                publisher.publish(batch(number))
            async with asyncio.timeout(PATIENCE_S):
                await publisher.flush()
        async with there.consumer("us-stocks", ONLY, changed) as consumer:
            assert sequences(await receive(consumer, 5)) == list(range(5))

    async def test_a_baton_has_one_holder_and_grows(self, brokers: Callable[[], Broker]) -> None:
        holders: list[int] = []
        generations: list[int] = []

        async def work(broker: Broker) -> None:
            async with broker.baton("listener-massive") as hold:
                holders.append(hold.generation)
                generations.append(hold.generation)
                assert len(holders) == 1
                assert not hold.lost.is_set()
                await asyncio.sleep(0.01)  # time for another to come in, were it let
                holders.remove(hold.generation)

        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(work(brokers()))
        assert generations == sorted(set(generations))
        assert len(generations) == 4

    async def test_the_memo_reaches_the_next_holder_and_no_further(self, brokers: Callable[[], Broker]) -> None:
        memos: list[bytes] = []
        async with asyncio.timeout(PATIENCE_S):
            for left in (b"sequence 17", b""):
                async with brokers().baton("one") as hold:
                    memos.append(hold.memo)
                    hold.leave(left)
            async with brokers().baton("one") as hold:
                memos.append(hold.memo)
        assert memos == [b"", b"sequence 17", b""]

    async def test_batons_of_other_names_are_free(self, brokers: Callable[[], Broker]) -> None:
        async with asyncio.timeout(PATIENCE_S), brokers().baton("one"), brokers().baton("two") as second:
            assert not second.lost.is_set()

    async def test_who_stops_waiting_for_a_baton_leaves_it_to_others(self, brokers: Callable[[], Broker]) -> None:
        entered: list[str] = []

        async def wait(broker: Broker, name: str) -> None:
            async with broker.baton("one"):
                entered.append(name)

        async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
            first: BatonHold = await stack.enter_async_context(brokers().baton("one"))
            impatient = asyncio.ensure_future(wait(brokers(), "impatient"))
            patient = asyncio.ensure_future(wait(brokers(), "patient"))
            await asyncio.wait([impatient, patient], timeout=0.2)
            impatient.cancel()
            await asyncio.wait([impatient])
            assert entered == []
            assert first.generation > 0
            await stack.aclose()
            await patient
        assert entered == ["patient"]
