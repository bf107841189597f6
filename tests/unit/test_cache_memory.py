"""The cache in memory keeps the contract."""

from collections.abc import Callable

import pytest

from scanplane.cache.factory import open_cache
from scanplane.cache.interface import Cache
from support.cache_contract import CacheContract


class TestMemoryCache(CacheContract):
    @pytest.fixture
    def namespace(self) -> str:
        return "test"

    @pytest.fixture
    def caches(self) -> Callable[[], Cache]:
        cache = open_cache(None, "test")
        return lambda: cache
