"""The test servers themselves."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from support.delay_proxy import DelayProxy
from support.servers import RabbitServer, RedisServer

pytestmark = pytest.mark.server


async def ping(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"PING\r\n")
        return await asyncio.wait_for(reader.readline(), 1.0)
    finally:
        writer.close()


async def test_a_killed_server_comes_back_on_the_same_port(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    first = server.pid
    assert await ping(server.port) == b"+PONG\r\n"
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        await ping(server.port)
    server.start()
    assert await ping(server.port) == b"+PONG\r\n"
    assert server.pid != first


def test_a_rabbit_of_the_tests_listens_on_loopback_ports_of_its_own(rabbit_server: RabbitServer) -> None:
    assert rabbit_server.port != 5672
    assert f"127.0.0.1:{rabbit_server.port}" in rabbit_server.url


async def test_the_proxy_delays_and_keeps_the_order(
    redis_server: RedisServer, open_proxy: Callable[..., Awaitable[DelayProxy]]
) -> None:
    proxy = await open_proxy(redis_server.port, 40)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    started = time.monotonic()
    for number in range(200):
        writer.write(b"ECHO %d\r\n" % number)
        await writer.drain()
    lines = [(await reader.readline(), await reader.readline())[1] for _ in range(200)]
    assert time.monotonic() - started >= 0.04
    assert lines == [b"%d\r\n" % number for number in range(200)]
    writer.close()
    await writer.wait_closed()


async def test_a_cut_ends_connections_and_a_black_hole_swallows(
    redis_server: RedisServer, open_proxy: Callable[..., Awaitable[DelayProxy]]
) -> None:
    proxy = await open_proxy(redis_server.port)
    assert await ping(proxy.port) == b"+PONG\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"PING\r\n")
    assert await reader.readline() == b"+PONG\r\n"
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
    proxy.blackhole()
    with pytest.raises(TimeoutError):
        await ping(proxy.port)
    proxy.restore()
    assert await ping(proxy.port) == b"+PONG\r\n"
