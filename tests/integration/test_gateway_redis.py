"""What a gateway asks of a real Redis, which is stricter than the cache in memory."""

from collections.abc import AsyncIterator, Callable

import pytest

from scanplane.cache.factory import open_cache
from scanplane.cache.interface import Cache
from support.gateway import NAMESPACE, part_of, running_gateway, signal_of
from support.servers import RedisServer

pytestmark = pytest.mark.server


@pytest.fixture
async def cache(start_redis: Callable[..., RedisServer]) -> AsyncIterator[Cache]:
    cache = open_cache(start_redis().url, NAMESPACE)
    yield cache
    await cache.close()


@pytest.mark.parametrize("since", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00.001Z"])
async def test_signals_since_the_beginning_of_time_are_all_there_are(cache: Cache, since: str) -> None:
    async with running_gateway(cache) as gateway:
        await gateway.analyst.write(part_of(), signals=[signal_of(1), signal_of(2)])
        page = await gateway.json("/v1/signals", params={"since": since})
    assert [signal["signalId"] for signal in page["signals"]] == ["gappers-1", "gappers-2"]
