"""The small HTTP server of every role process: ``/metrics``, ``/healthz``, ``/readyz``, ``/status``.

``/healthz`` answers whether the process should live: its event loop turns and every loop that its role promised
makes progress. ``/readyz`` answers whether it can take over. Both say why not in JSON, since the first thing that a
person does with a failing probe is to curl it. Neither asks the broker or cache: an outage there must not make
Kubernetes restart what only has to wait.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import msgspec
import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["Check", "Probes", "StatusServer", "serve_probes"]


class Check(Struct, frozen=True):
    """One thing that was looked at; ``why`` says in one line what was seen."""

    name: str
    ok: bool
    why: str


class _Verdict(Struct, frozen=True):
    ok: bool
    checks: Sequence[Check]


class Probes(Struct, frozen=True, kw_only=True):
    """Where the answers come from.

    All are called on the event loop but *metrics_text*, which runs in a thread after *sample* was called on the loop.
    ``status`` returns JSON.
    """

    live: Callable[[], Sequence[Check]]
    ready: Callable[[], Sequence[Check]]
    status: Callable[[], bytes]
    sample: Callable[[], object]
    metrics_text: Callable[[], bytes]


class StatusServer(Struct, frozen=True):
    """A server that listens."""

    host: str
    port: int


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process that it is a guest of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _verdict(checks: Sequence[Check]) -> Response:
    ok = all(check.ok for check in checks)
    body = msgspec.json.encode(_Verdict(ok, checks))
    return Response(body, status_code=200 if ok else 503, media_type="application/json")


def _application(probes: Probes) -> Starlette:
    async def live(_: Request) -> Response:
        return _verdict(probes.live())

    async def ready(_: Request) -> Response:
        return _verdict(probes.ready())

    async def status(_: Request) -> Response:
        return Response(probes.status(), media_type="application/json")

    async def metrics(_: Request) -> Response:
        probes.sample()
        text = await asyncio.to_thread(probes.metrics_text)
        return Response(text, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    return Starlette(
        routes=[
            Route("/healthz", live),
            Route("/readyz", ready),
            Route("/status", status),
            Route("/metrics", metrics),
        ]
    )


@asynccontextmanager
async def serve_probes(listener: socket.socket, probes: Probes) -> AsyncIterator[StatusServer]:
    """Serve *probes* on a socket from :func:`bind` within the context; closing takes at most about a second."""
    configuration = uvicorn.Config(
        _application(probes),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        limit_concurrency=64,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=1,
    )
    server = _Server(configuration)
    host, port = listener.getsockname()[:2]
    task = asyncio.create_task(server.serve(sockets=[listener]), name="status server")
    try:
        yield StatusServer(host, port)
    finally:
        server.should_exit = True
        await asyncio.wait([task], timeout=2)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
