"""What publishers and consumers do when RabbitMQ is absent, refuses, vanishes or comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiormq
import pytest
from pamqp.commands import Basic

from scanplane.broker.factory import open_broker
from scanplane.broker.interface import BrokerUnavailableError, Consumer, Publisher, QueueLimits
from scanplane.broker.rabbitmq.connection import Connector
from scanplane.broker.rabbitmq.consumer import open_consumer
from scanplane.broker.rabbitmq.topology import partition_queue_name
from support.broker_contract import LIMITS, ONLY, PATIENCE_S, batch, receive, sequences
from support.delay_proxy import DelayProxy
from support.servers import RabbitServer, free_port

pytestmark = pytest.mark.server

OpenProxy = Callable[..., Awaitable[DelayProxy]]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces, or fail."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # the counts of a publisher come without an event
            await asyncio.sleep(0.01)


async def flush(publisher: Publisher) -> None:
    await asyncio.wait_for(publisher.flush(), PATIENCE_S)


async def receive_distinct(consumer: Consumer, last: int) -> list[int]:
    """Take deliveries until sequence *last*; return the sequences without repeats, as an analyzer would."""
    seen: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        async for delivery in consumer:
            sequence = delivery.batch.header.sequence
            if not seen or sequence > seen[-1]:
                seen.append(sequence)
            if sequence == last:
                break
    return seen


@asynccontextmanager
async def raw_channel(url: str) -> AsyncIterator[aiormq.abc.AbstractChannel]:
    connection = await aiormq.connect(url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def test_an_absent_broker_is_named_without_the_password() -> None:
    port = free_port()
    broker = open_broker(f"amqp://trader:sesame@127.0.0.1:{port}/", "test")
    for attempt in (
        broker.prepare_market("us-stocks", 1, LIMITS),
        broker.publisher("us-stocks", LIMITS, confirms=True).__aenter__(),
        broker.consumer("us-stocks", ONLY, LIMITS).__aenter__(),
        broker.baton("one").__aenter__(),
    ):
        with pytest.raises(BrokerUnavailableError) as refused:
            await asyncio.wait_for(attempt, PATIENCE_S)
        assert f"127.0.0.1:{port}" in str(refused.value)
        assert "sesame" not in str(refused.value)
        assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("credentials", "path", "hint"),
    [("guest:sesame", "", "user name or password"), ("guest:guest", "sesame", "virtual host")],
)
async def test_a_refusal_says_what_to_correct(
    rabbit_server: RabbitServer, credentials: str, path: str, hint: str
) -> None:
    broker = open_broker(f"amqp://{credentials}@127.0.0.1:{rabbit_server.port}/{path}", "test")
    with pytest.raises(BrokerUnavailableError, match=hint) as refused:
        await broker.prepare_market("us-stocks", 1, LIMITS)
    assert "sesame" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("url", ["", "http://user:sesame@host", "amqp://", "amqp://user:sesame@host:port/", "sesame"])
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(BrokerUnavailableError, match="amqp://user:password@host") as refused:
        open_broker(url, "test")
    assert "sesame" not in str(refused.value)


async def test_a_broker_that_accepts_and_says_nothing_is_given_up(
    rabbit_server: RabbitServer, open_proxy: OpenProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanplane.broker.rabbitmq.connection._CONNECT_TIMEOUT_S", 0.3)
    proxy = await open_proxy(rabbit_server.port)
    proxy.blackhole()
    broker = open_broker(rabbit_server.url_through(proxy.port), "test")
    with pytest.raises(BrokerUnavailableError, match="does not answer"):
        await broker.prepare_market("us-stocks", 1, LIMITS)


@pytest.mark.parametrize("confirms", [True, False])
async def test_what_is_published_while_the_broker_is_dead_arrives_when_it_is_back(
    start_rabbit: Callable[..., RabbitServer], namespace: str, *, confirms: bool
) -> None:
    server = start_rabbit()
    broker = open_broker(server.url, namespace)
    await broker.prepare_market("us-stocks", 1, LIMITS)
    async with broker.publisher("us-stocks", LIMITS, confirms=confirms) as publisher:
        for number in range(50):
            publisher.publish(batch(number))
        await flush(publisher)
        async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer:
            deliveries = await receive(consumer, 50)
            await consumer.acknowledge(deliveries[-1].tag)
            await asyncio.to_thread(server.kill)
            with pytest.raises(BrokerUnavailableError):
                await asyncio.wait_for(anext(aiter(consumer)), PATIENCE_S)
            with pytest.raises(BrokerUnavailableError):
                await consumer.acknowledge(deliveries[-1].tag + 1)
        await until(lambda: not publisher.counts.connected)
        for number in range(50, 300):
            publisher.publish(batch(number))
        assert publisher.counts.waiting_batches + publisher.counts.unconfirmed_batches == 250
        server.start()
        await flush(publisher)
        assert publisher.counts.reconnects == 1
        assert publisher.counts.connected
        assert publisher.counts.confirmed_batches == 300
        async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer:
            assert await receive_distinct(consumer, 299) == list(range(50, 300))


async def test_a_cut_connection_loses_no_batch_and_breaks_no_order(
    rabbit_server: RabbitServer, open_proxy: OpenProxy, namespace: str
) -> None:
    proxy = await open_proxy(rabbit_server.port, 10)
    here = open_broker(rabbit_server.url_through(proxy.port), namespace)
    there = open_broker(rabbit_server.url, namespace)
    await there.prepare_market("us-stocks", 1, LIMITS)
    async with here.publisher("us-stocks", LIMITS, confirms=True, window=16) as publisher:
        for number in range(600):
            publisher.publish(batch(number, body=b"x" * 1000))
            if number % 200 == 150:
                await until(lambda: publisher.counts.connected and publisher.counts.unconfirmed_batches > 8)
                proxy.cut()
        await flush(publisher)
        assert publisher.counts.reconnects >= 1
        assert publisher.counts.resent_batches >= 1
        assert publisher.counts.dropped_batches == 0
    async with there.consumer("us-stocks", ONLY, LIMITS) as consumer:
        assert await receive_distinct(consumer, 599) == list(range(600))


async def test_a_silent_broker_costs_the_oldest_that_wait_and_they_are_counted(
    start_rabbit: Callable[..., RabbitServer], namespace: str
) -> None:
    server = start_rabbit()
    broker = open_broker(server.url, namespace)
    await broker.prepare_market("us-stocks", 1, LIMITS)
    async with broker.publisher("us-stocks", LIMITS, confirms=True, window=4, max_waiting=20) as publisher:
        publisher.publish(batch(0))
        await flush(publisher)
        server.pause()
        for number in range(1, 5):
            publisher.publish(batch(number))
        await until(lambda: publisher.counts.unconfirmed_batches == 4)
        for number in range(5, 105):
            publisher.publish(batch(number))
        assert publisher.counts.dropped_batches == 80
        assert publisher.counts.dropped_events == 8000
        server.resume()
        await flush(publisher)
        async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer:
            assert await receive_distinct(consumer, 104) == [*range(5), *range(85, 105)]


async def test_a_publisher_closed_without_its_broker_counts_what_is_left(
    start_rabbit: Callable[..., RabbitServer], namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_rabbit()
    broker = open_broker(server.url, namespace)
    async with broker.publisher("us-stocks", LIMITS, confirms=True) as publisher:
        await asyncio.to_thread(server.kill)
        await until(lambda: not publisher.counts.connected)
        for number in range(7):
            publisher.publish(batch(number))
    assert publisher.counts.dropped_batches == 7
    assert "7 batches undelivered" in caplog.text
    assert "guest:guest" not in caplog.text


async def test_a_deleted_queue_ends_the_consumer_and_comes_back_with_the_next_batch(
    rabbitmq_url: str, namespace: str
) -> None:
    broker = open_broker(rabbitmq_url, namespace)
    queue = partition_queue_name(namespace, "us-stocks", ONLY, LIMITS)
    async with broker.publisher("us-stocks", LIMITS, confirms=True) as publisher:
        publisher.publish(batch(0))
        await flush(publisher)
        async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer, raw_channel(rabbitmq_url) as channel:
            await receive(consumer, 1)
            await channel.queue_delete(queue)
            with pytest.raises(BrokerUnavailableError, match="deleted"):
                await asyncio.wait_for(anext(aiter(consumer)), PATIENCE_S)
        for number in range(1, 200):
            publisher.publish(batch(number))
        await flush(publisher)
        assert publisher.counts.dropped_batches == 0
        async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer:
            assert await receive_distinct(consumer, 199) == list(range(1, 200))


async def test_a_consumer_that_is_cut_off_gets_the_unacknowledged_again(
    rabbit_server: RabbitServer, open_proxy: OpenProxy, namespace: str
) -> None:
    proxy = await open_proxy(rabbit_server.port)
    broker = open_broker(rabbit_server.url_through(proxy.port), namespace)
    await broker.prepare_market("us-stocks", 1, LIMITS)
    async with open_broker(rabbit_server.url, namespace).publisher("us-stocks", LIMITS, confirms=True) as publisher:
        for number in range(30):
            publisher.publish(batch(number))
        await flush(publisher)
    async with broker.consumer("us-stocks", ONLY, LIMITS, prefetch=10) as consumer:
        deliveries = await receive(consumer, 10)
        await consumer.acknowledge(deliveries[-1].tag)
        await receive(consumer, 10)  # which the broker sends only once it has seen the acknowledgement
        proxy.cut()
        with pytest.raises(BrokerUnavailableError):
            await receive(consumer, 30)
    async with broker.consumer("us-stocks", ONLY, LIMITS) as consumer:
        again = await receive(consumer, 20)
        assert sequences(again) == list(range(10, 30))
        assert again[0].redelivered


async def test_a_slow_reader_leaves_batches_in_the_queue_and_gets_all_in_order(
    rabbitmq_url: str, namespace: str
) -> None:
    broker = open_broker(rabbitmq_url, namespace)
    connector = Connector(rabbitmq_url)
    limits = QueueLimits(time_to_live_ns=60_000_000_000, max_bytes=100_000_000)
    async with broker.publisher("us-stocks", limits, confirms=True) as publisher:
        for number in range(2000):
            publisher.publish(batch(number, body=b"x" * 10_000))
        await flush(publisher)
    async with open_consumer(
        connector, namespace, "us-stocks", ONLY, limits, prefetch=0, upper_mark=1_000_000, lower_mark=200_000
    ) as consumer:
        await until(lambda: consumer.pauses == 1)
        async with raw_channel(rabbitmq_url) as channel:
            queue = partition_queue_name(namespace, "us-stocks", ONLY, limits)
            held = (await channel.queue_declare(queue, passive=True)).message_count
        assert held
        assert held > 500
        deliveries = await receive(consumer, 2000)
        assert sequences(deliveries) == list(range(2000))
        await consumer.acknowledge(deliveries[-1].tag)


async def test_a_foreign_message_is_left_out_and_counted(
    rabbitmq_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    connector = Connector(rabbitmq_url)
    broker = open_broker(rabbitmq_url, namespace)
    async with open_consumer(connector, namespace, "us-stocks", ONLY, LIMITS, prefetch=0) as consumer:
        async with raw_channel(rabbitmq_url) as channel:
            queue = partition_queue_name(namespace, "us-stocks", ONLY, LIMITS)
            await channel.basic_publish(b"hello", routing_key=queue)
            await channel.basic_publish(
                b"hello", routing_key=queue, properties=Basic.Properties(headers={"batch": "[]"})
            )
        async with broker.publisher("us-stocks", LIMITS, confirms=True) as publisher:
            publisher.publish(batch(1))
            assert sequences(await receive(consumer, 1)) == [1]
        assert consumer.rejected == 2
    assert "is no batch" in caplog.text
