"""A proxy in front of the API server that knows reads from writes, and ends a process after the n-th write.

The write has been done when the process ends, and its answer is never read: the worst moment. The proxy speaks HTTP
to the operator and HTTPS to the server, in a thread of its own.
"""

import asyncio
import contextlib
import os
import signal
import threading
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from support.servers import free_port

__all__ = ["WriteProxy"]

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NOT_PASSED_ON = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})


class WriteProxy:
    """``with`` runs it; ``url`` is where it listens."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._port = free_port()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="write proxy", daemon=True)
        self._victim: int | None = None
        self._namespace = ""
        self._left = 0
        self.last = ""
        """The write after which a process was ended."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def kill_after(self, pid: int, namespace: str, writes: int) -> None:
        """End the process *pid* by force once it has made so many writes to *namespace* from now on."""
        self._victim, self._namespace, self._left, self.last = pid, f"/namespaces/{namespace}/", writes, ""

    def disarm(self) -> None:
        """Let everything pass."""
        self._victim = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the proxy does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None, "it has started"
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        connector = aiohttp.TCPConnector(ssl=False, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            self._ready.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON}
        headers["Accept-Encoding"] = "identity"
        body = await request.read()
        url = f"{self._target}{request.rel_url}"
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, timeout=timeout
        ) as answer:
            response = web.StreamResponse(status=answer.status)
            response.content_type = answer.content_type
            if request.method in _WRITES and self._is_last(request):
                await answer.read()
                return response  # nobody is there to read it
            with contextlib.suppress(ConnectionResetError, aiohttp.ClientError):
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            return response

    def _is_last(self, request: web.Request) -> bool:
        """Count a write, and end the process if it was the one."""
        if self._victim is None or self._namespace not in request.path:
            return False
        self._left -= 1
        if self._left > 0:
            return False
        self.last = f"{request.method} {request.path.partition(self._namespace)[2]}"
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._victim, signal.SIGKILL)
        self._victim = None
        return True
