import pytest
from opentelemetry.trace import StatusCode

from scanplane.telemetry.traces import UNTRACED, traceparent_of
from support.traced import Traced


@pytest.fixture
def traced() -> Traced:
    return Traced()


def test_every_span_is_the_child_of_what_it_was_given(traced: Traced) -> None:
    carried = traced.traces.batch_context("first", start_ns=1_000, attributes={"market": "us-stocks"})
    with traced.traces.span_from(carried, "second") as second:
        carried = traceparent_of(second)
    traced.traces.record_span(carried, "third", 2_000)
    spans = {span.name: span for span in traced.spans}
    assert len({span.context.trace_id for span in spans.values()}) == 1
    assert spans["first"].parent is None
    for parent, child in (("first", "second"), ("second", "third")):
        assert spans[child].parent.span_id == spans[parent].context.span_id
    assert spans["first"].start_time == 1_000
    assert spans["first"].attributes == {"market": "us-stocks"}
    assert spans["third"].start_time == 2_000


def test_an_untraced_batch_leaves_nothing_and_stays_untraced() -> None:
    traced = Traced(0.0)
    carried = traced.traces.batch_context()
    assert carried == UNTRACED
    with traced.traces.span_from(carried, "analyzer.apply") as span:
        assert traceparent_of(span) == UNTRACED
    assert traced.traces.record_span(carried, "cache.write", 5) == UNTRACED
    assert traced.spans == ()


def test_the_ratio_decides_how_many_batches_are_traced() -> None:
    traced = Traced(0.25)
    count = sum(traced.traces.batch_context() != UNTRACED for _ in range(4000))
    assert 800 < count < 1200  # 7 standard deviations
    assert len(traced.spans) == count


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
    assert traced.spans == ()


def test_a_trace_begun_elsewhere_is_continued(traced: Traced) -> None:
    with traced.traces.span_from("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "analyzer.apply") as span:
        assert traceparent_of(span).startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")


def test_an_error_is_marked_on_its_span_and_goes_on(traced: Traced) -> None:
    carried = traced.traces.batch_context()
    with pytest.raises(KeyError), traced.traces.span_from(carried, "analyzer.apply"):
        raise KeyError("secret detail")
    span = traced.spans[-1]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "KeyError"
