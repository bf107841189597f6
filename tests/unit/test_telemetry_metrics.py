from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scanplane.telemetry import metrics
from scanplane.telemetry.metrics import metric_name
from scanplane.telemetry.setup import Telemetry, TelemetrySettings, start_telemetry
from scanplane.telemetry.status import Phase, RoleStatus


class Analyzer:
    def __init__(self, instance: str = "analyzer-us-0") -> None:
        self.instance = instance
        self.figures: dict[str, float] = {"events_total": 5, "backlog_batches": 2.5}
        self.scanners: dict[str, dict[str, float]] = {"gappers": {"matches": 7, "hits_total": 1}}

    def status(self) -> RoleStatus:
        return RoleStatus(
            role="analyzer",
            instance=self.instance,
            configuration="0123456789",
            phase=Phase.ACTIVE,
            version="1.2.3",
            started_ns=1_700_000_000_000_000_000,
            updated_ns=1_700_000_001_000_000_000,
            generation=4,
            figures=dict(self.figures),
            scanners=self.scanners,
            problems=("cache is slow",),
        )


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    settings = TelemetrySettings(service_name="scanplane-analyzer", instance="analyzer-us-0", namespace="prod")
    with start_telemetry(settings) as started:
        yield started


def samples(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Return every sample by its name and its labels in one line, without the labels that all have."""
    found = {}
    for family in text_string_to_metric_families(telemetry.prometheus_text().decode()):
        for sample in family.samples:
            labels = {
                key: value for key, value in sample.labels.items() if key not in {"role", "instance", "namespace"}
            }
            found[sample.name, ",".join(f"{key}={value}" for key, value in sorted(labels.items()))] = sample.value
    return found


def test_figures_become_counters_and_gauges_with_the_labels_of_their_role(telemetry: Telemetry) -> None:
    telemetry.register_role(Analyzer())
    families = {family.name: family for family in text_string_to_metric_families(telemetry.prometheus_text().decode())}
    assert families["scanplane_events"].type == "counter"
    assert families["scanplane_backlog_batches"].type == "gauge"
    (sample,) = families["scanplane_events"].samples
    assert (sample.name, sample.value) == ("scanplane_events_total", 5)
    assert sample.labels == {"role": "analyzer", "instance": "analyzer-us-0", "namespace": "prod"}


def test_figures_of_scanners_carry_the_scanner_and_a_name_of_their_own(telemetry: Telemetry) -> None:
    analyzer = Analyzer()
    analyzer.figures["matches"] = 100
    telemetry.register_role(analyzer)
    found = samples(telemetry)
    assert found["scanplane_scanner_matches", "scanner=gappers"] == 7
    assert found["scanplane_scanner_hits_total", "scanner=gappers"] == 1
    assert found["scanplane_matches", ""] == 100


def test_phase_problems_and_generation_of_a_role_are_shown(telemetry: Telemetry) -> None:
    telemetry.register_role(Analyzer())
    found = samples(telemetry)
    assert found["scanplane_role_phase", "phase=Active"] == 1
    assert found["scanplane_role_phase", "phase=Standby"] == 0
    assert found["scanplane_role_problems", ""] == 1
    assert found["scanplane_role_generation", ""] == 4
    assert found["scanplane_role_info", "configuration=0123456789,version=1.2.3"] == 1
    assert found["scanplane_role_start_time_seconds", ""] == 1_700_000_000


def test_a_collection_shows_the_last_sample_and_figures_may_appear_later(telemetry: Telemetry) -> None:
    analyzer = Analyzer()
    telemetry.register_role(analyzer)
    analyzer.figures |= {"events_total": 6, "late_events_total": 1}
    assert samples(telemetry)["scanplane_events_total", ""] == 5
    telemetry.sample()
    found = samples(telemetry)
    assert found["scanplane_events_total", ""] == 6
    assert found["scanplane_late_events_total", ""] == 1


def test_several_roles_of_a_process_are_told_apart_and_one_can_leave(telemetry: Telemetry) -> None:
    first, second = Analyzer("analyzer-us-0"), Analyzer("analyzer-us-1")
    telemetry.register_role(first)
    telemetry.register_role(second)
    assert telemetry.prometheus_text().count(b"scanplane_events_total{") == 2
    telemetry.unregister_role(first)
    text = telemetry.prometheus_text()
    assert b'scanplane_events_total{instance="analyzer-us-1"' in text
    assert b'scanplane_events_total{instance="analyzer-us-0"' not in text


def test_figures_with_ever_new_names_are_bounded_and_counted(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MAX_FIGURE_NAMES", 20)
    analyzer = Analyzer()
    analyzer.figures = {f"client_{number}": 1.0 for number in range(100)}
    telemetry.register_role(analyzer)
    assert telemetry.prometheus_text().count(b"scanplane_client_") < 3 * 20
    assert samples(telemetry)["scanplane_figures_refused_total", ""] > 80


def test_a_latency_is_a_histogram_in_seconds(telemetry: Telemetry) -> None:
    latency = telemetry.latency("tick_to_board", "From tick to board.", role="analyzer", instance="analyzer-us-0")
    latency.record_ns(4_000_000, count=3)
    latency.record_ns(30_000_000)
    found = samples(telemetry)
    assert found["scanplane_tick_to_board_seconds_bucket", "le=0.005"] == 3
    assert found["scanplane_tick_to_board_seconds_bucket", "le=0.05"] == 4
    assert found["scanplane_tick_to_board_seconds_bucket", "le=+Inf"] == 4
    assert found["scanplane_tick_to_board_seconds_count", ""] == 4
    assert found["scanplane_tick_to_board_seconds_sum", ""] == pytest.approx(0.042)
    telemetry.forget_latency(latency)
    assert b"tick_to_board" not in telemetry.prometheus_text()


def test_the_process_shows_its_memory_and_processor_time(telemetry: Telemetry) -> None:
    found = samples(telemetry)
    assert found["process_resident_memory_bytes", ""] > 0
    assert found["process_cpu_seconds_total", ""] > 0


def test_with_everything_off_nothing_is_kept_and_calls_still_work() -> None:
    settings = TelemetrySettings(service_name="x", instance="x", namespace="x", prometheus=False)
    with start_telemetry(settings) as telemetry:
        telemetry.register_role(Analyzer())
        assert telemetry.prometheus_text() == b""
        assert telemetry.traces.batch_context() == ""
        assert telemetry.sample()[0].instance == "analyzer-us-0"


def test_a_name_that_no_collector_takes_is_made_to_fit() -> None:
    assert metric_name("lag.p99 (ms)") == "scanplane_lag_p99__ms_"
