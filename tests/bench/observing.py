"""What telemetry costs: the processor time of listener and analyzer with it and without it, for the same events.

Three pipelines run at the same moment on one provider, broker and cache: one without telemetry, one that exports to a
collector, one that exports to a port where nobody listens. What else the machine does then slows all of them alike, and
processor time for an event is compared rather than a highest rate.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from bench.pipeline import ANALYZER, GATEWAY, LISTENER, Pipeline, beside, running
from bench.report import Better, Figure, PartResult
from support.servers import RabbitServer, RedisServer, free_port

__all__ = ["measure"]

RATE = 150_000.0
ROUNDS = 4
SECONDS = 4.0
WARM_UP_S = 2.0
GOAL_PERCENT = 3.0
_OFF = "logLevel: Warning"
_WITHOUT = frozenset({GATEWAY})

_MEANING = (
    f"Processor time of listener and analyzer for an event, three pipelines side by side at {RATE:,.0f} trades/s each. Telemetry "
    "on: traces and metrics by OTLP as by default (1 % of all batches, metrics every 10 s), to a collector that takes "
    "everything or to a port where nobody listens, and both roles scraped every second. Most of it is a cost for a second, not "
    "for an event, so what a role at its limit loses is the share of a core."
)


class _Taking(BaseHTTPRequestHandler):
    """A collector that takes everything and looks at nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _collector() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Taking)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Costs:
    """Processor time of one pipeline's listener and analyzer, from one call to the next."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._before = self._look()

    def _look(self) -> tuple[float, float]:
        spent = sum(self._pipeline.processor_seconds(name) for name in (LISTENER, ANALYZER)) / 2
        return spent, self._pipeline.figures(ANALYZER)["trades_total"]

    def microseconds(self) -> float:
        """Return what one of the two took for an event since the last call."""
        (spent, events), self._before = self._before, self._look()
        return (self._before[0] - spent) / (self._before[1] - events) * 1e6

    def scrape(self) -> None:
        """Do what Prometheus does."""
        for name in (LISTENER, ANALYZER):
            httpx.get(f"{self._pipeline.deployment.status_url(name)}/metrics", timeout=5).raise_for_status()


def _watch(scraped: Sequence[_Costs]) -> None:
    """Let time pass, and scrape every second."""
    end = time.monotonic() + SECONDS
    while (left := end - time.monotonic()) > 0:
        for each in scraped:
            each.scrape()
        time.sleep(min(1.0, left))


def measure() -> PartResult:
    """Measure the three at the same moment, a few times."""
    with ExitStack() as stack:
        rabbit, redis = stack.enter_context(RabbitServer()), stack.enter_context(RedisServer())
        collector, dead = stack.enter_context(_collector()), f"http://127.0.0.1:{free_port()}"
        arguments = ("--rate", str(RATE), "--channel", "Trades")
        urls = rabbit.url, redis.url
        pipelines = [stack.enter_context(running(*urls, *arguments, without=_WITHOUT, telemetry=_OFF))]
        for endpoint in (collector, dead):
            telemetry = f'{_OFF}, otlpEndpoint: "{endpoint}", exportInterval: 10s'
            other = beside(pipelines[0].simulator, *urls, without=_WITHOUT, telemetry=telemetry)
            pipelines.append(stack.enter_context(other))
        for pipeline in pipelines:
            pipeline.wait_for_figure(ANALYZER, "trades_total", RATE)
        time.sleep(WARM_UP_S)
        costs = [_Costs(pipeline) for pipeline in pipelines]
        rounds = []
        for _ in range(ROUNDS):
            _watch(costs[1:])
            rounds.append([each.microseconds() for each in costs])

    figures = [_figure("a role without telemetry", "µs/event", [off for off, _, _ in rounds])]
    for place, name in ((1, "to a collector, scraped"), (2, "to a dead port, scraped")):
        relative = [(each[place] / each[0] - 1.0) * 100.0 for each in rounds]
        of_core = [(each[place] - each[0]) * RATE / 1e6 * 100.0 for each in rounds]
        figures.append(_figure(f"more at {RATE:,.0f} events/s, {name}", "%", relative))
        figures.append(_figure(f"the same as a share of a core, {name}", "%", of_core, GOAL_PERCENT))
    return PartResult(title="Telemetry", meaning=_MEANING, figures=tuple(figures))


def _figure(name: str, unit: str, values: list[float], goal: float | None = None) -> Figure:
    return Figure(name=name, unit=unit, values=tuple(values), better=Better.LESS, goal=goal)
