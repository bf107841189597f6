"""A cache that is away at the beginning is waited for in one line."""

import asyncio
import logging

import pytest

from scanplane.cache.interface import CacheUnavailableError
from scanplane.roles.lifecycle import Lifecycle
from scanplane.roles.waiting import while_away


class Cache:
    """Away for so many questions."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.asked = asyncio.Event()

    async def ask(self) -> str:
        self.asked.set()
        self.refusals -= 1
        if self.refusals >= 0:
            raise CacheUnavailableError("Redis at 127.0.0.1:1 can't be reached")
        return "answer"


@pytest.fixture
def lifecycle() -> Lifecycle:
    return Lifecycle(role="analyzer", instance="analyzer-us-stocks-0", configuration="")


async def test_it_is_asked_again_until_it_is_there_and_shown_meanwhile_in_one_line(
    lifecycle: Lifecycle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert await while_away(Cache(4).ask, asyncio.Event(), lifecycle) == "answer"
    line = "analyzer-us-stocks-0 waits for the cache: Redis at 127.0.0.1:1 can't be reached"
    assert [record.getMessage() for record in caplog.records] == [line, f"solved: {line}"]
    assert lifecycle.status().problems == ()


async def test_whoever_is_told_to_stop_waits_no_longer(lifecycle: Lifecycle) -> None:
    cache, stop = Cache(10**9), asyncio.Event()
    waiting = asyncio.create_task(while_away(cache.ask, stop, lifecycle))
    await cache.asked.wait()
    stop.set()
    with pytest.raises(CacheUnavailableError):
        await asyncio.wait_for(waiting, 10)
    assert len(lifecycle.status().problems) == 1


async def test_any_other_failure_is_not_waited_for(lifecycle: Lifecycle) -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await while_away(fail, asyncio.Event(), lifecycle)
