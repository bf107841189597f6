"""One port for everything: uvicorn for HTTP, and the stream's own protocol for what is upgraded to WebSocket."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from scanplane.gateway.stream import Stream
from scanplane.telemetry.listening import bind

__all__ = ["GatewayServer", "open_listener"]

_BACKLOG = 1024
_SILENT_SECONDS = 30
_GRACE_SECONDS = 4
_MORE_THAN_STREAMS = 512


class _Http(H11Protocol):
    """HTTP that hangs up on a connection that never says anything, as it does on one that was kept alive too long."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process that it is a guest of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens on *host* and *port* (0 takes a free one). Raises ListenError."""
    return bind(host, port, option="spec.gateway.port of the DataPlane", backlog=_BACKLOG)


class GatewayServer:
    """Serves *application* and *stream* on *listener*."""

    def __init__(self, listener: socket.socket, application: Starlette, stream: Stream) -> None:
        self._listener = listener
        self._stream = stream
        configuration = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="off",
            http=_Http,
            ws=cast("Any", stream.protocol),  # a class to uvicorn, which only calls it
            backlog=_BACKLOG,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=stream.max_clients + _MORE_THAN_STREAMS,
            timeout_keep_alive=_SILENT_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = _Server(configuration)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listener.getsockname()[1])

    async def run(self) -> None:
        """Serve until :meth:`stop`; then close streams with 1001, finish requests, and cut what is left."""
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            self._stream.close()
            self._stream.abort()
            self._listener.close()

    def stop(self) -> None:
        """Let :meth:`run` come to its end."""
        self._server.should_exit = True
