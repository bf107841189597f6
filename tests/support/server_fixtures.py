"""Real servers for the integration tests.

``rabbitmq_url`` and ``redis_url`` name one server of each kind for the whole session; ``namespace`` is new for every
test, and everything that Scanplane puts into a broker or cache begins with it. A test that takes a server away
starts one of its own with ``start_rabbit`` or ``start_redis``.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any, TypeVar

import pytest

from support.delay_proxy import DelayProxy
from support.servers import RabbitServer, RedisServer, ServerUnavailableError

_Server = TypeVar("_Server", RabbitServer, RedisServer)


def _start(stack: ExitStack, server: _Server) -> _Server:
    try:
        return stack.enter_context(server)
    except ServerUnavailableError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """The session's RabbitMQ; never stop it in a test."""
    with ExitStack() as stack:
        yield _start(stack, RabbitServer())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The session's Redis; never stop it in a test."""
    with ExitStack() as stack:
        yield _start(stack, RedisServer())


@pytest.fixture
def rabbitmq_url(rabbit_server: RabbitServer) -> str:
    """AMQP URL of the session's RabbitMQ."""
    return rabbit_server.url


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """URL of the session's Redis."""
    return redis_server.url


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def start_rabbit() -> Iterator[Callable[..., RabbitServer]]:
    """Start a RabbitMQ of the test's own; takes the arguments of RabbitServer."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: _start(stack, RabbitServer(*arguments, **options))


@pytest.fixture
def start_redis() -> Iterator[Callable[..., RedisServer]]:
    """Start a Redis of the test's own; takes the arguments of RedisServer."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: _start(stack, RedisServer(*arguments, **options))


@pytest.fixture
async def open_proxy() -> AsyncIterator[Callable[..., Any]]:
    """Open a DelayProxy: ``proxy = await open_proxy(port, round_trip_ms)``."""
    async with AsyncExitStack() as stack:

        async def open_one(target_port: int, round_trip_ms: float = 0.0) -> DelayProxy:
            return await stack.enter_async_context(DelayProxy(target_port, round_trip_ms))

        yield open_one
