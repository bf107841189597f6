import itertools
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from scanplane.telemetry.setup import Telemetry, TelemetrySettings, start_telemetry
from scanplane.telemetry.traces import UNTRACED, traceparent_of


class Traced:
    def __init__(self, ratio: float) -> None:
        self.spans = InMemorySpanExporter()
        settings = TelemetrySettings(service_name="x", instance="x", namespace="x", trace_ratio=ratio, prometheus=False)
        self.telemetry: Telemetry = start_telemetry(settings, span_processors=[SimpleSpanProcessor(self.spans)])
        self.traces = self.telemetry.traces


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced(1.0)
    yield made
    made.telemetry.shutdown()


def test_one_trace_follows_a_batch_from_listener_to_gateway(traced: Traced) -> None:
    carried = traced.traces.batch_context("listener.publish", start_ns=1_000, attributes={"market": "us-stocks"})
    with (
        traced.traces.span_from(carried, "analyzer.apply") as applying,
        traced.traces.span_from(traceparent_of(applying), "analyzer.evaluate") as evaluating,
    ):
        carried = traceparent_of(evaluating)
    carried = traced.traces.record_span(carried, "cache.write", 2_000)
    with traced.traces.span_from(carried, "gateway.send"):
        pass
    spans = {span.name: span for span in traced.spans.get_finished_spans()}
    chain = ["listener.publish", "analyzer.apply", "analyzer.evaluate", "cache.write", "gateway.send"]
    assert len({span.context.trace_id for span in spans.values()}) == 1
    for parent, child in itertools.pairwise(chain):
        assert spans[child].parent.span_id == spans[parent].context.span_id
    assert spans["listener.publish"].start_time == 1_000
    assert spans["listener.publish"].attributes == {"market": "us-stocks"}
    assert spans["cache.write"].start_time == 2_000


def test_an_untraced_batch_leaves_nothing_and_stays_untraced() -> None:
    traced = Traced(0.0)
    carried = traced.traces.batch_context()
    assert carried == UNTRACED
    with traced.traces.span_from(carried, "analyzer.apply") as span:
        assert traceparent_of(span) == UNTRACED
    assert traced.traces.record_span(carried, "cache.write", 5) == UNTRACED
    assert traced.spans.get_finished_spans() == ()


def test_the_ratio_decides_how_many_batches_are_traced() -> None:
    traced = Traced(0.25)
    count = sum(traced.traces.batch_context() != UNTRACED for _ in range(4000))
    assert 800 < count < 1200  # 7 standard deviations
    assert len(traced.spans.get_finished_spans()) == count


@pytest.mark.parametrize(
    "carried",
    [
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        "\u0661" * 55,
    ],
)
def test_what_is_no_sampled_trace_context_counts_as_untraced(traced: Traced, carried: str) -> None:
    with traced.traces.span_from(carried, "analyzer.apply"):
        pass
    assert traced.traces.record_span(carried, "cache.write", 5) == UNTRACED
    assert traced.spans.get_finished_spans() == ()


def test_a_trace_begun_elsewhere_is_continued(traced: Traced) -> None:
    with traced.traces.span_from("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "analyzer.apply") as span:
        assert traceparent_of(span).startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")


def test_an_error_is_marked_on_its_span_and_goes_on(traced: Traced) -> None:
    carried = traced.traces.batch_context()
    with pytest.raises(KeyError), traced.traces.span_from(carried, "analyzer.apply"):
        raise KeyError("secret detail")
    span = traced.spans.get_finished_spans()[-1]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "KeyError"
