"""The simulated provider: one port for its WebSocket paths, its REST answers and the simulator's own status.

async with Simulator(session, SimulatorSettings(speed=60)) as simulator:
    ... connect to simulator.url + "/stocks" ...
    await simulator.finished.wait()
"""

import asyncio
import errno
from contextlib import AsyncExitStack
from http import HTTPStatus
from types import TracebackType
from typing import Self

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from scanplane.simulator import rest
from scanplane.simulator.accounting import ConnectionBook
from scanplane.simulator.audience import Audience
from scanplane.simulator.client import Client
from scanplane.simulator.conversation import Conversation
from scanplane.simulator.player import Player
from scanplane.simulator.rest import Answer, SimulatorStatus
from scanplane.simulator.sessions.interface import Session, SessionFileError
from scanplane.simulator.settings import SimulatorSettings
from scanplane.simulator.topics import PATHS

__all__ = ["ListenError", "Simulator"]

_CLOSE_TIMEOUT_S = 2.0
_LOG_ENTRIES = 100
_STATUS_PATH = "/simulator/status"
_CUT_PATH = "/simulator/cut"
_SNAPSHOT_PATH = "/v2/snapshot/locale/us/markets/stocks/tickers"
_MARKET_STATUS_PATH = "/v1/marketstatus/now"


class ListenError(Exception):
    """The simulator can't listen where it was told to; the text says why and what to do."""


class Simulator:
    """A provider that plays one session. Enter it to listen; leaving it closes every connection."""

    def __init__(self, session: Session, settings: SimulatorSettings | None = None) -> None:
        self._session = session
        self._settings = settings or SimulatorSettings()
        self._audience = Audience(self._settings.settle_s)
        self.connections = ConnectionBook()
        self.player = Player(session, self._settings, self._audience, self.connections)
        self.failure: SessionFileError | None = None
        self.ended = asyncio.Event()
        self._stack = AsyncExitStack()
        self._playing: asyncio.Task[None] | None = None
        self._port = 0
        self._snapshot: bytes | None = None

    @property
    def url(self) -> str:
        """The WebSocket URL, without an asset class's path."""
        return f"ws://{self._authority}"

    @property
    def rest_url(self) -> str:
        """The URL of the REST answers and of the simulator's status."""
        return f"http://{self._authority}"

    @property
    def _authority(self) -> str:
        host = self._settings.host
        return f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"

    @property
    def port(self) -> int:
        """The real port."""
        return self._port

    @property
    def started(self) -> asyncio.Event:
        """Set once the session's clock runs."""
        return self.player.started

    @property
    def finished(self) -> asyncio.Event:
        """Set once the last event was written and, as far as clients still listen, has arrived."""
        return self.player.finished

    @property
    def events(self) -> int:
        """Events taken from the session so far."""
        return self.player.events

    def cut(self, *, abrupt: bool = True) -> None:
        """Cut every connection now: by a TCP reset, or properly with 1001."""
        self.player.cut(abrupt=abrupt)

    def status(self) -> SimulatorStatus:
        """What the status path says."""
        player = self.player
        return SimulatorStatus(
            session=self._session.name,
            started=player.started.is_set(),
            finished=player.finished.is_set(),
            holding=player.holding,
            position_ns=player.clock.now_ns,
            events=player.events,
            unheard=player.unheard,
            hostile_frames=player.hostile.sent,
            connections=self.connections.totals(),
            log=list(self.connections.entries)[-_LOG_ENTRIES:],
        )

    async def __aenter__(self) -> Self:
        try:
            server: Server = await self._stack.enter_async_context(
                serve(
                    self._serve,
                    self._settings.host,
                    self._settings.port,
                    process_request=self._process_request,
                    compression=None,
                    ping_interval=None,
                    close_timeout=_CLOSE_TIMEOUT_S,
                    server_header=None,
                )
            )
        except OSError as error:
            raise ListenError(_explain(error, self._settings)) from None
        self._port = next(iter(server.sockets)).getsockname()[1]
        self._playing = asyncio.create_task(self._play(), name="session")
        self._stack.push_async_callback(self._stop_playing)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _play(self) -> None:
        try:
            await self.player.run()
        except SessionFileError as error:
            self.failure = error
        finally:
            self.ended.set()

    async def _stop_playing(self) -> None:
        assert self._playing is not None
        self._playing.cancel()
        await asyncio.wait([self._playing])
        if not self._playing.cancelled():
            self._playing.result()

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path, _ = rest.split_path(connection.request.path)
        client = Client(connection, self.connections.opened(path), PATHS[path])
        self._audience.enter(client)
        try:
            async with asyncio.TaskGroup() as tasks:
                seeing_off = tasks.create_task(client.see_off())
                await Conversation(client, self._audience, self.connections, self._settings).run()
                await connection.close()
                seeing_off.cancel()
        finally:
            self._audience.leave(client)
            self.connections.closed(client.entry, connection.close_code)

    def _process_request(self, _connection: ServerConnection, request: Request) -> Response | None:
        path, query = rest.split_path(request.path)
        if path in PATHS and request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        answer = self._answer(path, query, request.headers.get("Authorization"))
        headers = Headers(
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(answer.body))),
                ("Connection", "close"),
            ]
        )
        return Response(answer.status.value, answer.status.phrase, headers, answer.body)

    def _answer(self, path: str, query: dict[str, str], authorization: str | None) -> Answer:
        if path == _STATUS_PATH:
            return Answer(HTTPStatus.OK, msgspec.json.encode(self.status()))
        if path == _CUT_PATH:
            self.cut(abrupt=query.get("abrupt", "true") == "true")
            return Answer(HTTPStatus.OK, b'{"status":"OK"}')
        if path not in {_SNAPSHOT_PATH, _MARKET_STATUS_PATH}:
            return Answer(HTTPStatus.NOT_FOUND, b'{"status":"NOT_FOUND"}')
        if not rest.permitted(self._settings.api_key, query, authorization):
            return Answer(HTTPStatus.UNAUTHORIZED, b'{"status":"ERROR","error":"Unknown API Key"}')
        if path == _MARKET_STATUS_PATH:
            return Answer(HTTPStatus.OK, rest.market_status(self.player.clock.now_ns))
        if self._snapshot is None:
            self._snapshot = rest.snapshot(self._session.reference(), self._session.start_ns)
        return Answer(HTTPStatus.OK, self._snapshot)


def _explain(error: OSError, settings: SimulatorSettings) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} on {settings.host} is in use; choose another, or 0 for a free one"
    reason = (error.strerror or "input/output error").lower()
    return f"can't listen on {settings.host}:{settings.port}: {reason}; choose another --host or --port"
