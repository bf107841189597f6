"""What a whole pipeline tells of itself: one trace from the provider's socket to the clients, and the pages of every role."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from scanplane.telemetry.metrics import metric_name
from support.chart import expressions, metrics_of
from support.commands import UpProcess
from support.journeys import Deployment, SimulatorProcess, wait_for
from support.otlp_collector import OtlpCollector
from support.resource_texts import a_board, massive_feed, on_servers, pipeline
from support.servers import RabbitServer, RedisServer, free_port

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

LISTENER, ANALYZER, GATEWAY = "listener-simulated", "analyzer-us-stocks-0", "gateway"
PATIENCE_S = 120.0
CHAIN = [
    ("scanplane-listener", "listener.publish"),
    ("scanplane-analyzer", "analyzer.apply"),
    ("scanplane-analyzer", "analyzer.evaluate"),
    ("scanplane-analyzer", "cache.write"),
    ("scanplane-gateway", "gateway.publish"),
]
FIGURES = {
    LISTENER: ("scanplane_events_total", "scanplane_streaming", "scanplane_receipt_to_publish_seconds_count"),
    ANALYZER: (
        "scanplane_evaluations_total",
        "scanplane_boards_written_total",
        "scanplane_scanner_matches",
        "scanplane_tick_to_board_seconds_count",
    ),
    GATEWAY: ("scanplane_boards", "scanplane_updates_published_total", "scanplane_receipt_to_gateway_seconds_count"),
}
"""Of each role what is more than 0 when it works."""
_DATA_PLANE = """
---
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec: {gateway: {port: 0}}
"""

Samples = dict[tuple[str, str], float]
"""What a scrape found, by metric and instance."""


def provider(folder: Path) -> SimulatorProcess:
    """A day of sixteen hours in twenty seconds, and silence on an open connection after it."""
    return SimulatorProcess(folder, "market", "--events", "20000", "--speed", "3000", "--hold")


def resources(provider: SimulatorProcess) -> str:
    board = a_board("volume", "volume", ["price", "volume"])
    return pipeline(massive_feed(provider.url), ["SecondAggregates"], [board], interval="60s")


def scrape(url: str) -> Samples:
    """Take from *url* what Prometheus would."""
    response = httpx.get(f"{url}/metrics", timeout=30).raise_for_status()
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, sample.labels.get("instance", "")): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if sample.labels.get("phase", "Active") == "Active"
    }


def idle(samples: Samples, instance: str) -> list[str]:
    """Return the metrics of a role that do not show that it works, or are not there."""
    metrics = ("scanplane_role_phase", *FIGURES[instance])
    return [metric for metric in metrics if samples.get((metric, instance), 0.0) <= 0]


class Running(NamedTuple):
    """Three roles as processes of their own on real servers, what they export to, and where the gateway serves clients."""

    deployment: Deployment
    collector: OtlpCollector
    gateway_url: str


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, rabbit_server: RabbitServer, redis_server: RedisServer
) -> Iterator[Running]:
    """A pipeline whose every batch is traced, once every role of it works."""
    folder, port = tmp_path_factory.mktemp("pipeline"), free_port()
    with (
        OtlpCollector() as collector,
        provider(folder) as simulator,
        Deployment(folder, "telemetry") as deployment,
    ):
        text = on_servers(resources(simulator), rabbit_server.url, redis_server.url)
        telemetry = f"{{otlpEndpoint: '{collector.url}', traceRatio: 1, exportInterval: 1s}}"
        text += f"  gateway: {{port: {port}}}\n  telemetry: {telemetry}\n"
        deployment.apply(text, without=frozenset({LISTENER}))
        deployment.apply(text, without=frozenset())  # the day begins with the listener: everybody else is there
        for instance in FIGURES:
            url = deployment.status_url(instance)
            wait_for(lambda url=url, instance=instance: not idle(scrape(url), instance), f"work of {instance}")
        yield Running(deployment, collector, f"http://127.0.0.1:{port}")


def chain_to(last: Span, collector: OtlpCollector) -> list[tuple[str, Span]]:
    """Return *last* and what is before it in its trace, each with its service, from the first on."""
    by_id = {span.span_id: (service, span) for service, span in collector.spans_by_service}
    chain, span_id = [], last.span_id
    while span_id in by_id:
        chain.append(by_id[span_id])
        span_id = by_id[span_id][1].parent_span_id
    return chain[::-1]


def test_one_trace_follows_a_batch_from_the_providers_socket_to_the_clients(running: Running) -> None:
    collector, found = running.collector, []

    def is_whole() -> bool:
        ends = [span for span in collector.spans if span.name == "gateway.publish"]
        chains = (chain_to(end, collector) for end in ends)
        found.extend(itertools.islice((chain for chain in chains if len(chain) == len(CHAIN)), 1))
        return bool(found)

    with collector.news:
        assert collector.news.wait_for(is_whole, PATIENCE_S), sorted({span.name for span in collector.spans})
    chain = found[0]
    assert [(service, span.name) for service, span in chain] == CHAIN
    spans = [span for _, span in chain]
    assert len({span.trace_id for span in spans}) == 1
    assert spans[0].parent_span_id == b""
    for before, after in itertools.pairwise(spans):
        assert after.parent_span_id == before.span_id
        assert after.start_time_unix_nano >= before.start_time_unix_nano
    attributes = {each.key: each.value.string_value for each in spans[-1].attributes}
    assert attributes == {"market": "us-stocks", "scanner": "volume"}


@pytest.mark.parametrize("instance", [LISTENER, ANALYZER, GATEWAY])
def test_every_role_answers_probes_scrapes_and_people(running: Running, instance: str) -> None:
    url = running.deployment.status_url(instance)
    healthy = httpx.get(f"{url}/healthz")
    assert (healthy.status_code, healthy.json()["ok"]) == (200, True)
    assert [check["name"] for check in healthy.json()["checks"]] == ["event loop", "progress"]
    ready = httpx.get(f"{url}/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ok": True, "checks": [{"name": "role", "ok": True, "why": f"{instance} is active"}]}
    status = httpx.get(f"{url}/status").json()
    assert (status["instance"], status["phase"]) == (instance, "Active")
    samples = scrape(url)
    assert idle(samples, instance) == []
    assert samples["process_resident_memory_bytes", ""] > 1e6
    told = {name for name, of in samples if of == instance}
    assert {metric_name(figure) for figure in status["figures"]} <= told
    assert {
        metric_name(figure, of_scanner=True) for figures in status["scanners"].values() for figure in figures
    } <= told
    assert {of for _, of in samples} == {instance, ""}


def test_alerts_and_dashboard_ask_the_roles_for_nothing_that_they_do_not_tell(running: Running) -> None:
    wanted = set().union(*(metrics_of(expression) for _, expression in expressions()))
    told = {name for instance in FIGURES for name, _ in scrape(running.deployment.status_url(instance))}
    unknown = {metric for metric in wanted - told if not metric.startswith("scanplane_operator_")}
    assert unknown == set()
    assert len(wanted & told) > 20


def test_a_gateway_says_to_its_clients_where_its_metrics_are(running: Running) -> None:
    answer = httpx.get(f"{running.gateway_url}/metrics")
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "the metrics are on the status port of this process: 8081 in a pod, --status-port of scanplane run"
    }


def test_what_runs_in_one_process_tells_its_metrics_at_the_gateway(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    with provider(tmp_path) as simulator:
        file.write_text(resources(simulator) + _DATA_PLANE)
        with UpProcess(tmp_path / "up.log", file) as up:
            url = f"http://127.0.0.1:{up.port}"
            for instance in FIGURES:
                wait_for(lambda instance=instance: not idle(scrape(url), instance), f"work of {instance}")
