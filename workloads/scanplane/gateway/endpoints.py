"""The table of HTTP endpoints, from which both the routes and the OpenAPI document are made, so that they can't differ."""

from msgspec import Struct

from scanplane.gateway import answers

__all__ = ["ENDPOINTS", "MAX_SIGNALS", "MAX_SYMBOLS", "Endpoint", "Parameter"]

MAX_SIGNALS = 1000
MAX_SYMBOLS = 500


class Parameter(Struct, frozen=True, kw_only=True):
    """A parameter in the path or in the query. ``type`` is JSON Schema's."""

    name: str
    description: str
    type: str = "string"
    in_path: bool = False
    required: bool = False
    choices: tuple[str, ...] = ()


class Endpoint(Struct, frozen=True, kw_only=True):
    """One path that answers GET. ``answer`` is None where it is no JSON; ``media_type`` says what it is then."""

    path: str
    handler: str
    summary: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    answer: type[Struct] | None = None
    media_type: str = "application/json"
    csv: bool = False
    public: bool = False
    errors: tuple[int, ...] = ()
    listed: bool = True


_MARKET = Parameter(name="market", description="Name of the Market.", in_path=True, required=True)
_FORMAT = Parameter(
    name="format", description="json or csv; without it the Accept header decides.", choices=("json", "csv")
)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        path="/v1/boards",
        handler="boards",
        summary="Every board, without its rows",
        parameters=(Parameter(name="market", description="Only this Market's boards."),),
        answer=answers.BoardListAnswer,
    ),
    Endpoint(
        path="/v1/boards/{market}/{scanner}",
        handler="board",
        summary="One board",
        description="The best rows of all partitions at the newest tick. CSV has one line a symbol.",
        parameters=(
            _MARKET,
            Parameter(name="scanner", description="Name of the Scanner.", in_path=True, required=True),
            _FORMAT,
        ),
        answer=answers.BoardAnswer,
        csv=True,
        errors=(400, 404),
    ),
    Endpoint(
        path="/v1/quotes/{market}",
        handler="quotes",
        summary="The features of several symbols",
        parameters=(
            _MARKET,
            Parameter(
                name="symbols", description=f"Symbols, separated by commas; at most {MAX_SYMBOLS}.", required=True
            ),
            _FORMAT,
        ),
        answer=answers.QuoteListAnswer,
        csv=True,
        errors=(400, 503),
    ),
    Endpoint(
        path="/v1/quotes/{market}/{symbol}",
        handler="quote",
        summary="The features of one symbol",
        parameters=(
            _MARKET,
            Parameter(name="symbol", description="The provider's ticker.", in_path=True, required=True),
            _FORMAT,
        ),
        answer=answers.QuoteAnswer,
        csv=True,
        errors=(400, 404, 503),
    ),
    Endpoint(
        path="/v1/signals",
        handler="signals",
        summary="What has fired",
        description="Without `since` the newest signals; with it, everything after that place or time, page by page.",
        parameters=(
            Parameter(
                name="since",
                description="`next` of an earlier answer, or a time: ISO 8601 with its zone, or nanoseconds since 1970.",
            ),
            Parameter(name="market", description="Only this Market."),
            Parameter(name="scanner", description="Only this Scanner."),
            Parameter(
                name="limit", description=f"At most so many, 1 to {MAX_SIGNALS}. 100 if left out.", type="integer"
            ),
            _FORMAT,
        ),
        answer=answers.SignalListAnswer,
        csv=True,
        errors=(400, 503),
    ),
    Endpoint(
        path="/v1/status",
        handler="status",
        summary="Live figures of every role, and how fresh every market is",
        answer=answers.StatusAnswer,
    ),
    Endpoint(
        path="/v1/features",
        handler="features",
        summary="The catalogue of features, with units and definitions",
        answer=answers.FeatureListAnswer,
        public=True,
    ),
    Endpoint(
        path="/v1/stream",
        handler="stream",
        summary="The WebSocket stream",
        description="Upgrade to WebSocket; see docs/gateway.md for its messages. A plain request is answered with 426.",
        media_type="",
        public=True,
        errors=(426,),
    ),
    Endpoint(
        path="/v1/openapi.json", handler="openapi", summary="This document", media_type="application/json", public=True
    ),
    Endpoint(
        path="/healthz",
        handler="healthz",
        summary="Whether the process lives",
        answer=answers.HealthAnswer,
        public=True,
    ),
    Endpoint(
        path="/readyz",
        handler="readyz",
        summary="Whether boards were read from the cache, so that clients can be sent here",
        answer=answers.HealthAnswer,
        public=True,
        errors=(503,),
    ),
    Endpoint(
        path="/metrics",
        handler="metrics",
        summary="Metrics in Prometheus' text format, under scanplane up; a pod serves them on its status port",
        media_type="text/plain",
        public=True,
        errors=(404,),
    ),
    Endpoint(path="/", handler="page", summary="The live page", media_type="text/html", public=True),
    Endpoint(path="/page/{file}", handler="page_file", summary="Files of the page", public=True, listed=False),
)
"""Every path that the gateway answers."""
