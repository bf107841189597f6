"""The sockets of ``/v1/stream``: bytes in, frames out, and nobody waits for anybody.

The HTTP server hands an upgrade over to :class:`StreamConnection`, which drives the WebSocket state machine of ``websockets`` and
writes finished frames to the transport. That is twice as many deliveries a second as sending through ASGI, where each client's
frame is built anew and awaited; here the frame exists once, and a client whose socket is full is left alone until it drains.
Compression is off: it would cost some 70 KiB per client and undo the shared frame.
"""

import asyncio
import contextlib
import logging
import socket
import time
from http import HTTPStatus
from typing import Protocol, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from scanplane.gateway.hub import Hub
from scanplane.gateway.protocol import MAX_MESSAGE_BYTES, CloseReason
from scanplane.gateway.session import Session, SessionRules
from scanplane.gateway.tokens import SUBPROTOCOL, bearer_of_header, bearer_of_subprotocols

__all__ = ["STREAM_PATH", "Stream", "StreamConnection", "StreamCounts"]

STREAM_PATH = "/v1/stream"

_LOG = logging.getLogger(__name__)
_HANDSHAKES = _LOG.getChild("websocket")
_HANDSHAKES.setLevel(logging.WARNING)  # at lower levels it logs headers, and tokens with them
_WRITE_BYTES = 65_536
_SEND_BUFFER_BYTES = 262_144
_FLUSH_CLIENTS = 128
_PING_SECONDS = 20.0
_AUTH_SECONDS = 5.0
_CLOSE_SECONDS = 3.0


class StreamCounts(Struct, kw_only=True):
    """Totals over all clients."""

    accepted: int = 0
    refused_full: int = 0
    refused_unauthorized: int = 0
    refused_other: int = 0
    messages_received: int = 0
    deliveries: int = 0
    delivered_bytes: int = 0
    conflated: int = 0
    dropped_slow: int = 0
    dropped_silent: int = 0
    dropped_unauthorized: int = 0
    dropped_policy: int = 0


class _ServerState(Protocol):
    """What this needs of uvicorn's state: the set of connections that it shuts down at its end."""

    connections: set[object]


class Stream:
    """All stream clients of one gateway."""

    def __init__(self, hub: Hub, rules: SessionRules, max_clients: int) -> None:
        self.hub = hub
        self.rules = rules
        self.max_clients = max_clients
        self.counts = StreamCounts()
        self.connections: set[StreamConnection] = set()
        self._dirty: list[StreamConnection] = []
        self._flush_handle: asyncio.Handle | None = None

    def protocol(self, config: object, server_state: _ServerState, app_state: object) -> "StreamConnection":
        """Make the protocol of one upgraded connection: what uvicorn calls its ``ws`` class."""
        del config, app_state
        return StreamConnection(self, server_state)

    def wake(self, connection: "StreamConnection") -> None:
        """Write to *connection* soon, together with all others that wait."""
        self._dirty.append(connection)
        if self._flush_handle is None:
            self._flush_handle = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Write to the clients that wait, some at a time, so that reading and evaluating go on in between."""
        batch, self._dirty = self._dirty[:_FLUSH_CLIENTS], self._dirty[_FLUSH_CLIENTS:]
        self._flush_handle = asyncio.get_running_loop().call_soon(self._flush) if self._dirty else None
        for connection in batch:
            connection.write_waiting()

    def clients_by_name(self) -> dict[str, int]:
        """Return how many connections each client has; the empty name are those without a token."""
        names: dict[str, int] = {}
        for connection in self.connections:
            name = connection.session.client
            if name is not None:
                names[name] = names.get(name, 0) + 1
        return names

    def tell_lag(self) -> None:
        """Tell every client that the gateway lost its cache, or has it again."""
        for connection in list(self.connections):
            if connection.session.authenticated:
                connection.session.tell_lag()

    async def keep_house(self) -> None:
        """Ping, time out and abort, once a second, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.each_second(now)

    def close(self) -> None:
        """Close every client with 1001."""
        for connection in list(self.connections):
            connection.shutdown()

    def abort(self) -> None:
        """Cut whoever is still there."""
        for connection in list(self.connections):
            connection.abort()


class StreamConnection(asyncio.Protocol):
    """One client's socket after its upgrade request."""

    def __init__(self, stream: Stream, server_state: _ServerState) -> None:
        self._stream = stream
        self._server_state = server_state
        self._protocol = ServerProtocol(subprotocols=None, max_size=MAX_MESSAGE_BYTES, logger=_HANDSHAKES)
        self.session = Session(stream.hub, stream.rules, wake=self._wake, end=self.end)
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._waking = False
        self._fragments: list[bytes] = []
        self._opened = time.monotonic()
        self._pinged: float | None = None
        self._heard = self._opened
        self._abort_at: float | None = None
        self._peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the connection from the HTTP server."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BYTES)
        self._server_state.connections.add(self)
        raw_socket = transport.get_extra_info("socket")
        if raw_socket is not None:
            # A small kernel buffer lets a slow client have the newest versions instead of a queue of old ones.
            with contextlib.suppress(OSError):
                raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""

    def data_received(self, data: bytes) -> None:
        """Feed the state machine and act on what it makes of the bytes."""
        self._heard = time.monotonic()
        self._protocol.receive_data(data)
        self._handle_events()
        self._send_protocol_data()

    @property
    def paused(self) -> bool:
        """Whether the client reads more slowly than it is sent."""
        return self._paused

    @property
    def buffered_bytes(self) -> int:
        """How many bytes were written for this client and are not with the kernel yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def eof_received(self) -> bool:
        """Let the state machine know that the client sends no more."""
        self._protocol.receive_eof()
        self._send_protocol_data()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        del exc
        self._stream.counts.conflated += self.session.outbox.conflated
        self.session.close()
        self._stream.connections.discard(self)
        self._server_state.connections.discard(self)
        _LOG.debug("client left", extra={"client": self.session.client or "", "peer": self._peer})

    def pause_writing(self) -> None:
        """The client reads more slowly than it is sent: keep what is due in the outbox."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client has caught up with what was written."""
        self._paused = False
        self.write_waiting()

    def shutdown(self) -> None:
        """Say good-bye: the gateway is stopping."""
        self.end(*CloseReason.GOING_AWAY)

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _handle_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._shake_hands(event)
            elif isinstance(event, Frame):
                self._receive_frame(event)

    def _shake_hands(self, request: Request) -> None:
        offered = _offered_subprotocols(request)
        token = bearer_of_header(request.headers.get("Authorization")) or bearer_of_subprotocols(offered)
        refusal = self._refusal(request, token)
        response = self._json_response(*refusal) if refusal else self._accept(request, offered)
        self._protocol.send_response(response)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._abort_at = time.monotonic() + _CLOSE_SECONDS
            return
        self._send_protocol_data()
        self._stream.connections.add(self)
        self._stream.counts.accepted += 1
        self.session.open(token)
        _LOG.debug("client came", extra={"client": self.session.client or "", "peer": self._peer})

    def _accept(self, request: Request, offered: list[str]) -> Response:
        response = self._protocol.accept(request)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS and SUBPROTOCOL in offered:
            response.headers["Sec-WebSocket-Protocol"] = SUBPROTOCOL
        return response

    def _refusal(self, request: Request, token: str | None) -> tuple[HTTPStatus, str] | None:
        """Return status and one-line text where the upgrade is refused."""
        counts, tokens = self._stream.counts, self._stream.rules.tokens
        if urlsplit(request.path).path != STREAM_PATH:
            counts.refused_other += 1
            return HTTPStatus.NOT_FOUND, f"the stream is at {STREAM_PATH}"
        if token is not None and tokens.name_of(token) is None:
            counts.refused_unauthorized += 1
            return HTTPStatus.UNAUTHORIZED, "the token is not known"
        if not tokens.required and not _same_origin(request):
            counts.refused_other += 1
            return HTTPStatus.FORBIDDEN, "a page of another origin may read only where tokens are asked for"
        if len(self._stream.connections) >= self._stream.max_clients:
            counts.refused_full += 1
            return HTTPStatus.SERVICE_UNAVAILABLE, f"all {self._stream.max_clients} places are taken; try again later"
        return None

    def _json_response(self, status: HTTPStatus, text: str) -> Response:
        response = self._protocol.reject(status, "")
        response.body = msgspec.json.encode({"error": text}) + b"\n"
        for name in ("Content-Type", "Content-Length"):
            del response.headers[name]
        response.headers["Content-Type"] = "application/json"
        response.headers["Content-Length"] = str(len(response.body))
        if status is HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Bearer realm="scanplane"'
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = "5"
        return response

    def _receive_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            self.end(*CloseReason.UNSUPPORTED)
        elif frame.opcode in {Opcode.TEXT, Opcode.CONT}:
            self._fragments.append(bytes(frame.data))
            if frame.fin and self._protocol.state is State.OPEN:
                text = b"".join(self._fragments)
                self._fragments.clear()
                self._stream.counts.messages_received += 1
                self.session.receive(text)

    def _send_protocol_data(self) -> None:
        """Send what the state machine wants sent: handshakes, pongs, closes."""
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
        if self._abort_at is None and self._protocol.state is not State.OPEN and self._protocol.close_expected():
            self._abort_at = time.monotonic() + _CLOSE_SECONDS

    def _wake(self) -> None:
        if not (self._waking or self._paused):
            self._waking = True
            self._stream.wake(self)

    def write_waiting(self) -> None:
        """Write one bounded piece of what waits; more follows when the loop has been round. Nothing may follow a Close."""
        self._waking = False
        assert self._transport is not None
        outbox = self.session.outbox
        if self._paused or not outbox or self._transport.is_closing() or self._protocol.state is not State.OPEN:
            return
        frames = outbox.take(_WRITE_BYTES)
        piece = frames[0] if len(frames) == 1 else b"".join(frames)
        counts = self._stream.counts
        counts.deliveries += len(frames)
        counts.delivered_bytes += len(piece)
        self._transport.write(piece)
        if outbox:
            self._wake()

    def end(self, code: int, reason: str) -> None:
        """Close with *code*; whoever does not answer is cut off a few seconds later."""
        if self._abort_at is not None:
            return
        self._abort_at = time.monotonic() + _CLOSE_SECONDS
        self._count_end(code)
        self._write_last_words(code)
        self.session.close()
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._send_protocol_data()
        else:
            self.abort()

    def _write_last_words(self, code: int) -> None:
        """Let a client that is told good-bye have what it was told before; a slow one has too much already."""
        if code == CloseReason.TOO_SLOW[0] or self._transport is None or self._paused:
            return
        for frame in self.session.outbox.take(_WRITE_BYTES):
            self._transport.write(frame)

    def _count_end(self, code: int) -> None:
        counts = self._stream.counts
        extra = {"client": self.session.client or "", "peer": self._peer, "code": code}
        if code == CloseReason.TOO_SLOW[0]:
            counts.dropped_slow += 1
            _LOG.warning("client is too slow and is disconnected", extra=extra)
        elif code == CloseReason.SILENT[0]:
            counts.dropped_silent += 1
            _LOG.info("client does not answer and is disconnected", extra=extra)
        elif code == CloseReason.UNAUTHORIZED[0]:
            counts.dropped_unauthorized += 1
            _LOG.info("client gave no known token and is disconnected", extra=extra)
        elif code != CloseReason.GOING_AWAY[0]:
            counts.dropped_policy += 1
            _LOG.info("client broke the rules and is disconnected", extra=extra)

    def each_second(self, now: float) -> None:
        """Ping, time out and abort."""
        if self._abort_at is not None:
            if now >= self._abort_at:
                self.abort()
            return
        if not self.session.authenticated:
            if now - self._opened > _AUTH_SECONDS:
                self.end(*CloseReason.NO_TOKEN)
            return
        self.session.each_second()
        if self._heard > (self._pinged or now):
            self._pinged = None
        if self._pinged is not None and now - self._pinged > _PING_SECONDS:
            self.end(*CloseReason.SILENT)
        elif self._pinged is None and now - self._heard > _PING_SECONDS:
            self._pinged = now
            self._protocol.send_ping(b"")
            self._send_protocol_data()


def _offered_subprotocols(request: Request) -> list[str]:
    values = request.headers.get_all("Sec-WebSocket-Protocol")
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _same_origin(request: Request) -> bool:
    """Return whether the request comes from a page of this gateway, or from no page at all."""
    origins = request.headers.get_all("Origin")
    hosts = request.headers.get_all("Host")
    return not origins or (len(origins) == len(hosts) == 1 and urlsplit(origins[0]).netloc.lower() == hosts[0].lower())
