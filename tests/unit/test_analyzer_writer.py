"""How traces go on from an evaluation through a write to the gateway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from opentelemetry.trace import StatusCode

from scanplane.analyzer.writer import ResultWriter
from scanplane.cache import keys
from scanplane.cache.interface import CacheUnavailableError, Write
from scanplane.cache.memory import MemoryCache
from scanplane.marketdata.partitions import Partition
from scanplane.marketdata.results import BoardPart
from scanplane.telemetry.latency import LatencyHistogram
from scanplane.telemetry.traces import UNTRACED
from support.gateway import part_of
from support.traced import Traced, carried, itself, parent

NAMESPACE = "test"
MARKET = "us-stocks"
PARTITION = Partition(0, 1)


class Cache(MemoryCache):
    """One that is away for the first *failures* writes."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self._failures = failures

    async def write(self, write: Write) -> int:
        if self._failures:
            self._failures -= 1
            raise CacheUnavailableError("away")
        return await super().write(write)

    async def board(self, scanner: str) -> BoardPart:
        (value,) = await self.read_values([keys.board(NAMESPACE, MARKET, scanner, PARTITION)])
        assert value is not None
        return msgspec.json.decode(value, type=BoardPart)


@asynccontextmanager
async def writer_on(cache: Cache, traced: Traced) -> AsyncIterator[ResultWriter]:
    histogram = LatencyHistogram("tick_to_board", "Not looked at.")
    writer = ResultWriter(cache, NAMESPACE, MARKET, PARTITION, 1, histogram, traced.traces)
    task = asyncio.create_task(writer.run())
    try:
        yield writer
        async with asyncio.timeout(20):
            await writer.drain()
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def board_of(scanner: str, traceparent: str) -> BoardPart:
    return msgspec.structs.replace(part_of(scanner), traceparent=traceparent)


async def test_a_board_goes_to_the_gateway_with_the_span_of_its_write_and_each_trace_with_its_own() -> None:
    traced, cache = Traced(), Cache()
    one, two = traced.traces.batch_context("one"), traced.traces.batch_context("two")
    async with writer_on(cache, traced) as writer:
        writer.put([board_of("gappers", one), board_of("losers", one), board_of("highs", two)], [])
        writer.put([board_of("calm", UNTRACED)], [])
    writes = {parent(write): write for write in traced.named("cache.write")}
    assert writes.keys() == {carried(one), carried(two)}
    for scanner, traceparent in (("gappers", one), ("losers", one), ("highs", two)):
        assert carried((await cache.board(scanner)).traceparent) == itself(writes[carried(traceparent)])
    assert (await cache.board("calm")).traceparent == UNTRACED
    assert len(traced.named("cache.write")) == 2


async def test_a_write_that_fails_is_a_span_of_its_own_beside_the_one_that_succeeds() -> None:
    traced, cache = Traced(), Cache(failures=1)
    async with writer_on(cache, traced) as writer:
        writer.put([board_of("gappers", traced.traces.batch_context())], [])
    failed, done = traced.named("cache.write")
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "CacheUnavailableError")
    assert done.status.status_code is StatusCode.UNSET
    assert parent(failed) == parent(done)
    assert carried((await cache.board("gappers")).traceparent) == itself(done)


async def test_what_is_not_traced_leaves_no_span() -> None:
    traced, cache = Traced(0.0), Cache()
    async with writer_on(cache, traced) as writer:
        writer.put([board_of("gappers", traced.traces.batch_context())], [])
    assert (await cache.board("gappers")).traceparent == UNTRACED
    assert traced.spans == ()
