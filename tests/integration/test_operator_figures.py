"""What pods say of themselves becomes figures in status; a pod that hangs, lies or talks without end harms nobody."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from support.findings import say
from support.operator_documents import namespace_of_everything
from support.operator_process import OperatorProcess, wait_until
from support.operator_site import OperatorCluster, Site

pytestmark = [pytest.mark.server, pytest.mark.timeout(50 * 60)]  # the first run may have to build kube-apiserver

STATUS_PORT = 8081
EVENTS_PER_SECOND = 1000


class Pod(ThreadingHTTPServer):
    """A pod's status port at an address of its own; what it answers is the test's."""

    daemon_threads = True

    def __init__(self, address: str, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pod.asked += 1
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        pod = self
        self.asked = 0
        super().__init__((address, STATUS_PORT), Handler)

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""


@contextmanager
def running_pod(address: str, answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Pod]:
    with Pod(address, answer) as pod:
        thread = threading.Thread(target=pod.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield pod
        finally:
            pod.shutdown()
            thread.join(5)


def report(role: str, figures: dict[str, float], **more: Any) -> bytes:
    """Return what a role says at ``/status``."""
    now = time.time_ns()
    document = {
        "role": role,
        "instance": role,
        "configuration": "abc",
        "phase": "Active",
        "version": "1",
        "startedNs": now,
        "updatedNs": now,
        "generation": 1,
        "figures": figures,
        **more,
    }
    return json.dumps(document).encode()


def say_ok(request: BaseHTTPRequestHandler, body: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def listener(request: BaseHTTPRequestHandler) -> None:
    figures = {
        "events_total": time.monotonic() * EVENTS_PER_SECOND,
        "streaming": 1.0,
        "connects_total": 3.0,
        "receipt_to_publish_p99_ms": 7.0,
        "dropped_events_total": 0.0,
        "rejected_total": 2.0,
    }
    say_ok(request, report("listener", figures))


def analyzer(request: BaseHTTPRequestHandler) -> None:
    figures = {
        "events_total": time.monotonic() * EVENTS_PER_SECOND,
        "symbols": 8000.0,
        "session": 2.0,
        "tick_to_board_p99_ms": 12.0,
        "missing_batches_total": 0.0,
    }
    say_ok(request, report("analyzer", figures, scanners={"gappers": {"matches": 17.0, "signals_total": 4.0}}))


def hang(request: BaseHTTPRequestHandler) -> None:
    threading.Event().wait(20)
    request.close_connection = True


def garbage(request: BaseHTTPRequestHandler) -> None:
    say_ok(request, b'{"role": [1, 2, "\xff')


def without_end(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        request.wfile.write(b"x" * 65_536)


def elsewhere(request: BaseHTTPRequestHandler) -> None:
    request.send_response(302)
    request.send_header("Location", "http://127.7.0.99:8081/status")
    request.send_header("Content-Length", "0")
    request.end_headers()


@contextmanager
def desk_with_pods(cluster: OperatorCluster, number: int, **answers: Callable[..., None]) -> Iterator[Site]:
    """Give a namespace whose pods answer so, each role at its own address."""
    instances = {"listener": "listener-massive", "analyzer": "analyzer-us-stocks-0", "gateway": "gateway"}
    namespace = f"figures-{cluster.number()}"
    addresses = {role: f"127.7.{number}.{place}" for place, role in enumerate(instances, 1)}
    for role, address in addresses.items():
        cluster.kubelet.addresses[f"{namespace}/{instances[role]}"] = address
    with ExitStack() as stack:
        for role, answer in answers.items():
            stack.enter_context(running_pod(addresses[role], answer))
        site = cluster.site(*namespace_of_everything(), namespace=namespace)
        site.wait_ready()
        yield site


def status(site: Site, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = site.get(kind, name).get("status") or {}
    return found


def test_figures_appear_and_rates_are_right(operator_cluster: OperatorCluster, operator: OperatorProcess) -> None:
    with desk_with_pods(operator_cluster, 1, listener=listener, analyzer=analyzer) as site:
        wait_until(lambda: status(site, "Feed", "massive").get("eventsPerSecond"), "a rate of the Feed")
        wait_until(lambda: status(site, "Market", "us-stocks").get("eventsPerSecond"), "a rate of the Market")
        feed, market = status(site, "Feed", "massive"), status(site, "Market", "us-stocks")
        scanner = wait_until(
            lambda: s if "matches" in (s := status(site, "Scanner", "gappers")) else None, "figures of the Scanner"
        )
        say(f"\nFeed {feed['eventsPerSecond']}/s, Market {market['eventsPerSecond']}/s, matches {scanner['matches']}")
        assert abs(feed["eventsPerSecond"] - EVENTS_PER_SECOND) < 0.1 * EVENTS_PER_SECOND
        assert abs(market["eventsPerSecond"] - EVENTS_PER_SECOND) < 0.1 * EVENTS_PER_SECOND
        assert feed["connection"] == "Streaming"
        assert (feed["reconnectsTotal"], feed["rejectedEventsTotal"], feed["lagP99Milliseconds"]) == (2, 2, 7)
        assert (market["symbolCount"], market["session"], market["scannerCount"]) == (8000, "regular", 2)
        assert (scanner["matches"], scanner["signalsTotal"]) == (17, 4)
        assert site.is_true("Feed", "massive", "DataFlowing")
        before = site.writes()
        operator.wait_passes(site.namespace, 10)
        assert len(site.writes()) - len(before) <= 2, "a steady rate is not written for every blink"


@pytest.mark.parametrize("answer", [hang, garbage, without_end, elsewhere], ids=lambda each: each.__name__)
def test_a_bad_pod_harms_nobody(
    operator_cluster: OperatorCluster, operator: OperatorProcess, answer: Callable[..., None], request: Any
) -> None:
    number = 10 + [hang, garbage, without_end, elsewhere].index(answer)
    with (
        running_pod("127.7.0.99", listener) as target,
        desk_with_pods(operator_cluster, number, listener=answer, analyzer=analyzer) as site,
    ):
        wait_until(lambda: status(site, "Market", "us-stocks").get("eventsPerSecond"), "a rate of the Market", 40)
        before = operator.resident_mebibytes()
        operator.wait_passes(site.namespace, 4)
        grown = operator.resident_mebibytes() - before
        say(f"\n{request.node.callspec.id}: {grown:+.1f} MiB over 4 passes")
        assert "eventsPerSecond" not in status(site, "Feed", "massive")
        assert site.is_true("Feed", "massive", "Ready")
        assert operator.probe("/healthz") == 200
        assert target.asked == 0
        assert grown < 20
