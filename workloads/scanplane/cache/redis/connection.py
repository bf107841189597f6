"""The client of one Redis, with a bound on every wait, and its errors in words for people."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from scanplane.cache.interface import CacheUnavailableError, FencedError, StateLostError
from scanplane.cache.redis.scripts import FENCED, LOST

__all__ = ["COMMAND_TIMEOUT_S", "MAX_CONNECTIONS", "cache_errors", "make_client", "redis_address"]

COMMAND_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 3.0
MAX_CONNECTIONS = 64
_NOT_A_URL = "the cache URL is not of the form redis://:password@host:6379/0"


def redis_address(url: str) -> str:
    """Return host and port of a Redis URL; the error must not repeat the URL, for it holds a password.

    Raises CacheUnavailableError if *url* is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise CacheUnavailableError(_NOT_A_URL) from None
    if parts.scheme not in {"redis", "rediss"} or not host:
        raise CacheUnavailableError(_NOT_A_URL)
    return f"{host}:{port or 6379}"


def make_client(url: str) -> "Redis":
    """Make a client that connects when it is first used.

    Whoever asks has no more than ``MAX_CONNECTIONS`` commands on their way at once, and bounds the whole of each
    himself (``COMMAND_TIMEOUT_S``): the client's own bound on writing is
    ``asyncio.wait_for``, which before Python 3.12 loses a cancellation that comes just when the writing is done, and a task
    that lost its cancellation never ends.

    A command is tried once more, on a new connection, when its connection turns out to be gone: an idle one that was
    cut shows only then. Every write is safe to repeat. Raises CacheUnavailableError if *url* is no Redis URL.
    """
    redis_address(url)
    try:
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            max_connections=MAX_CONNECTIONS,
            socket_timeout=None,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
    except ValueError:
        raise CacheUnavailableError(_NOT_A_URL) from None
    return Redis(connection_pool=pool)


def _explain(error: Exception, address: str) -> str:
    text = str(error)
    # Who has given no password may send no command of more than ten arguments: that is refused before it is read.
    if isinstance(error, AuthenticationError) or text.startswith(("WRONGPASS", "NOAUTH")) or "unauthenticated" in text:
        return f"Redis at {address} refused the password in the cache URL, or wants one"
    if isinstance(error, AuthorizationError) or text.startswith("NOPERM"):
        return f"Redis at {address} does not allow the user in the cache URL what is needed: {text}"
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return f"Redis at {address} does not answer"
    detail = text.splitlines()[0] if text else type(error).__name__
    return f"Redis at {address} can't be reached or refused the command: {detail}"


@contextmanager
def cache_errors(address: str) -> Iterator[None]:
    """Turn the client's errors into FencedError, StateLostError and CacheUnavailableError."""
    try:
        yield
    except ResponseError as error:
        if str(error).startswith(FENCED):
            raise FencedError("a newer generation holds the baton; stop") from None
        if str(error).startswith(LOST):
            raise StateLostError(f"Redis at {address} does not hold what was saved last") from None
        raise CacheUnavailableError(_explain(error, address)) from None
    except (RedisError, OSError, asyncio.IncompleteReadError) as error:
        raise CacheUnavailableError(_explain(error, address)) from None
