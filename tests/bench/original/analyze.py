"""Runs in the original's Python: how many aggregate events a second one of its analyzer processes gets through.

Exercised as shipped: ``MassiveDataProcessor`` (_callback, _process_message, _cache_result; its own limits of 100
messages prefetched and 500 tasks) with ``LeaderboardAnalyzer`` (analyze_data: day boundary, market open, leaderboards,
throttled boards of 500) and ``MarketDataCache``. The cache already holds snapshot, average volume and free float of
every symbol, so that no REST request is made.

With an AMQP URL the messages come from RabbitMQ through ``MassiveDataProcessor.start``, and this process only
counts. Without one they are handed to ``_callback`` from memory, 100 at a time as the broker would, and
acknowledging costs nothing: that is in favour of the original.

Reads ``{"redis_url", "seconds", "amqp_url"}`` from standard input.
"""

import asyncio
import itertools
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import aio_pika
import redis.asyncio as aioredis
from kuhl_haus.mdp.analyzers.analyzer import AnalyzerOptions
from kuhl_haus.mdp.analyzers.leaderboard_analyzer import LeaderboardAnalyzer
from kuhl_haus.mdp.components.massive_data_processor import MassiveDataProcessor
from kuhl_haus.mdp.components.massive_data_queues import MassiveDataQueues
from kuhl_haus.mdp.enum.market_data_cache_keys import MarketDataCacheKeys
from kuhl_haus.mdp.helpers.web_socket_message_serde import WebSocketMessageSerde
from market import aggregate_events, symbols
from massive.websocket.models import EquityAgg

_WARM_UP_SECONDS = 1.0
_QUEUE = "aggregate"
_LONG_TTL_MS = 600_000


def _bodies() -> list[bytes]:
    """Return the messages as the original's listener would have published them."""
    return [
        WebSocketMessageSerde.serialize(EquityAgg.from_dict(event)).encode()
        for lap in range(2)
        for event in aggregate_events(lap)
    ]


async def _fill_cache(redis_url: str) -> None:
    """Put the reference data of every symbol where the original looks first."""
    client = aioredis.from_url(redis_url, decode_responses=True)
    pipeline = client.pipeline(transaction=False)
    for number, symbol in enumerate(symbols()):
        close = 2.0 + number % 500
        previous_day = {"o": close, "h": close + 1, "l": close - 1, "c": close, "v": 1_000_000, "vw": close}
        snapshot = {
            "ticker": symbol,
            "todaysChange": 0.1,
            "todaysChangePerc": 1.0,
            "updated": 1,
            "prevDay": previous_day,
        }
        pipeline.set(f"{MarketDataCacheKeys.TICKER_SNAPSHOTS.value}:{symbol}", json.dumps(snapshot))
        pipeline.set(f"{MarketDataCacheKeys.TICKER_AVG_VOLUME.value}:{symbol}", "1500000")
        pipeline.set(f"{MarketDataCacheKeys.TICKER_FREE_FLOAT.value}:{symbol}", "20000000")
    await pipeline.execute()
    await client.aclose()


class _Message:
    """As much of a broker's message as the processor uses."""

    delivery_tag = 0

    def __init__(self, body: bytes) -> None:
        self.body = body

    @asynccontextmanager
    async def process(self) -> AsyncIterator[None]:
        yield


async def _hand_over(processor: MassiveDataProcessor, bodies: Iterator[bytes]) -> None:
    """Keep as many messages in flight as the broker would deliver unacknowledged."""
    while True:
        missing = processor.prefetch_count - len(processor.processing_tasks)
        for body in itertools.islice(bodies, missing):
            await processor._callback(_Message(body))
        await asyncio.wait(processor.processing_tasks, return_when=asyncio.FIRST_COMPLETED)


async def _fill_queue(amqp_url: str, bodies: list[bytes], count: int) -> None:
    """Put more messages into the original's queue than it will take, without waiting for each."""
    queues = MassiveDataQueues(amqp_url, _LONG_TTL_MS)
    await queues.setup_queues()
    await queues.shutdown()
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        for body in itertools.islice(itertools.cycle(bodies), count):
            await channel.default_exchange.publish(aio_pika.Message(body), routing_key=_QUEUE)


async def _measure(redis_url: str, seconds: float, amqp_url: str | None) -> dict[str, object]:
    bodies = _bodies()
    await _fill_cache(redis_url)
    processor = MassiveDataProcessor(
        rabbitmq_url=amqp_url or "",
        queue_name=_QUEUE,
        redis_url=redis_url,
        analyzer_class=LeaderboardAnalyzer,
        analyzer_options=AnalyzerOptions(redis_url=redis_url),
    )
    if amqp_url is None:
        processor.mdq_connected = True  # there is no broker to connect to
        await processor.connect()
        processor.analyzer = processor.analyzer_class(options=processor.analyzer_options)
        running = asyncio.create_task(_hand_over(processor, itertools.cycle(bodies)))
    else:
        await _fill_queue(amqp_url, bodies, round((seconds + _WARM_UP_SECONDS) * 5000))
        running = asyncio.create_task(processor.start())
    while processor.processed == 0:
        await asyncio.wait([running], timeout=0.05)
        if running.done():
            running.result()
    await asyncio.sleep(_WARM_UP_SECONDS)
    before, begun = processor.processed, time.perf_counter()
    await asyncio.sleep(seconds)
    events, elapsed = processor.processed - before, time.perf_counter() - begun
    errors = processor.error + processor.processing_error + processor.decoding_error
    if errors:
        raise SystemExit(f"the original failed on {errors} of {processor.processed} events")
    return {
        "events_per_second": events / elapsed,
        "events": events,
        "seconds": elapsed,
        "symbols": len(symbols()),
        "through_broker": amqp_url is not None,
        "versions": {name: version(name) for name in ("kuhl-haus-mdp", "aio-pika", "redis", "hiredis")},
        "python": sys.version.split()[0],
    }


async def _main() -> None:
    result = await _measure(**json.load(sys.stdin))
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    os._exit(0)  # see publish.py


if __name__ == "__main__":
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    logging.disable(logging.WARNING)
    asyncio.run(_main())
