"""OTLP over HTTP for real: a collector on loopback that decodes what it gets, one that is silent, and none at all."""

import logging
import socket
from collections.abc import Iterator

import pytest

from scanplane.telemetry.setup import Telemetry, TelemetrySettings, start_telemetry
from scanplane.telemetry.status import Phase, RoleStatus
from support.otlp_collector import OtlpCollector

PATIENCE_SECONDS = 30


@pytest.fixture
def collector() -> Iterator[OtlpCollector]:
    with OtlpCollector() as collector:
        yield collector


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


def test_spans_and_metrics_arrive_as_protobuf(collector: OtlpCollector) -> None:
    with started(collector.url + "/") as telemetry:
        telemetry.register_role(Listener())
        latency = telemetry.latency("publish", "", role="listener", instance="listener-massive")
        latency.record_ns(3_000_000, count=4)
        carried = telemetry.traces.batch_context("listener.publish", start_ns=1_000)
        with telemetry.traces.span_from(carried, "analyzer.apply"):
            pass
        with collector.news:
            assert collector.news.wait_for(lambda: collector.traces and collector.metrics, PATIENCE_SECONDS)
    assert {span.name for span in collector.spans} == {"listener.publish", "analyzer.apply"}
    assert {span.trace_id.hex() for span in collector.spans} == {carried.split("-")[1]}

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
