"""The HTTP side: boards, quotes, signals and status as JSON or CSV, the page, the probes."""

import difflib
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scanplane.cache import keys
from scanplane.cache.interface import Cache, CacheUnavailableError
from scanplane.features.catalogue import CATALOGUE
from scanplane.gateway import answers
from scanplane.gateway.cursors import CursorError, encode_cursor, parse_since
from scanplane.gateway.endpoints import ENDPOINTS, MAX_SIGNALS, MAX_SYMBOLS, Endpoint
from scanplane.gateway.export import board_csv, file_name, quotes_csv, signals_csv
from scanplane.gateway.freshness import Freshness
from scanplane.gateway.hub import Hub
from scanplane.gateway.openapi import openapi_document
from scanplane.gateway.publishing import Publisher
from scanplane.gateway.quotes import read_quotes
from scanplane.gateway.signal_pages import SignalPage, read_signal_page
from scanplane.gateway.tokens import Tokens, bearer_of_header
from scanplane.gateway.topics import board_topic
from scanplane.gateway.view import View
from scanplane.marketdata.results import QuoteRow, Signal
from scanplane.telemetry.status import RoleStatus

__all__ = ["Api", "ApiCounts", "ApiSources"]

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_COMMON_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_DEFAULT_SIGNALS = 100
_ENCODER = msgspec.json.Encoder()

MetricsText = Callable[[], Awaitable[bytes]]


class ApiCounts(Struct, kw_only=True):
    """Totals of HTTP requests."""

    requests: int = 0
    unauthorized: int = 0
    errors: int = 0


class ApiSources(Struct, frozen=True, kw_only=True):
    """Where the answers come from. ``metrics`` is the home's, None where the process has a status port."""

    view: View
    hub: Hub
    publisher: Publisher
    cache: Cache
    namespace: str
    tokens: Tokens
    status: Callable[[], RoleStatus]
    is_ready: Callable[[], bool]
    clients: Callable[[], dict[str, int]]
    metrics: MetricsText | None


def _json(answer: Struct | Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = _ENCODER.encode(answer) + b"\n"
    return Response(body, status, {**_COMMON_HEADERS, **(headers or {})}, "application/json")


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return _json(answers.ErrorAnswer(text), status, headers)


def _freshness_headers(freshness: Freshness | None) -> dict[str, str]:
    """Return what JSON says in its body, as headers for CSV."""
    if freshness is None:
        return {}
    return {
        "X-Scanplane-Tick": freshness.tick_time,
        "X-Scanplane-Delay": freshness.delay.encode("ascii", "replace").decode(),
        "X-Scanplane-Stale": "true" if freshness.stale else "false",
        "X-Scanplane-Lag-Milliseconds": "" if freshness.lag_milliseconds is None else f"{freshness.lag_milliseconds}",
    }


def _csv(text: str, name: str, freshness: Freshness | None = None) -> Response:
    headers = {
        **_COMMON_HEADERS,
        **_freshness_headers(freshness),
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return Response(text, 200, headers, "text/csv")


def _wants_csv(request: Request) -> bool:
    """Return whether CSV is asked for: by ``format``, else by what the Accept header prefers."""
    wanted = request.query_params.get("format")
    if wanted is None:
        accepted = [kind.partition(";")[0].strip() for kind in request.headers.get("accept", "").split(",")]
        return "text/csv" in accepted and "application/json" not in accepted
    if wanted not in {"json", "csv"}:
        raise HTTPException(400, f"format is {wanted!r}; write json or csv")
    return wanted == "csv"


class Api:
    """The endpoints; :attr:`application` is what a server serves."""

    def __init__(self, sources: ApiSources) -> None:
        self.counts = ApiCounts()
        self._sources = sources
        self._openapi = _ENCODER.encode(openapi_document())
        routes = [Route(_route_path(endpoint), self._guarded(endpoint), methods=["GET"]) for endpoint in ENDPOINTS]
        self.application = Starlette(
            routes=routes,
            exception_handlers={
                HTTPException: self._refuse,
                CacheUnavailableError: self._cache_lost,
                Exception: self._fail,
            },
        )

    def _guarded(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        handler: Callable[[Request], Awaitable[Response]] = getattr(self, endpoint.handler)

        async def answer(request: Request) -> Response:
            self.counts.requests += 1
            if not endpoint.public:
                self._authorize(request)
            return await handler(request)

        return answer

    def _authorize(self, request: Request) -> None:
        token = bearer_of_header(request.headers.get("authorization"))
        if self._sources.tokens.name_of(token) is not None:
            return
        self.counts.unauthorized += 1
        text = (
            "the token is not known" if token else "a token is asked for; send the header Authorization: Bearer <token>"
        )
        raise HTTPException(401, text, {"WWW-Authenticate": 'Bearer realm="scanplane"'})

    async def _refuse(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        self.counts.errors += 1
        text = error.detail if error.detail != "Not Found" else "there is nothing here; see /v1/openapi.json"
        return _error(error.status_code, text, error.headers)

    async def _cache_lost(self, _: Request, error: Exception) -> Response:
        self.counts.errors += 1
        return _error(503, f"the cache is lost: {error}", {"Retry-After": "2"})

    async def _fail(self, _: Request, __: Exception) -> Response:
        self.counts.errors += 1
        return _error(500, "the gateway failed to answer; its log says why")

    async def boards(self, request: Request) -> Response:
        """Answer ``/v1/boards``."""
        market = request.query_params.get("market", "")
        view, publisher = self._sources.view, self._sources.publisher
        boards = (view.board(key) for key in view.board_keys() if market in ("", key[0]))
        summaries = [
            answers.BoardSummary(
                topic=board_topic(board.market, board.scanner),
                market=board.market,
                scanner=board.scanner,
                columns=board.columns,
                rows=len(board.rows),
                matches=board.matches,
                complete=board.complete,
                freshness=publisher.judge_board(board),
            )
            for board in boards
            if board is not None
        ]
        return _json(answers.BoardListAnswer(tuple(summaries), bool(publisher.problem), publisher.problem))

    async def board(self, request: Request) -> Response:
        """Answer ``/v1/boards/{market}/{scanner}``."""
        market, scanner = request.path_params["market"], request.path_params["scanner"]
        as_csv = _wants_csv(request)
        board = self._sources.view.board((market, scanner))
        if board is None:
            raise HTTPException(404, self._no_board(market, scanner))
        freshness = self._sources.publisher.judge_board(board)
        if as_csv:
            return _csv(board_csv(board, freshness), file_name(market, scanner, freshness.tick_time), freshness)
        topic = board_topic(market, scanner)
        known = self._sources.hub.topics.get(topic)
        return _json(answers.BoardAnswer(topic, known.sequence if known is not None else 0, freshness, board))

    def _no_board(self, market: str, scanner: str) -> str:
        if self._sources.publisher.problem:
            return f"there is no board {scanner!r} in market {market!r} yet: {self._sources.publisher.problem}"
        names = [board_topic(*key) for key in self._sources.view.board_keys()]
        close = difflib.get_close_matches(board_topic(market, scanner), names, n=1)
        meant = f"; did you mean /v1/{close[0]}?" if close else "; /v1/boards lists those that there are"
        return f"there is no board {scanner!r} in market {market!r}{meant}"

    async def quotes(self, request: Request) -> Response:
        """Answer ``/v1/quotes/{market}``."""
        market = request.path_params["market"]
        as_csv = _wants_csv(request)
        symbols = [each.strip() for each in request.query_params.get("symbols", "").split(",") if each.strip()]
        if not symbols or len(symbols) > MAX_SYMBOLS:
            raise HTTPException(400, f"name 1 to {MAX_SYMBOLS} symbols: /v1/quotes/{market}?symbols=AAPL,MSFT")
        rows = await read_quotes(self._sources.cache, self._sources.namespace, market, symbols)
        found = [row for row in rows if row is not None]
        unknown = tuple(symbol for symbol, row in zip(symbols, rows, strict=True) if row is None)
        if as_csv:
            newest = max(found, key=lambda row: row.tick_ns, default=None)
            freshness = None if newest is None else self._sources.publisher.judge_quote(newest)
            name = file_name(market, "quotes", freshness.tick_time if freshness else "")
            return _csv(quotes_csv(found), name, freshness)
        quotes = tuple(answers.QuoteAnswer(self._sources.publisher.judge_quote(row), row) for row in found)
        return _json(answers.QuoteListAnswer(quotes, unknown))

    async def quote(self, request: Request) -> Response:
        """Answer ``/v1/quotes/{market}/{symbol}``."""
        market, symbol = request.path_params["market"], request.path_params["symbol"]
        as_csv = _wants_csv(request)
        (row,) = await read_quotes(self._sources.cache, self._sources.namespace, market, [symbol])
        if row is None:
            raise HTTPException(404, f"market {market!r} knows nothing of {symbol!r}")
        freshness = self._sources.publisher.judge_quote(row)
        if as_csv:
            return _csv(quotes_csv([row]), file_name(market, symbol, freshness.tick_time), freshness)
        return _json(answers.QuoteAnswer(freshness, row))

    async def signals(self, request: Request) -> Response:
        """Answer ``/v1/signals``."""
        as_csv = _wants_csv(request)
        limit = _limit(request.query_params.get("limit"))
        market, scanner = request.query_params.get("market", ""), request.query_params.get("scanner", "")
        page = await self._signal_page(request.query_params.get("since", ""), market, scanner, limit)
        cursor = encode_cursor(page.positions)
        if as_csv:
            freshness = self._freshness_of_signals(page, market)
            response = _csv(signals_csv(page.signals), file_name(market, scanner, "signals"), freshness)
            response.headers["X-Scanplane-Next"] = cursor
            return response
        publisher = self._sources.publisher
        return _json(
            answers.SignalListAnswer(
                page.signals, cursor, page.more, self._markets(), bool(publisher.problem), publisher.problem
            )
        )

    def _freshness_of_signals(self, page: SignalPage, market: str) -> Freshness:
        """Return that of *market*, or of all: of a stale one before others, else of the newest.

        A market without boards is judged by its newest signal.
        """
        publisher = self._sources.publisher
        markets = [freshness for name, freshness in self._markets().items() if market in ("", name)]
        if markets:
            return max(markets, key=lambda each: (each.stale, each.tick_ns))
        newest = max(page.signals, key=lambda signal: signal.tick_ns, default=None)
        return publisher.judge_quote(QuoteRow(market, "", 0, {})) if newest is None else publisher.judge_signal(newest)

    async def _signal_page(self, since: str, market: str, scanner: str, limit: int) -> SignalPage:
        sources, view = self._sources, self._sources.view
        if not since:
            prefix = keys.signals_prefix(sources.namespace)
            positions = {stream.removeprefix(prefix): view.position(stream) for stream in view.streams()}
            newest = view.newest_signals(limit, market=market, scanner=scanner)
            return SignalPage(tuple(recent.signal for recent in newest), positions, more=False)

        def wanted(signal: Signal) -> bool:
            return market in ("", signal.market) and scanner in ("", signal.scanner)

        try:
            start = parse_since(since)
        except CursorError as error:
            raise HTTPException(400, f"since: {error}") from error
        return await read_signal_page(
            sources.cache, sources.namespace, start, wanted, limit=limit, newest_position=view.position
        )

    def _markets(self) -> dict[str, Freshness]:
        """Return how fresh each market is, by its newest evaluation."""
        view, publisher = self._sources.view, self._sources.publisher
        newest = {market: view.newest_part(market) for market in view.markets()}
        return {
            market: publisher.judge_quote(QuoteRow(market, "", part.tick_ns, {}))
            for market, part in newest.items()
            if part is not None
        }

    async def status(self, _: Request) -> Response:
        """Answer ``/v1/status``."""
        sources = self._sources
        boards = sources.view.board_keys()
        markets = tuple(
            answers.MarketSummary(market, sum(key[0] == market for key in boards), freshness)
            for market, freshness in self._markets().items()
        )
        problem = sources.publisher.problem
        return _json(
            answers.StatusAnswer(
                gateway=sources.status(),
                roles=dict(sorted(sources.view.statuses.items())),
                markets=markets,
                clients=sources.clients(),
                stale=bool(problem),
                stale_reason=problem,
            )
        )

    async def features(self, _: Request) -> Response:
        """Answer ``/v1/features``."""
        return _json(
            answers.FeatureListAnswer(
                tuple(
                    answers.FeatureAnswer(each.name, each.type, each.unit, each.definition, each.source)
                    for each in CATALOGUE.values()
                )
            )
        )

    async def stream(self, _: Request) -> Response:
        """Answer a plain request at the stream's path."""
        return _error(
            426, "this is a WebSocket; connect with ws:// or wss://", {"Upgrade": "websocket", "Connection": "Upgrade"}
        )

    async def openapi(self, _: Request) -> Response:
        """Answer ``/v1/openapi.json``."""
        return Response(self._openapi, 200, _COMMON_HEADERS, "application/json")

    async def healthz(self, _: Request) -> Response:
        """Answer ``/healthz``: whoever reads this proves that the event loop turns."""
        return _json(answers.HealthAnswer(ok=True, why="the gateway answers"))

    async def readyz(self, _: Request) -> Response:
        """Answer ``/readyz``."""
        if self._sources.is_ready():
            return _json(answers.HealthAnswer(ok=True, why="the cache was read"))
        return _json(answers.HealthAnswer(ok=False, why=self._sources.publisher.problem), 503)

    async def metrics(self, _: Request) -> Response:
        """Answer ``/metrics``."""
        if self._sources.metrics is None:
            raise HTTPException(
                404,
                "the metrics are on the status port of this process: 8081 in a pod, --status-port of scanplane run",
            )
        text = await self._sources.metrics()
        return Response(text, 200, {**_COMMON_HEADERS, "Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def page(self, _: Request) -> Response:
        """Answer ``/``."""
        return _page_response("index.html")

    async def page_file(self, request: Request) -> Response:
        """Answer ``/page/{file}``."""
        return _page_response(request.path_params["file"])


def _route_path(endpoint: Endpoint) -> str:
    # a symbol may itself contain slashes
    return endpoint.path.replace("{symbol}", "{symbol:path}")


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_SIGNALS
    if not text.isdecimal() or not 1 <= int(text) <= MAX_SIGNALS:
        raise HTTPException(400, f"limit is {text!r}; write a number from 1 to {MAX_SIGNALS}")
    return int(text)


_PAGE_FILES = {
    entry.name: entry.read_bytes() for entry in (files("scanplane.gateway") / "page").iterdir() if entry.is_file()
}


def _page_response(name: str) -> Response:
    body = _PAGE_FILES.get(name)
    if body is None:
        raise HTTPException(404, "the page has no such file")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {**_COMMON_HEADERS, "Content-Security-Policy": _PAGE_POLICY, "X-Frame-Options": "DENY"}
    return Response(body, 200, headers, kind)
