"""Spans that a test can look at, as they end."""

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from scanplane.telemetry.setup import Telemetry, TelemetrySettings, start_telemetry
from scanplane.telemetry.traces import BatchTraces

__all__ = ["Traced", "carried", "itself", "parent"]

Identity = tuple[str, str]
"""Trace and span."""


def carried(traceparent: str) -> Identity:
    """Return what a W3C trace context names."""
    _, trace_id, span_id, _ = traceparent.split("-")
    return trace_id, span_id


def itself(span: ReadableSpan) -> Identity:
    """Return what names *span*."""
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def parent(span: ReadableSpan) -> Identity:
    """Return what names the parent of *span*, which has one."""
    assert span.parent is not None
    return f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}"


class Traced:
    """Telemetry that traces a share of all batches and keeps the spans. There is nothing to close."""

    def __init__(self, ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        settings = TelemetrySettings(service_name="x", instance="x", namespace="x", trace_ratio=ratio, prometheus=False)
        self.telemetry: Telemetry = start_telemetry(settings, span_processors=[SimpleSpanProcessor(self._exporter)])

    @property
    def traces(self) -> BatchTraces:
        return self.telemetry.traces

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Every span that has ended, in that order."""
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans of a name."""
        return [span for span in self.spans if span.name == name]
