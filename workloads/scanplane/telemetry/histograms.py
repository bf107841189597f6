"""Latency histograms in the two forms that collectors take: Prometheus families and OTLP data points.

OpenTelemetry has no observable histogram: its own is recorded value by value, under a lock, on the hot path.
So the counts of :class:`LatencyHistogram` are put beside what its SDK collects.
"""

import time
from collections.abc import Iterable
from itertools import accumulate

from msgspec import Struct
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from scanplane.telemetry.latency import BOUNDS_NS, LatencyHistogram

__all__ = ["LatencyHistograms"]

_BOUNDS_SECONDS = tuple(bound / 1e9 for bound in BOUNDS_NS)
_SCOPE = InstrumentationScope("scanplane")


class _Registered(Struct, frozen=True):
    histogram: LatencyHistogram
    labels: dict[str, str]


class LatencyHistograms(Collector):
    """Every latency histogram of this process. Histograms of one name have the same label names."""

    def __init__(self) -> None:
        self._registered: list[_Registered] = []
        self._started_ns = time.time_ns()

    def register(self, histogram: LatencyHistogram, labels: dict[str, str]) -> None:
        """Show *histogram* with *labels* from now on."""
        self._registered.append(_Registered(histogram, dict(labels)))

    def unregister(self, histogram: LatencyHistogram) -> None:
        """Show *histogram* no longer."""
        self._registered = [each for each in self._registered if each.histogram is not histogram]

    def _by_name(self) -> dict[str, list[_Registered]]:
        groups: dict[str, list[_Registered]] = {}
        for each in tuple(self._registered):
            groups.setdefault(each.histogram.name, []).append(each)
        return groups

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return one Prometheus family for each name."""
        for name, group in self._by_name().items():
            family = HistogramMetricFamily(
                f"scanplane_{name}_seconds", group[0].histogram.description, labels=sorted(group[0].labels)
            )
            for each in group:
                snapshot = each.histogram.snapshot()
                bounds = [*(str(bound) for bound in _BOUNDS_SECONDS), "+Inf"]
                buckets = list(zip(bounds, accumulate(snapshot.coarse), strict=True))
                values = [each.labels[label] for label in sorted(each.labels)]
                family.add_metric(values, buckets=buckets, sum_value=snapshot.sum_ns / 1e9)
            yield family

    def complete(self, collected: MetricsData) -> MetricsData:
        """Return *collected* with the histograms added, as OTLP sends it."""
        if not self._registered or not collected.resource_metrics:
            return collected
        first, *others = collected.resource_metrics
        scope = ScopeMetrics(scope=_SCOPE, metrics=self._metrics(), schema_url="")
        joined = ResourceMetrics(
            resource=first.resource, scope_metrics=[*first.scope_metrics, scope], schema_url=first.schema_url
        )
        return MetricsData(resource_metrics=[joined, *others])

    def _metrics(self) -> list[Metric]:
        now = time.time_ns()
        return [
            Metric(
                name=f"scanplane_{name}_seconds",
                description=group[0].histogram.description,
                unit="s",
                data=Histogram([self._point(each, now) for each in group], AggregationTemporality.CUMULATIVE),
            )
            for name, group in self._by_name().items()
        ]

    def _point(self, each: _Registered, now_ns: int) -> HistogramDataPoint:
        snapshot = each.histogram.snapshot()
        return HistogramDataPoint(
            attributes=each.labels,
            start_time_unix_nano=self._started_ns,
            time_unix_nano=now_ns,
            count=sum(snapshot.coarse),
            sum=snapshot.sum_ns / 1e9,
            bucket_counts=snapshot.coarse,
            explicit_bounds=_BOUNDS_SECONDS,
            min=0.0,
            max=snapshot.max_ns / 1e9,
        )
