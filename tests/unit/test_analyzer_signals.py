"""Signals survive the death of an analyzer on the cache in memory."""

import pytest

from scanplane.cache.factory import open_cache
from scanplane.cache.interface import Cache
from support.signals_contract import SignalsContract


class TestMemoryCache(SignalsContract):
    @pytest.fixture
    def namespace(self) -> str:
        return "test"

    @pytest.fixture
    def cache(self) -> Cache:
        return open_cache(None, "test")
