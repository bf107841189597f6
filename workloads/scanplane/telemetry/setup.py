"""Telemetry as a whole: what a process starts once and gives to its roles.

Nothing here is global: a process may start it twice, a test many times. With no endpoint and no Prometheus it does
nothing and costs nothing. Ending it takes at most as long as it is given, whatever the collector does.
"""

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from msgspec import Struct
from opentelemetry.metrics import CallbackOptions, Meter, NoOpMeterProvider, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NoOpTracerProvider, Tracer
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from scanplane import __version__
from scanplane.telemetry.exports import BoundedSpans, CountedMetricExporter, CountedSpanExporter, ExportCounts
from scanplane.telemetry.histograms import LatencyHistograms
from scanplane.telemetry.latency import LatencyHistogram
from scanplane.telemetry.logs import dropped_records_total
from scanplane.telemetry.metrics import ReportsStatus, RoleMetrics
from scanplane.telemetry.status import RoleStatus
from scanplane.telemetry.traces import BatchTraces

__all__ = ["Telemetry", "TelemetrySettings", "start_telemetry"]

_EXPORT_TIMEOUT_SECONDS = 5.0
_MAX_WAITING_SPANS = 2048


class TelemetrySettings(Struct, frozen=True, kw_only=True):
    """What a process shows, to whom.

    *otlp_endpoint* is the base URL of a collector that takes OTLP over HTTP (``http://collector:4318``), None for
    none. *prometheus* keeps what ``prometheus_text`` shows.
    """

    service_name: str
    instance: str
    namespace: str
    otlp_endpoint: str | None = None
    trace_ratio: float = 0.01
    export_interval_ns: int = 10_000_000_000
    prometheus: bool = True


class Telemetry:
    """Logs aside, everything a process tells of itself. Make it with :func:`start_telemetry`."""

    def __init__(self, settings: TelemetrySettings, *, span_processors: Iterable[SpanProcessor] = ()) -> None:
        self.settings = settings
        self.exports = ExportCounts(settings.otlp_endpoint or "")
        self._histograms = LatencyHistograms()
        self._registry = CollectorRegistry() if settings.prometheus else None
        resource = Resource.create(
            {
                "service.name": settings.service_name,
                "service.instance.id": settings.instance,
                "service.namespace": settings.namespace,
                "service.version": __version__,
            }
        )
        processors = [*span_processors, *self._span_processors()]
        self._tracers = (
            TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False) if processors else None
        )
        for processor in processors:
            assert self._tracers is not None
            self._tracers.add_span_processor(processor)
        readers = self._metric_readers()
        self._meters = (
            MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False) if readers else None
        )
        self.tracer: Tracer = (self._tracers or NoOpTracerProvider()).get_tracer("scanplane", __version__)
        self.meter: Meter = (self._meters or NoOpMeterProvider()).get_meter("scanplane", __version__)
        self.traces = BatchTraces(self.tracer, settings.trace_ratio if processors else 0.0)
        self.roles = RoleMetrics(self.meter, settings.namespace)
        self._make_own_instruments()

    def _span_processors(self) -> list[SpanProcessor]:
        if self.settings.otlp_endpoint is None or self.settings.trace_ratio <= 0:
            return []
        # Imported where it is used: 0.1 s at the start of every process that exports nothing.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        endpoint = f"{self.settings.otlp_endpoint.rstrip('/')}/v1/traces"
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_TIMEOUT_SECONDS)
        return [BoundedSpans(CountedSpanExporter(exporter, self.exports), self.exports, max_waiting=_MAX_WAITING_SPANS)]

    def _metric_readers(self) -> list[MetricReader]:
        readers: list[MetricReader] = []
        if self._registry is not None:
            from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415  # as above

            readers.append(PrometheusMetricReader(scope_info_enabled=False, registry=self._registry))
            self._registry.register(self._histograms)
            ProcessCollector(registry=self._registry)
        if self.settings.otlp_endpoint is not None:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

            endpoint = f"{self.settings.otlp_endpoint.rstrip('/')}/v1/metrics"
            exporter = OTLPMetricExporter(endpoint=endpoint, timeout=_EXPORT_TIMEOUT_SECONDS)
            counted = CountedMetricExporter(exporter, self.exports, self._histograms.complete)
            interval = self.settings.export_interval_ns / 1e6
            readers.append(PeriodicExportingMetricReader(counted, export_interval_millis=interval))
        return readers

    def _make_own_instruments(self) -> None:
        counters = {
            "log_records_dropped_total": (dropped_records_total, "Log records dropped: the output was too slow."),
            "spans_exported_total": (lambda: self.exports.spans_exported, "Spans that the collector took."),
            "spans_dropped_total": (lambda: self.exports.spans_dropped, "Spans that were dropped or failed to export."),
            "metric_exports_total": (lambda: self.exports.metric_exports, "Exports of metrics that were tried."),
            "metric_exports_failed_total": (
                lambda: self.exports.metric_exports_failed,
                "Exports of metrics that failed.",
            ),
            "figures_refused_total": (lambda: self.roles.refused_figures, "Figures with too many different names."),
        }
        for name, (read, description) in counters.items():

            def observe(_: CallbackOptions, read=read) -> list[Observation]:  # type: ignore[no-untyped-def]  # noqa: ANN001  # bound here
                return [Observation(read(), {"instance": self.settings.instance, "namespace": self.settings.namespace})]

            self.meter.create_observable_counter(f"scanplane_{name}", [observe], description=description)

    def register_role(self, role: ReportsStatus) -> None:
        """Derive metrics from the status of *role* from now on."""
        self.roles.register(role)

    def unregister_role(self, role: ReportsStatus) -> None:
        """Forget *role*."""
        self.roles.unregister(role)

    def latency(self, name: str, description: str, *, role: str, instance: str, **labels: str) -> LatencyHistogram:
        """Return a new histogram shown as ``scanplane_<name>_seconds`` with these labels and the namespace."""
        histogram = LatencyHistogram(name, description)
        common = {"role": role, "instance": instance, "namespace": self.settings.namespace}
        self._histograms.register(histogram, common | labels)
        return histogram

    def forget_latency(self, histogram: LatencyHistogram) -> None:
        """Show *histogram* no longer (its role has ended)."""
        self._histograms.unregister(histogram)

    def sample(self) -> tuple[RoleStatus, ...]:
        """Take every role's status for the metrics; called on the event loop, once a second and before a scrape."""
        return self.roles.sample()

    def prometheus_text(self) -> bytes:
        """Return everything in Prometheus' text format. May be called from any thread; empty if not kept."""
        return b"" if self._registry is None else generate_latest(self._registry)

    def shutdown(self, timeout_seconds: float = 2.0) -> bool:
        """Export what waits and end, at most for *timeout_seconds*; return False if that was not enough."""
        providers = [provider for provider in (self._tracers, self._meters) if provider is not None]
        self._tracers = self._meters = None
        threads = [threading.Thread(target=provider.shutdown, daemon=True) for provider in providers]
        for thread in threads:
            thread.start()
        finished = threading.Event()

        def wait_for_all() -> None:
            for thread in threads:
                thread.join()
            finished.set()

        threading.Thread(target=wait_for_all, daemon=True).start()
        return finished.wait(timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()


def start_telemetry(settings: TelemetrySettings, *, span_processors: Iterable[SpanProcessor] = ()) -> Telemetry:
    """Start what *settings* ask for; use it as a context manager or call ``shutdown``.

    *span_processors* get the spans too (tests listen to them).
    """
    return Telemetry(settings, span_processors=span_processors)
