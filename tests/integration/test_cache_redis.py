"""The cache on Redis keeps the contract."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from scanplane.cache.factory import open_cache
from scanplane.cache.interface import Cache
from support.cache_contract import CacheContract

pytestmark = pytest.mark.server


class TestRedisCache(CacheContract):
    @pytest.fixture
    async def caches(self, redis_url: str, namespace: str) -> AsyncIterator[Callable[[], Cache]]:
        async with AsyncExitStack() as stack:

            def open_one() -> Cache:
                cache = open_cache(redis_url, namespace)
                stack.push_async_callback(cache.close)
                return cache

            yield open_one
