"""The one WebSocket connection to Massive: a thin shell around the protocol's state machine.

The task that reads does nothing else: it stamps each frame with the time of its receipt and hands it on unread. A
client that reads slowly makes the provider buffer, which delays the data, and is disconnected in the end. Ending is as
careful as reading: the closing handshake runs while data is still read, because the provider's answer stands behind
all it has already sent, and :meth:`MassiveFeedConnection.run` returns only when the socket is gone, so that the
provider never counts two connections.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from scanplane import __version__
from scanplane.feeds.interface import ConnectionCounts, ConnectionPhase, FrameDecoder, FrameSink
from scanplane.feeds.massive.backoff import Backoff, BackoffTimes
from scanplane.feeds.massive.decoder import MAX_FRAME_BYTES, MassiveDecoder
from scanplane.feeds.massive.protocol import Failure, FailureKind, MassiveSession, Step, one_line, statuses_in

__all__ = ["MassiveFeedConnection", "MassiveTimes"]

_LOGGER = logging.getLogger(__name__)

# At its debug level the library writes whole frames to its log, and the API key goes out in one of them.
_LIBRARY_LOGGER = logging.getLogger(f"{__name__}.websockets")
_LIBRARY_LOGGER.setLevel(logging.WARNING)

_STATUS = b"status"
_MAX_QUEUED_FRAMES = 64
_REFUSED_KEY_CODES = frozenset({401, 403})


class MassiveTimes(Struct, frozen=True, kw_only=True):
    """How long, in seconds, to wait for the provider: to open, greet and authenticate; to acknowledge; to close."""

    open_s: float = 10.0
    handshake_s: float = 10.0
    acknowledge_s: float = 10.0
    close_s: float = 2.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    backoff: BackoffTimes = BackoffTimes()


class MassiveFeedConnection:
    """A feed's connection (see :class:`scanplane.feeds.interface.FeedConnection`).

    *endpoint* is complete (``wss://socket.massive.com/stocks``); *api_key* is kept out of every log and error;
    *jitter* returns numbers from 0 to 1.
    """

    def __init__(
        self,
        endpoint: str,
        api_key: str,
        topics: Sequence[str],
        *,
        times: MassiveTimes | None = None,
        decoder: FrameDecoder | None = None,
        jitter: Callable[[], float] = random.random,
        throttle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._throttle = throttle
        self._name = _public_name(endpoint)
        self._api_key = api_key
        self._topics = tuple(topics)
        self._times = times or MassiveTimes()
        self._decoder = decoder or MassiveDecoder()
        self._backoff = Backoff(self._times.backoff, jitter)
        self._session: MassiveSession | None = None
        self._phase = ConnectionPhase.DISCONNECTED
        self._connects = 0
        self._disconnects = 0
        self._frames = 0
        self._bytes = 0
        self._authentication_failures = 0
        self._connection_limit_refusals = 0
        self._last_error = ""
        self._retry_at: float | None = None

    @property
    def decoder(self) -> FrameDecoder:
        """What understands this connection's frames."""
        return self._decoder

    @property
    def counts(self) -> ConnectionCounts:
        """Totals and the present state."""
        session = self._session
        return ConnectionCounts(
            phase=session.phase if session is not None else self._phase,
            connects=self._connects,
            disconnects=self._disconnects,
            frames=self._frames,
            bytes=self._bytes,
            authentication_failures=self._authentication_failures,
            connection_limit_refusals=self._connection_limit_refusals,
            unacknowledged=session.unacknowledged if session is not None else (),
            last_error=(session.notice if session is not None else "") or self._last_error,
            retry_in_s=None if self._retry_at is None else max(0.0, self._retry_at - time.monotonic()),
        )

    async def run(self, sink: FrameSink) -> None:
        """Connect, subscribe and hand over frames for ever; cancelling it closes the connection before it returns."""
        try:
            while True:
                await self._wait_after(*await self._connect_once(sink))
        finally:
            self._phase = ConnectionPhase.DISCONNECTED
            self._retry_at = None

    async def _connect_once(self, sink: FrameSink) -> tuple[Failure, float]:
        """Hold one connection until it fails; return why, and how many seconds it lived."""
        self._phase = ConnectionPhase.CONNECTING
        try:
            socket = await self._open()
        except (OSError, WebSocketException, ValueError) as error:
            return self._failure_to_open(error), 0.0
        born = time.monotonic()
        self._connects += 1
        self._session = session = MassiveSession(self._api_key, self._topics)
        try:
            failure = await self._converse(socket, session, sink)
        except ConnectionClosed as closed:
            said = f"; {session.notice}" if session.notice else ""
            failure = Failure(FailureKind.LOST, f"connection lost: {one_line(str(closed), self._api_key)}{said}")
        finally:
            self._phase = ConnectionPhase.DISCONNECTED
            self._session = None
            await self._close(socket, sink)
            self._disconnects += 1
        return failure, time.monotonic() - born

    async def _open(self) -> ClientConnection:
        opening = connect(
            self._endpoint,
            compression=None,
            max_size=MAX_FRAME_BYTES,
            max_queue=_MAX_QUEUED_FRAMES,
            open_timeout=self._times.open_s,
            close_timeout=self._times.close_s,
            ping_interval=self._times.ping_interval_s,
            ping_timeout=self._times.ping_timeout_s,
            user_agent_header=f"scanplane/{__version__}",
            proxy=True if self._endpoint.startswith("wss:") else None,
            logger=_LIBRARY_LOGGER,
        )
        asked = opening.ws_uri
        socket = await opening
        met = opening.ws_uri
        if (met.secure, met.host, met.port) != (asked.secure, asked.host, asked.port):
            socket.transport.abort()
            await socket.wait_closed()
            raise OSError(
                f"redirected to {met.host}:{met.port}, which is not given the API key; set it as the endpoint"
            )
        return socket

    def _failure_to_open(self, error: Exception) -> Failure:
        refused = isinstance(error, InvalidStatus) and error.response.status_code in _REFUSED_KEY_CODES
        detail = one_line(str(error), self._api_key) or type(error).__name__
        return Failure(
            FailureKind.AUTHENTICATION if refused else FailureKind.LOST, f"cannot connect to {self._name}: {detail}"
        )

    async def _converse(self, socket: ClientConnection, session: MassiveSession, sink: FrameSink) -> Failure:
        """Speak the protocol and hand over data until the session fails. Raises ConnectionClosed."""
        try:
            async with asyncio.timeout(self._times.handshake_s):
                while session.phase in {ConnectionPhase.CONNECTING, ConnectionPhase.AUTHENTICATING}:
                    if (failure := await self._receive(socket, session, sink)) is not None:
                        return failure
        except TimeoutError:
            if (failure := session.expire().failure) is not None:
                return failure
        _LOGGER.info("connected to %s, asked for %d topics", self._name, len(self._topics))
        waiting = asyncio.get_running_loop().call_later(self._times.acknowledge_s, self._stop_waiting, session)
        try:
            while True:
                if (failure := await self._receive(socket, session, sink)) is not None:
                    return failure
                if self._throttle is not None:
                    await self._throttle()
        finally:
            waiting.cancel()

    async def _receive(self, socket: ClientConnection, session: MassiveSession, sink: FrameSink) -> Failure | None:
        frame = await socket.recv(decode=False)
        received_ns = time.time_ns()
        if _STATUS in frame:
            statuses, mixed = statuses_in(frame)
            step: Step = session.receive(statuses)
            with contextlib.suppress(ConnectionClosed):  # why it is closed may stand in the frames that are read next
                for text in step.send:
                    await socket.send(text)
            if mixed:
                self._hand_over(frame, received_ns, sink)
            return step.failure
        self._hand_over(frame, received_ns, sink)
        return None

    def _hand_over(self, frame: bytes, received_ns: int, sink: FrameSink) -> None:
        self._frames += 1
        self._bytes += len(frame)
        sink(frame, received_ns)

    def _stop_waiting(self, session: MassiveSession) -> None:
        session.expire()
        if session.unacknowledged:
            _LOGGER.warning(
                "%s did not acknowledge %d of %d topics: %s",
                self._name,
                len(session.unacknowledged),
                len(self._topics),
                one_line(", ".join(session.unacknowledged), self._api_key),
            )

    async def _close(self, socket: ClientConnection, sink: FrameSink) -> None:
        """Close the socket within the bound that it was opened with, handing over what still comes."""
        reading = asyncio.create_task(self._read_to_the_end(socket, sink))
        try:
            await socket.close()
        finally:
            socket.transport.abort()
            reading.cancel()
            await asyncio.wait((reading,))
            await socket.wait_closed()
        if not reading.cancelled():
            reading.result()

    async def _read_to_the_end(self, socket: ClientConnection, sink: FrameSink) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await socket.recv(decode=False)
                received_ns = time.time_ns()
                if _STATUS not in frame or statuses_in(frame)[1]:
                    self._hand_over(frame, received_ns, sink)

    async def _wait_after(self, failure: Failure, lived_s: float) -> None:
        self._last_error = failure.detail
        self._authentication_failures += failure.kind is FailureKind.AUTHENTICATION
        self._connection_limit_refusals += failure.kind is FailureKind.CONNECTION_LIMIT
        wait_s = self._backoff.wait_after(failure.kind, lived_s)
        _LOGGER.warning("%s after %.1f s; next attempt in %.1f s", failure.detail, lived_s, wait_s)
        self._phase = ConnectionPhase.BACKING_OFF
        self._retry_at = time.monotonic() + wait_s
        await asyncio.sleep(wait_s)
        self._retry_at = None


def _public_name(endpoint: str) -> str:
    """Return *endpoint* without what may be secret in a URL: user, password and query."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
