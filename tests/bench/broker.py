"""How many events a second go through RabbitMQ, with confirms on: ``python tests/bench/broker.py``.

Starts a RabbitMQ of its own; the distant broker is the same one behind a proxy, in a process of its own, that adds
20 ms to every round trip. Bodies are encoded beforehand: what is measured is the broker's share. Broker, proxy and
client share the machine, so read the figures beside those of another client on the same machine.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scanplane.broker.factory import open_broker
from scanplane.broker.interface import Broker, Consumer, Publisher, QueueLimits
from scanplane.marketdata.batches import Batch, BatchHeader, decode_events, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Trade
from scanplane.marketdata.partitions import Partition
from support.servers import RabbitServer

__all__ = ["measure_consume", "measure_publish", "measure_through"]

ROUND_TRIP_MS = 20.0
LIMITS = QueueLimits(time_to_live_ns=60_000_000_000, max_bytes=256 * 1024 * 1024)
MARKET = "us-stocks"
ONLY = Partition(0, 1)
_AHEAD = 256


def make_body(events_per_batch: int) -> bytes:
    """Encode as many trades as a busy second would bring in one batch."""
    start_ns = 1_763_832_013_123_456_789
    return encode_events(
        [
            Trade(f"SYM{number % 8000}", start_ns + number, 100.0 + number / 64, 100.0, (12, 37), 4, 1_000_000 + number)
            for number in range(events_per_batch)
        ]
    )


def make_batch(sequence: int, events: int, body: bytes) -> Batch:
    """Put *body* into the batch with number *sequence*."""
    now_ns = time.time_ns()
    return Batch(BatchHeader("bench", MARKET, ONLY, Channel.TRADES, 1, sequence, events, now_ns, now_ns), body)


async def _publish_for(publisher: Publisher, seconds: float, events: int) -> int:
    body = make_body(events)
    sequence = 0
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        for _ in range(_AHEAD - publisher.counts.waiting_batches):
            publisher.publish(make_batch(sequence, events, body))
            sequence += 1
        await asyncio.sleep(0.001)
    await publisher.flush()
    assert publisher.counts.dropped_batches == 0
    return sequence


async def measure_publish(
    url: str,
    seconds: float,
    events_per_batch: int,
    *,
    window: int = 64,
    confirms: bool = True,
    namespace: str = "bench",
) -> float:
    """Publish for *seconds* and return confirmed events a second."""
    broker = open_broker(url, namespace)
    await broker.prepare_market(MARKET, 1, LIMITS)
    async with broker.publisher(MARKET, LIMITS, confirms=confirms, window=window) as publisher:
        started = time.perf_counter()
        batches = await _publish_for(publisher, seconds, events_per_batch)
        elapsed = time.perf_counter() - started
    await _empty(broker)
    return batches * events_per_batch / elapsed


async def _take(consumer: Consumer, batches: int, *, decode: bool) -> int:
    """Take *batches* deliveries, acknowledging every hundredth; return how many events they held."""
    events = taken = 0
    async for delivery in consumer:
        taken += 1
        header = delivery.batch.header
        if decode and header.channel is not None:
            events += len(decode_events(header.channel, delivery.batch.body))
        else:
            events += header.count
        if taken % 100 == 0 or taken == batches:
            await consumer.acknowledge(delivery.tag)
        if taken == batches:
            break
    return events


async def measure_consume(
    url: str, batches: int, events_per_batch: int, *, decode: bool = False, namespace: str = "bench"
) -> float:
    """Fill the queue with *batches*, then take them all; return events a second of the taking."""
    broker = open_broker(url, namespace)
    await broker.prepare_market(MARKET, 1, LIMITS)
    body = make_body(events_per_batch)
    async with broker.publisher(MARKET, LIMITS, confirms=True, max_waiting=batches) as publisher:
        for sequence in range(batches):
            publisher.publish(make_batch(sequence, events_per_batch, body))
        await publisher.flush()
    async with broker.consumer(MARKET, ONLY, LIMITS) as consumer:
        started = time.perf_counter()
        events = await _take(consumer, batches, decode=decode)
        return events / (time.perf_counter() - started)


async def measure_through(
    url: str, seconds: float, events_per_batch: int, *, decode: bool = False, namespace: str = "bench"
) -> float:
    """Publish from another process and consume in this one at the same time; return consumed events a second."""
    broker = open_broker(url, namespace)
    async with (
        broker.consumer(MARKET, ONLY, LIMITS, prefetch=2000) as consumer,
        _producer(url, events_per_batch, namespace),
    ):
        await _take(consumer, 1000, decode=decode)
        events, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            events += await _take(consumer, 500, decode=decode)
        elapsed = time.perf_counter() - started
    await _empty(broker)
    return events / elapsed


async def _empty(broker: Broker) -> None:
    async with broker.consumer(MARKET, ONLY, LIMITS) as consumer:
        with contextlib.suppress(TimeoutError):
            while True:
                delivery = await asyncio.wait_for(anext(aiter(consumer)), 0.5)
                await consumer.acknowledge(delivery.tag)


async def _produce(url: str, events_per_batch: int, namespace: str) -> None:
    async with open_broker(url, namespace).publisher(MARKET, LIMITS, confirms=True) as publisher:
        await _publish_for(publisher, 3600, events_per_batch)


@asynccontextmanager
async def _producer(url: str, events_per_batch: int, namespace: str) -> AsyncIterator[None]:
    arguments = [sys.executable, __file__, "produce", str(events_per_batch), namespace]
    process = await asyncio.create_subprocess_exec(*arguments, env=os.environ | {"BENCH_BROKER_URL": url})
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@contextmanager
def distant(port: int, round_trip_ms: float = ROUND_TRIP_MS) -> Iterator[int]:
    """Run a delay proxy to *port* in a process of its own and give its port."""
    program = Path(__file__).resolve().parent.parent / "support" / "delay_proxy.py"
    command = [sys.executable, str(program), str(port), str(round_trip_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def _report(name: str, rounds: list[float]) -> None:
    middle = sorted(rounds)[len(rounds) // 2]
    print(f"{name:<58} {middle:>11,.0f}  [{min(rounds):,.0f} - {max(rounds):,.0f}]", flush=True)  # noqa: T201  # its output


async def main(seconds: float = 3.0, rounds: int = 3) -> None:
    """Measure everything and print events a second: the median and the spread."""
    with RabbitServer() as server, distant(server.port) as port:
        far = server.url_through(port)
        for events in (500, 100):
            for name, url in (("local", server.url), (f"{ROUND_TRIP_MS:.0f} ms", far)):
                found = [await measure_publish(url, seconds, events) for _ in range(rounds)]
                await _report(f"publish, confirms, window 64, {events} a batch, {name}", found)
            for decode in (False, True):
                name = "decoded" if decode else "not decoded"
                found = [await measure_consume(server.url, 8000, events, decode=decode) for _ in range(rounds)]
                await _report(f"consume, {events} a batch, local, {name}", found)
            found = [await measure_through(server.url, seconds, events) for _ in range(rounds)]
            await _report(f"publish and consume at once, {events} a batch, local", found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["produce"]:
        uvloop.run(_produce(os.environ["BENCH_BROKER_URL"], int(sys.argv[2]), sys.argv[3]))
    else:
        uvloop.run(main())
