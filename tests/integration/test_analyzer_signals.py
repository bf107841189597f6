"""Signals survive the death of an analyzer on Redis."""

from collections.abc import AsyncIterator

import pytest

from scanplane.cache.factory import open_cache
from scanplane.cache.interface import Cache
from support.signals_contract import SignalsContract

pytestmark = pytest.mark.server


class TestRedisCache(SignalsContract):
    @pytest.fixture
    async def cache(self, redis_url: str, namespace: str) -> AsyncIterator[Cache]:
        cache = open_cache(redis_url, namespace)
        yield cache
        await cache.close()
