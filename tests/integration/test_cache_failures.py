"""What the cache does when Redis is absent, refuses, vanishes or comes back."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from scanplane.cache.factory import open_cache
from scanplane.cache.interface import Cache, CacheUnavailableError, Entry, Update, Write
from support.cache_contract import PATIENCE_S, collect
from support.delay_proxy import DelayProxy
from support.servers import RedisServer, free_port

pytestmark = pytest.mark.server

OpenProxy = Callable[..., Awaitable[DelayProxy]]


def board(namespace: str, value: bytes = b"1") -> Write:
    return Write(fence_key=f"{namespace}:state", generation=1, values={f"{namespace}:board": value})


async def refusal(attempt: Awaitable[object]) -> str:
    with pytest.raises(CacheUnavailableError) as refused:
        await asyncio.wait_for(attempt, PATIENCE_S)
    text = str(refused.value)
    assert "\n" not in text
    assert "sesame" not in text
    return text


def every_operation(cache: Cache) -> list[Awaitable[object]]:
    return [
        cache.write(board("test")),
        cache.read_values(["test:board"]),
        cache.read_rows("test:quotes", ["A"]),
        cache.read_table("test:quotes"),
        cache.read_stream("test:signals"),
        cache.list_keys("test:"),
        cache.save_state("test:state", 1, {"field": b"1"}),
        cache.load_state("test:state", 1),
        cache.read_states(["test:state"], ["field"]),
        cache.read_state("test:state"),
        cache.expire(["test:signals"], 1.0),
        cache.delete(["test:board"]),
        cache.follow(["test:"]).__aenter__(),
    ]


async def test_an_absent_cache_is_named_by_every_operation() -> None:
    port = free_port()
    cache = open_cache(f"redis://:sesame@127.0.0.1:{port}/0", "test")
    for operation in every_operation(cache):
        assert f"127.0.0.1:{port}" in await refusal(operation)
    await cache.close()


@pytest.mark.parametrize("password", ["sesame-wrong", None])
async def test_a_wrong_or_missing_password_is_said_in_one_line(
    start_redis: Callable[..., RedisServer], password: str | None
) -> None:
    server = start_redis(password="correct")
    secret = f":{password}@" if password else ""
    cache = open_cache(f"redis://{secret}127.0.0.1:{server.port}/0", "test")
    for operation in every_operation(cache):
        assert "password" in await refusal(operation)
    await cache.close()


async def test_the_right_password_opens(start_redis: Callable[..., RedisServer]) -> None:
    cache = open_cache(start_redis(password="correct").url, "test")
    await cache.write(board("test"))
    assert await cache.read_values(["test:board"]) == [b"1"]
    await cache.close()


async def test_a_cache_that_was_killed_is_used_again_when_it_is_back(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    cache = open_cache(server.url, "test")
    await cache.write(board("test", b"before"))
    async with cache.follow(["test:"]) as updates:
        server.kill()
        await refusal(anext(updates))
    await refusal(cache.write(board("test", b"lost")))
    server.start()
    async with cache.follow(["test:"]) as updates:
        await cache.write(board("test", b"after"))
        assert await collect(updates, 1) == [Update("test:board", b"after")]
    assert await cache.read_values(["test:board"]) == [b"after"]
    await cache.close()


async def test_an_idle_connection_that_was_cut_is_opened_again(
    redis_server: RedisServer, open_proxy: OpenProxy, namespace: str
) -> None:
    proxy = await open_proxy(redis_server.port)
    cache = open_cache(redis_server.url_through(proxy.port), namespace)
    await cache.write(board(namespace, b"1"))
    async with cache.follow([f"{namespace}:"]) as updates:
        proxy.cut()
        await refusal(anext(updates))
    await cache.write(board(namespace, b"2"))
    assert await cache.read_values([f"{namespace}:board"]) == [b"2"]
    await cache.close()


async def test_a_silent_cache_is_given_up(
    redis_server: RedisServer, open_proxy: OpenProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanplane.cache.redis.cache.COMMAND_TIMEOUT_S", 0.3)
    monkeypatch.setattr("scanplane.cache.redis.following._PROBE_INTERVAL_S", 0.2)
    proxy = await open_proxy(redis_server.port)
    cache = open_cache(redis_server.url_through(proxy.port), namespace)
    await cache.write(board(namespace))
    async with cache.follow([f"{namespace}:"]) as updates:
        waiting = asyncio.ensure_future(anext(updates))
        done, _ = await asyncio.wait([waiting], timeout=1.0)
        assert not done  # a quiet cache that answers is no silent cache
        proxy.blackhole()
        assert "does not answer" in await refusal(cache.write(board(namespace)))
        assert "does not answer" in await refusal(waiting)
    await cache.close()


async def test_a_write_that_is_repeated_appends_nothing_twice(redis_url: str, namespace: str) -> None:
    cache = open_cache(redis_url, namespace)
    entries = {f"{namespace}:signals": [Entry((5, 0), b"a"), Entry((5, 1), b"b")]}
    write = Write(fence_key=f"{namespace}:state", generation=1, entries=entries)
    assert [await cache.write(write), await cache.write(write)] == [0, 2]
    assert len(await cache.read_stream(f"{namespace}:signals")) == 2
    await cache.close()


async def test_a_key_of_another_kind_is_refused_and_nothing_hangs(redis_url: str, namespace: str) -> None:
    cache = open_cache(redis_url, namespace)
    await cache.write(board(namespace))
    assert "WRONGTYPE" in await refusal(cache.read_table(f"{namespace}:board"))
    await cache.close()


async def test_a_state_of_thirty_megabytes_is_saved_and_loaded_whole(redis_url: str, namespace: str) -> None:
    cache = open_cache(redis_url, namespace)
    fields: dict[str, bytes | None] = {f"column-{number}": bytes([number]) * 1_000_000 for number in range(30)}
    await cache.save_state(f"{namespace}:state", 1, fields)
    assert await cache.load_state(f"{namespace}:state", 2) == fields
    await cache.close()


async def test_a_cancellation_is_never_lost_wherever_it_comes(redis_url: str, namespace: str) -> None:
    cache = open_cache(redis_url, namespace)
    write = Write(fence_key=f"{namespace}:state", generation=1, values={f"{namespace}:boards:a": b"x" * 100_000})
    await cache.write(write)
    cancelled = 0
    for turns in range(60):
        writing = asyncio.create_task(cache.write(write))
        for _ in range(turns % 20):
            await asyncio.sleep(0)
        if writing.cancel():
            await asyncio.wait([writing])
            assert writing.cancelled(), f"after {turns % 20} turns of the loop"
            cancelled += 1
        else:
            writing.result()
    assert cancelled > 10
    await cache.close()
