import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanplane.telemetry.latency import BOUNDS_NS, LatencyHistogram

LATENCIES = st.lists(st.integers(0, 2**38), min_size=1, max_size=200)


class Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


@given(values=LATENCIES, share=st.floats(0.01, 1.0))
def test_a_percentile_is_the_true_one_or_at_most_a_sixteenth_above(values: list[int], share: float) -> None:
    histogram = LatencyHistogram("x", "")
    for value in values:
        histogram.record_ns(value)
    rank = max(1, int(np.ceil(len(values) * share)))
    true = sorted(values)[rank - 1]
    assert true <= histogram.snapshot().percentile_ns(share) <= true + true // 16 + 1


@given(values=LATENCIES)
def test_coarse_buckets_count_what_is_at_most_their_bound(values: list[int]) -> None:
    histogram = LatencyHistogram("x", "")
    for value in values:
        histogram.record_ns(value)
    cumulative = np.cumsum(histogram.snapshot().coarse)
    assert cumulative[-1] == len(values)
    for bound, count in zip(BOUNDS_NS, cumulative, strict=False):
        assert count == sum(value <= bound for value in values)


def test_a_record_may_stand_for_many_events() -> None:
    histogram = LatencyHistogram("x", "")
    histogram.record_ns(1_000_000, count=99)
    histogram.record_ns(80_000_000)
    snapshot = histogram.snapshot()
    assert snapshot.count == 100
    assert snapshot.sum_ns == 179_000_000
    assert snapshot.percentile_ns(0.5) == pytest.approx(1_000_000, rel=0.07)
    assert snapshot.percentile_ns(1.0) == 80_000_000


def test_clocks_that_disagree_count_as_no_latency_and_outages_as_the_longest() -> None:
    histogram = LatencyHistogram("x", "")
    histogram.record_ns(-5)
    histogram.record_ns(-7)
    histogram.record_ns(2**60)
    snapshot = histogram.snapshot()
    assert snapshot.count == 3
    assert snapshot.percentile_ns(0.5) == 0
    assert snapshot.coarse[-1] == 1


def test_nothing_recorded_reads_as_zero() -> None:
    histogram = LatencyHistogram("x", "")
    assert histogram.figures() == {"x_p50_ms": 0.0, "x_p99_ms": 0.0, "x_max_ms": 0.0}


def test_figures_forget_what_is_older_than_the_window() -> None:
    clock = Clock()
    histogram = LatencyHistogram("x", "", window_ns=10, clock_ns=clock)
    histogram.record_ns(50_000_000)
    for clock.now in range(1, 12):
        histogram.recent()
    histogram.record_ns(1_000_000)
    clock.now = 13
    recent = histogram.recent()
    assert recent.count == 1
    assert recent.max_ns == pytest.approx(1_000_000, rel=0.07)
    assert histogram.snapshot().count == 2
