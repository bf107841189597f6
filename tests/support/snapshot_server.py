"""The provider's snapshot of all tickers, on a small HTTP server on loopback."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from scanplane.reference.provider import SNAPSHOT_PATH

__all__ = ["Answer", "a_snapshot", "serving"]

Answer = Callable[[web.Request, int], web.StreamResponse]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """Serve *answer*, which is told how many requests came before; yield the endpoint and the requests."""
    requests: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        return answer(request, len(requests) - 1)

    application = web.Application()
    application.router.add_get(SNAPSHOT_PATH, handle)
    server = TestServer(application, host="127.0.0.1")
    async with server:
        yield str(server.make_url("/")), requests


def a_snapshot(updated_ns: int, **closes: float) -> dict[str, object]:
    """Return what the provider answers on a day with an update at *updated_ns*, of symbols with these previous closes."""
    tickers = [
        {"ticker": symbol, "prevDay": {"c": close, "v": 1000}, "updated": updated_ns}
        for symbol, close in closes.items()
    ]
    return {"status": "OK", "tickers": tickers}
