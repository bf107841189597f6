"""OTLP over HTTP for real: a collector on loopback that decodes what it gets, one that is silent, and none at all."""

import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from scanplane.telemetry.setup import Telemetry, TelemetrySettings, start_telemetry
from scanplane.telemetry.status import Phase, RoleStatus

PATIENCE_SECONDS = 30


class Collector:
    """Takes OTLP requests and keeps them decoded."""

    def __init__(self) -> None:
        self.traces: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.news = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with collector.news:
                    if self.path == "/v1/traces":
                        collector.traces.append(ExportTraceServiceRequest.FromString(body))
                    elif self.path == "/v1/metrics":
                        collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
                    collector.news.notify_all()
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


class Listener:
    def status(self) -> RoleStatus:
        return RoleStatus(
            role="listener",
            instance="listener-massive",
            configuration="abc",
            phase=Phase.ACTIVE,
            version="1",
            started_ns=0,
            updated_ns=0,
            figures={"events_total": 42, "queued_batches": 1.5},
        )


def started(endpoint: str) -> Telemetry:
    return start_telemetry(
        TelemetrySettings(
            service_name="scanplane-listener",
            instance="listener-massive",
            namespace="prod",
            otlp_endpoint=endpoint,
            trace_ratio=1.0,
            export_interval_ns=100_000_000,
        )
    )


def test_spans_and_metrics_arrive_as_protobuf(collector: Collector) -> None:
    with started(collector.url + "/") as telemetry:
        telemetry.register_role(Listener())
        latency = telemetry.latency("publish", "", role="listener", instance="listener-massive")
        latency.record_ns(3_000_000, count=4)
        carried = telemetry.traces.batch_context("listener.publish", start_ns=1_000)
        with telemetry.traces.span_from(carried, "analyzer.apply"):
            pass
        with collector.news:
            assert collector.news.wait_for(lambda: collector.traces and collector.metrics, PATIENCE_SECONDS)
    spans = [
        span
        for request in collector.traces
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert {span.name for span in spans} == {"listener.publish", "analyzer.apply"}
    assert {span.trace_id.hex() for span in spans} == {carried.split("-")[1]}

    (resource,) = collector.metrics[-1].resource_metrics
    attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert attributes["service.name"] == "scanplane-listener"
    assert attributes["service.namespace"] == "prod"
    metrics = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    assert metrics["scanplane_events_total"].sum.is_monotonic
    assert metrics["scanplane_events_total"].sum.data_points[0].as_double == 42 or (
        metrics["scanplane_events_total"].sum.data_points[0].as_int == 42
    )
    assert metrics["scanplane_queued_batches"].gauge.data_points[0].as_double == 1.5
    point = metrics["scanplane_publish_seconds"].histogram.data_points[0]
    assert (point.count, point.sum) == (4, pytest.approx(0.012))
    assert sum(point.bucket_counts) == 4
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert telemetry.exports.spans_exported == 2
    assert telemetry.exports.spans_dropped == 0


def test_a_collector_that_never_answers_costs_spans_and_neither_work_nor_the_end() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        telemetry = started(f"http://127.0.0.1:{silent.getsockname()[1]}")
        for _ in range(6_000):
            telemetry.traces.batch_context()
        assert telemetry.exports.spans_dropped >= 6_000 - 2 * 2048
        assert telemetry.shutdown(timeout_seconds=0.2) is False


def test_a_collector_that_is_not_there_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        telemetry = started(f"http://127.0.0.1:{port}")
        telemetry.traces.batch_context()
        telemetry.shutdown(timeout_seconds=PATIENCE_SECONDS)
    assert telemetry.exports.metric_exports_failed >= 1
    assert telemetry.exports.spans_dropped == 1
    told = [message for message in map(logging.LogRecord.getMessage, caplog.records) if f":{port} " in message]
    assert sorted(told) == [
        f"collector http://127.0.0.1:{port} does not take metrics: they are dropped and counted until it does",
        f"collector http://127.0.0.1:{port} does not take spans: they are dropped and counted until it does",
    ]
