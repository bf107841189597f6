"""What stands between telemetry and a collector that may be dead: bounded queues, short timeouts, counted losses.

Exports run in threads of the OpenTelemetry SDK. A collector that is slow, silent or gone fills one bounded queue of
spans, whose overflow is counted here; metrics are cumulative, so that a missed export is made up by the next.
Its state is logged when it changes. The pipeline itself never waits for any of this.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from scanplane.telemetry.logs import TransitionLog

__all__ = ["BoundedSpans", "CountedMetricExporter", "CountedSpanExporter", "ExportCounts"]

_log = logging.getLogger("scanplane.telemetry")


class ExportCounts:
    """How exports to one collector went, in spans and in metric exports, since the start."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._transitions = TransitionLog(_log)
        self.spans_exported = 0
        self.spans_dropped = 0
        self.metric_exports = 0
        self.metric_exports_failed = 0

    def tell(self, what: str, *, reached: bool) -> None:
        """Log that the collector takes *what* again, or does not, if that is news."""
        level, text = (
            (logging.INFO, "collector %s takes %s")
            if reached
            else (logging.WARNING, "collector %s does not take %s: they are dropped and counted until it does")
        )
        self._transitions.report(what, reached, level, text, self._endpoint, what)


class CountedSpanExporter(SpanExporter):
    """Counts what another exporter sends and what it fails to send."""

    def __init__(self, exporter: SpanExporter, counts: ExportCounts) -> None:
        self._exporter = exporter
        self._counts = counts
        self.handed_over = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send *spans*; a failure of any kind loses them, counted."""
        self.handed_over += len(spans)
        reached = False
        try:
            reached = self._exporter.export(spans) is SpanExportResult.SUCCESS
        finally:
            if reached:
                self._counts.spans_exported += len(spans)
            else:
                self._counts.spans_dropped += len(spans)
            self._counts.tell("spans", reached=reached)
        return SpanExportResult.SUCCESS if reached else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Stop sending."""
        self._exporter.shutdown()


class BoundedSpans(SpanProcessor):
    """The SDK's batch processor, refusing spans that find its queue full instead of logging each of them."""

    def __init__(self, exporter: CountedSpanExporter, counts: ExportCounts, *, max_waiting: int) -> None:
        self._exporter = exporter
        self._counts = counts
        self._max_waiting = max_waiting
        self._accepted = 0
        self._batches = BatchSpanProcessor(
            exporter,
            max_queue_size=max_waiting,
            schedule_delay_millis=1000,
            max_export_batch_size=min(512, max_waiting),
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing happens at a span's start."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue *span*, or drop and count it if the queue is full."""
        if self._accepted - self._exporter.handed_over >= self._max_waiting:
            self._counts.spans_dropped += 1
            return
        self._accepted += 1
        self._batches.on_end(span)

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Send everything that waits, now."""
        return self._batches.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Send what waits and stop."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]  # the SDK's own omission


class CountedMetricExporter(MetricExporter):
    """Adds the latency histograms to what is exported, and counts how exports went.

    *complete* gets the collected data and returns it with the histograms.
    """

    def __init__(
        self, exporter: MetricExporter, counts: ExportCounts, complete: Callable[[MetricsData], MetricsData]
    ) -> None:
        super().__init__()
        self._exporter = exporter
        self._counts = counts
        self._complete = complete

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,  # noqa: ANN401  # the SDK's own signature
    ) -> MetricExportResult:
        """Send *metrics_data* with the histograms."""
        reached = False
        try:
            result = self._exporter.export(self._complete(metrics_data), timeout_millis=timeout_millis, **kwargs)
            reached = result is MetricExportResult.SUCCESS
        finally:
            self._counts.metric_exports += 1
            self._counts.metric_exports_failed += not reached
            self._counts.tell("metrics", reached=reached)
        return MetricExportResult.SUCCESS if reached else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:  # noqa: ANN401  # as export
        """Stop sending."""
        self._exporter.shutdown(timeout_millis, **kwargs)
