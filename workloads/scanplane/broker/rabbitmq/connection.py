"""Connections to RabbitMQ: opened once with a bounded wait, watched while they live, got back with patience.

aio-pika's robust connection neither sends again what was unconfirmed nor reliably restores consumers, so a plain
connection of aiormq, the client below it, is used here, and whoever works with it says what a loss means to it. Three
things that aiormq leaves to its caller are settled in this module: a request that is pending when the connection goes
away ends with a ``CancelledError`` although nobody cancelled; a request on a connection that went silent waits for
ever; and an error's text is not made for people. Here they all become :class:`BrokerUnavailableError`.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import AMQPError, AuthenticationError, ConnectionNotAllowed, ProbableAuthenticationError
from pamqp.common import FieldTable
from yarl import URL

from scanplane.broker.interface import BrokerUnavailableError

__all__ = ["HEARTBEAT_S", "Connector", "Session", "broker_errors"]

_LOG = logging.getLogger(__name__)
# aiormq logs every failed attempt and every lost connection with a traceback; here each is one line, said once.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)

HEARTBEAT_S = 5
"""The broker takes a silent connection for dead between two and three of these after the last byte."""

_CONNECT_TIMEOUT_S = 5.0
_REQUEST_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 2.0
_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 2.0


def _explain(error: BaseException, address: str) -> str:
    """One line for people, without secrets."""
    if isinstance(error, ProbableAuthenticationError | AuthenticationError):
        return f"RabbitMQ at {address} refused the user name or password in the broker URL"
    if isinstance(error, ConnectionNotAllowed) or "Connection.OpenOk" in str(error):  # aiormq hides the broker's words
        return f"RabbitMQ at {address} refused the virtual host in the broker URL, or the user has no right to it"
    if isinstance(error, TimeoutError):
        return f"RabbitMQ at {address} does not answer"
    text = str(error).splitlines()
    detail = f": {text[0]}" if text and text[0] else f" ({type(error).__name__})"
    return f"RabbitMQ at {address} can't be reached or closed the connection{detail}"


@contextmanager
def broker_errors(address: str) -> Iterator[None]:
    """Turn whatever the client library raises into BrokerUnavailableError; a real cancellation stays one."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerUnavailableError(f"RabbitMQ at {address} closed the connection") from None
    except (AMQPError, OSError, EOFError, RuntimeError) as error:  # aiormq: RuntimeError when it is closed already
        raise BrokerUnavailableError(_explain(error, address)) from None


class Session:
    """An open connection with one channel. ``lost`` is set as soon as either is gone, and stays set."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel, address: str) -> None:
        self.channel = channel
        self.address = address
        self.lost = asyncio.Event()
        self.loss = f"RabbitMQ at {address} closed the connection"
        self._connection = connection
        self._watchers: set[Callable[[], None]] = set()
        channel.closing.add_done_callback(self._on_closing)
        connection.closing.add_done_callback(self._on_closing)

    def _on_closing(self, closing: "asyncio.Future[object]") -> None:
        error = None if closing.cancelled() else closing.exception()
        self.lose(None if error is None else _explain(error, self.address))

    def lose(self, why: str | None = None) -> None:
        """Take the session for lost and tell everybody who waits."""
        if self.lost.is_set():
            return
        self.loss = why or self.loss
        self.lost.set()
        for watcher in list(self._watchers):
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call *watcher* when the session is lost, at once if it already is."""
        self._watchers.add(watcher)
        if self.lost.is_set():
            watcher()

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Undo ``watch``."""
        self._watchers.discard(watcher)

    def check(self) -> None:
        """Raise BrokerUnavailableError if the session is lost."""
        if self.lost.is_set():
            raise BrokerUnavailableError(self.loss)

    @asynccontextmanager
    async def request(self, timeout_s: float = _REQUEST_TIMEOUT_S) -> AsyncIterator[AbstractChannel]:
        """Talk to the broker within a bounded time; raises BrokerUnavailableError."""
        self.check()
        with broker_errors(self.address):
            async with asyncio.timeout(timeout_s):
                yield self.channel

    def while_open(self) -> "_WhileOpen":
        """Run the body only as long as the session lives: then it is interrupted with BrokerUnavailableError."""
        return _WhileOpen(self)

    async def close(self) -> None:
        """Close channel and connection in order: what was sent is processed first; never raises, never hangs."""
        try:
            with broker_errors(self.address):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    if not self.lost.is_set():
                        await self.channel.close()
                    await self._connection.close()
        except BrokerUnavailableError as error:
            _LOG.debug("closing: %s", error)
        self.lose("the session was closed")


class _WhileOpen:
    """Like ``asyncio.timeout``, with the loss of a session in the place of the clock."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._task: asyncio.Task[object] | None = None
        self._interrupted = False
        self._cancelling = 0

    def _interrupt(self) -> None:
        assert self._task is not None
        self._interrupted = True
        self._task.cancel()

    async def __aenter__(self) -> None:
        self._session.check()
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._session.watch(self._interrupt)

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._session.unwatch(self._interrupt)
        assert self._task is not None
        if self._interrupted and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise BrokerUnavailableError(self._session.loss) from None


class Connector:
    """Opens sessions with one broker. A failed attempt makes the next one wait, longer each time and with jitter."""

    def __init__(self, url: str) -> None:
        self._url = _checked(url)
        self.address = f"{self._url.host}:{self._url.port or (5671 if self._url.scheme == 'amqps' else 5672)}"
        self._failures = 0

    def __repr__(self) -> str:
        return f"Connector({self.address})"

    async def _wait_for_turn(self) -> None:
        if self._failures:
            longest = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(self._failures - 1, 10))
            await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311  # spreads reconnects, guards nothing

    async def open(self, purpose: str, *, confirms: bool = False) -> Session:
        """Try once to open a session; *purpose* names the connection in the broker's own lists.

        Raises BrokerUnavailableError, at most seconds later: whoever retries needs no delay of its own.
        """
        await self._wait_for_turn()
        try:
            with broker_errors(self.address):
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    session = await self._open(purpose, confirms=confirms)
        except BrokerUnavailableError:
            self._failures += 1
            raise
        self._failures = 0
        return session

    async def _open(self, purpose: str, *, confirms: bool) -> Session:
        name: FieldTable = {"connection_name": f"scanplane {purpose}"}
        connection = await aiormq.connect(self._url.update_query(heartbeat=HEARTBEAT_S), client_properties=name)
        try:
            channel = await connection.channel(publisher_confirms=confirms)
        except BaseException:
            await connection.close()
            raise
        return Session(connection, channel, self.address)

    @asynccontextmanager
    async def session(self, purpose: str, *, confirms: bool = False) -> AsyncIterator[Session]:
        """Open a session for the length of the context. Raises BrokerUnavailableError."""
        session = await self.open(purpose, confirms=confirms)
        try:
            yield session
        finally:
            await session.close()


def _checked(url: str) -> URL:
    """Parse a broker URL; the error must not repeat it, for it holds a password."""
    try:
        parsed = URL(url)
    except ValueError:
        parsed = URL()
    if parsed.scheme not in {"amqp", "amqps"} or not parsed.host:
        raise BrokerUnavailableError("the broker URL is not of the form amqp://user:password@host:5672/virtual-host")
    return parsed
