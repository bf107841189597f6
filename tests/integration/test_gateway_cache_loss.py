"""A gateway on a real Redis that goes away and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scanplane.cache.factory import open_cache
from scanplane.cache.interface import Cache
from support.delay_proxy import DelayProxy
from support.gateway import (
    NAMESPACE,
    PATIENCE_S,
    SECOND_NS,
    TICK_NS,
    Analyst,
    eventually,
    new_gateway,
    part_of,
    running_gateway,
    signal_of,
)
from support.servers import RedisServer, free_port

pytestmark = pytest.mark.server

GAPPERS = "boards/us-stocks/gappers"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Cache]:
    cache = open_cache(url, NAMESPACE)
    try:
        yield cache
    finally:
        await cache.close()


async def test_clients_stay_through_an_outage_and_then_get_exactly_what_they_missed(redis_server: RedisServer) -> None:
    proxy = DelayProxy(redis_server.port)
    async with opened(redis_server.url) as direct:
        analyst = Analyst(direct)
        await direct.delete(
            [key for kind in ("boards", "signals") for key in await direct.list_keys(f"{NAMESPACE}:{kind}:")]
        )
        await proxy.__aenter__()
        async with opened(redis_server.url_through(proxy.port)) as cache, running_gateway(cache) as gateway:
            await analyst.write(part_of(), signals=[signal_of(1)])
            async with gateway.client("boards/*", "signals/*") as client:
                await client.first("snapshot", topic=GAPPERS)

                await proxy.__aexit__()
                told = await client.first("lag", stale=True)
                assert "the cache is lost" in told["staleReason"]
                answer = await gateway.json("/v1/boards/us-stocks/gappers")
                assert answer["freshness"]["stale"]
                assert "the cache is lost" in answer["freshness"]["staleReason"]
                await gateway.json("/v1/quotes/us-stocks/AAPL", 503)
                assert (await gateway.json("/readyz"))["ok"]
                assert gateway.role.status().problems

                missed = [signal_of(number) for number in (2, 3, 4)]
                await analyst.write(part_of(tick_ns=TICK_NS + SECOND_NS), signals=missed)
                await proxy.__aenter__()
                await client.until(lambda messages: any(m["type"] == "lag" and not m["stale"] for m in messages))
                await client.until(lambda _: client.of_topic(GAPPERS)[-1]["data"]["tickNs"] == TICK_NS + SECOND_NS)
                await analyst.write(part_of(tick_ns=TICK_NS + 2 * SECOND_NS), signals=[signal_of(5)])
                await client.until(
                    lambda _: (
                        client.of_topic(GAPPERS)[-1]["data"]["tickNs"] == TICK_NS + 2 * SECOND_NS
                        and client.messages
                        and any(m["type"] == "signal" and m["data"]["signalId"] == "gappers-5" for m in client.messages)
                    )
                )
                ids = [m["data"]["signalId"] for m in client.messages if m["type"] == "signal"]
                assert ids[-4:] == ["gappers-2", "gappers-3", "gappers-4", "gappers-5"]
                assert len(ids) == len(set(ids))
                numbers = [m["sequence"] for m in client.of_topic(GAPPERS)]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                assert not gateway.role.status().problems
        await proxy.__aexit__()


async def test_a_gateway_without_its_cache_is_not_ready_and_says_why_until_the_cache_is_there(
    redis_server: RedisServer,
) -> None:
    proxy = DelayProxy(redis_server.port)
    proxy.port = free_port()
    async with opened(redis_server.url_through(proxy.port)) as cache:
        role = new_gateway(cache)
        stop = asyncio.Event()
        task = asyncio.create_task(role.run(stop))
        try:
            await eventually(lambda: role.status().problems)
            assert not role.standby.is_set()
            assert "the cache is lost" in role.status().problems[0]
            async with proxy:
                await asyncio.wait_for(role.standby.wait(), PATIENCE_S)
                assert role.status().problems == ()
        finally:
            stop.set()
            await asyncio.wait_for(task, PATIENCE_S)
