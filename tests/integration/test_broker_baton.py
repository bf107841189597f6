"""One holder at a time, whatever happens to holders, tokens, connections and the broker."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiormq
import pytest
from pamqp.commands import Basic

from scanplane.broker.factory import open_broker
from scanplane.broker.interface import BatonHold, Broker, BrokerUnavailableError
from scanplane.broker.rabbitmq.baton import hold_baton
from scanplane.broker.rabbitmq.connection import Connector
from scanplane.broker.rabbitmq.tokens import Token, encode_token
from scanplane.broker.rabbitmq.topology import baton_queue_name
from support.broker_contract import LIMITS, ONLY, PATIENCE_S, batch, receive
from support.delay_proxy import DelayProxy
from support.servers import RabbitServer

pytestmark = pytest.mark.server

OpenProxy = Callable[..., Awaitable[DelayProxy]]
FAR_FUTURE = 9_000_000_000_000

HOLDER = """
import asyncio, signal, sys
from scanplane.broker.factory import open_broker

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_broker(sys.argv[1], sys.argv[2]).baton("one") as hold:
        print(hold.generation, hold.memo.decode(), flush=True)
        await stop.wait()
        hold.leave(b"left-in-order")

asyncio.run(main())
"""


@asynccontextmanager
async def holder_process(url: str, namespace: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, url, namespace, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def generation_of(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
    return int(line.split()[0])


async def take(stack: AsyncExitStack, broker: Broker) -> BatonHold:
    return await asyncio.wait_for(stack.enter_async_context(broker.baton("one")), PATIENCE_S)


@asynccontextmanager
async def token_queue(url: str, namespace: str) -> AsyncIterator[tuple[aiormq.abc.AbstractChannel, str]]:
    connection = await aiormq.connect(url)
    try:
        yield await connection.channel(), baton_queue_name(namespace, "one")
    finally:
        await connection.close()


@pytest.mark.parametrize(("end", "memo"), [(signal.SIGTERM, b"left-in-order"), (signal.SIGKILL, b"")])
async def test_an_ended_holder_is_followed_by_the_one_that_stands_by(
    rabbitmq_url: str, namespace: str, end: signal.Signals, memo: bytes
) -> None:
    async with holder_process(rabbitmq_url, namespace) as holder, AsyncExitStack() as stack:
        first = await generation_of(holder)
        standby = asyncio.ensure_future(take(stack, open_broker(rabbitmq_url, namespace)))
        done, _ = await asyncio.wait([standby], timeout=0.3)
        assert not done
        holder.send_signal(end)
        hold = await standby
        assert hold.generation > first
        assert hold.memo == memo


async def test_a_cut_connection_loses_the_baton_and_the_next_gets_a_greater_generation(
    rabbit_server: RabbitServer, open_proxy: OpenProxy, namespace: str
) -> None:
    proxy = await open_proxy(rabbit_server.port)
    async with AsyncExitStack() as first_stack, AsyncExitStack() as second_stack:
        first = await take(first_stack, open_broker(rabbit_server.url_through(proxy.port), namespace))
        second = asyncio.ensure_future(take(second_stack, open_broker(rabbit_server.url, namespace)))
        proxy.cut()
        await asyncio.wait_for(first.lost.wait(), PATIENCE_S)
        assert (await second).generation > first.generation
        first.leave(b"too late")
        await first_stack.aclose()
        assert not (await second).lost.is_set()
    async with open_broker(rabbit_server.url, namespace).baton("one") as third:
        assert third.memo == b""


async def test_a_holder_in_a_black_hole_gives_up_before_another_gets_the_baton(
    rabbit_server: RabbitServer, open_proxy: OpenProxy, namespace: str
) -> None:
    proxy = await open_proxy(rabbit_server.port)
    lost_at: list[float] = []
    async with AsyncExitStack() as first_stack, AsyncExitStack() as second_stack:
        first = await take(first_stack, open_broker(rabbit_server.url_through(proxy.port), namespace))

        async def note_the_loss() -> None:
            await first.lost.wait()
            lost_at.append(time.monotonic())

        noting = asyncio.ensure_future(note_the_loss())
        second = asyncio.ensure_future(
            second_stack.enter_async_context(open_broker(rabbit_server.url, namespace).baton("one"))
        )
        proxy.blackhole()
        hold = await asyncio.wait_for(second, 60)
        taken_at = time.monotonic()
        await asyncio.wait_for(noting, PATIENCE_S)
        assert lost_at[0] < taken_at
        assert hold.generation > first.generation


async def test_a_broker_that_is_killed_takes_the_baton_and_remembers_its_generation(
    start_rabbit: Callable[..., RabbitServer], namespace: str
) -> None:
    server = start_rabbit()
    async with AsyncExitStack() as stack:
        await take(stack, open_broker(server.url, namespace))
        await stack.aclose()
        # A generation that no clock explains shows that the token itself survives.
        future = encode_token(Token(FAR_FUTURE, "future"))
        async with token_queue(server.url, namespace) as (channel, queue):
            await channel.basic_publish(future, routing_key=queue, properties=Basic.Properties(delivery_mode=2))
        hold = await take(stack, open_broker(server.url, namespace))
        assert hold.generation == FAR_FUTURE + 1
        await asyncio.to_thread(server.kill)
        await asyncio.wait_for(hold.lost.wait(), PATIENCE_S)
        with pytest.raises(BrokerUnavailableError):
            await take(AsyncExitStack(), open_broker(server.url, namespace))
    server.start()
    async with AsyncExitStack() as stack:
        assert (await take(stack, open_broker(server.url, namespace))).generation == FAR_FUTURE + 2


async def test_a_waiting_candidate_is_told_when_the_broker_goes_away(
    start_rabbit: Callable[..., RabbitServer], namespace: str
) -> None:
    server = start_rabbit()
    async with AsyncExitStack() as stack:
        await take(stack, open_broker(server.url, namespace))
        waiting = asyncio.ensure_future(take(AsyncExitStack(), open_broker(server.url, namespace)))
        await asyncio.wait([waiting], timeout=0.3)
        await asyncio.to_thread(server.kill)
        with pytest.raises(BrokerUnavailableError):
            await waiting


async def test_a_lost_token_is_replaced_and_repeated_ones_are_removed(rabbitmq_url: str, namespace: str) -> None:
    async with AsyncExitStack() as stack, token_queue(rabbitmq_url, namespace) as (channel, queue):
        first = await take(stack, open_broker(rabbitmq_url, namespace))
        await stack.aclose()
        await channel.queue_purge(queue)
        second = await take(stack, open_broker(rabbitmq_url, namespace))
        assert second.generation > first.generation
        for _ in range(3):
            await channel.basic_publish(encode_token(Token(second.generation, "copy")), routing_key=queue)
        await channel.basic_publish(b"no token", routing_key=queue)
        await stack.aclose()
        third = await take(stack, open_broker(rabbitmq_url, namespace))
        assert third.generation > second.generation
        assert third.memo == b""
        await stack.aclose()
        left = (await channel.queue_declare(queue, passive=True)).message_count
        assert left is not None
        assert 1 <= left <= 2


async def test_a_deleted_queue_loses_the_baton(rabbitmq_url: str, namespace: str) -> None:
    async with AsyncExitStack() as stack, token_queue(rabbitmq_url, namespace) as (channel, queue):
        hold = await take(stack, open_broker(rabbitmq_url, namespace))
        await channel.queue_delete(queue)
        await asyncio.wait_for(hold.lost.wait(), PATIENCE_S)


@pytest.mark.parametrize(("recycle_s", "kept"), [(0.3, True), (1000.0, False)])
async def test_a_renewed_token_outlives_the_consumer_timeout(
    start_rabbit: Callable[..., RabbitServer], namespace: str, recycle_s: float, *, kept: bool
) -> None:
    server = start_rabbit({"consumer_timeout": "1000"}, advanced="[{rabbit, [{channel_tick_interval, 500}]}].\n")
    async with hold_baton(Connector(server.url), namespace, "one", recycle_s=recycle_s) as hold:
        if kept:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(hold.lost.wait(), 4.0)
        else:
            await asyncio.wait_for(hold.lost.wait(), PATIENCE_S)


async def test_a_broker_short_of_memory_keeps_batons_and_deliveries(
    start_rabbit: Callable[..., RabbitServer], namespace: str
) -> None:
    server = start_rabbit()
    broker = open_broker(server.url, namespace)
    async with (
        broker.publisher("us-stocks", LIMITS, confirms=True) as publisher,
        broker.consumer("us-stocks", ONLY, LIMITS) as consumer,
        broker.baton("one") as hold,
    ):
        publisher.publish(batch(0))
        await asyncio.wait_for(publisher.flush(), PATIENCE_S)
        await asyncio.to_thread(server.control, "set_vm_memory_high_watermark", "absolute", "1MB")
        publisher.publish(batch(1))
        (first,) = await receive(consumer, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hold.lost.wait(), 12.0)
        assert publisher.counts.unconfirmed_batches == 1
        await consumer.acknowledge(first.tag)
        await asyncio.to_thread(server.control, "set_vm_memory_high_watermark", "0.4")
        await receive(consumer, 1)


async def test_holders_that_are_killed_again_and_again_never_share_a_generation(
    rabbitmq_url: str, namespace: str
) -> None:
    generations: list[int] = []
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(holder_process(rabbitmq_url, namespace)) for _ in range(5)]
        waiting = {asyncio.ensure_future(generation_of(process)): process for process in processes}
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
            assert len(done) == 1
            taken = done.pop()
            generations.append(taken.result())
            waiting.pop(taken).kill()
    assert generations == sorted(set(generations))
    assert len(generations) == 5
