"""The arithmetic of the benchmark's report: a wrong ratio would be believed."""

import io
import math
from collections.abc import Mapping

import pytest
from rich.console import Console

from bench.command import exit_code
from bench.printing import print_goals
from bench.report import (
    Better,
    Comparison,
    Figure,
    PartResult,
    Unmeasured,
    Verdict,
    goals_of,
    percentile,
    to_document,
)


def rate(*values: float, goal: float | None = None) -> Figure:
    return Figure(name="rate", unit="events/s", values=values, goal=goal)


def latency(*values: float, goal: float | None = None) -> Figure:
    return Figure(name="latency", unit="ms", values=values, better=Better.LESS, goal=goal)


def test_the_median_is_the_middle_run_and_of_two_runs_their_mean() -> None:
    assert rate(5.0, 1.0, 100.0).median == 5.0
    assert rate(2.0, 4.0).median == 3.0
    assert (rate(5.0, 1.0, 100.0).least, rate(5.0, 1.0, 100.0).greatest) == (1.0, 100.0)


def test_a_ratio_is_that_of_the_medians_and_not_of_the_best_runs() -> None:
    compared = Comparison(name="publish", ours=rate(90.0, 100.0, 900.0), other=rate(1.0, 2.0, 9.0))
    assert compared.ratio == 50.0
    assert compared.lowest_ratio == 10.0


def test_where_less_is_better_the_ratio_says_how_many_times_less_ours_is() -> None:
    compared = Comparison(name="evaluate", ours=latency(1.0, 2.0, 3.0), other=latency(10.0, 20.0, 30.0))
    assert compared.ratio == 10.0
    assert compared.lowest_ratio == pytest.approx(10.0 / 3.0)


def test_another_that_did_nothing_makes_an_infinite_ratio() -> None:
    assert math.isinf(Comparison(name="stalled", ours=rate(1.0), other=rate(0.0)).ratio)


def test_figures_of_different_units_or_directions_are_not_compared() -> None:
    with pytest.raises(ValueError, match=r"events/s.*ms"):
        Comparison(name="apples", ours=rate(1.0), other=latency(1.0))


def test_a_goal_is_met_from_the_right_side_only() -> None:
    assert rate(1.0, 200.0, 300.0, goal=200.0).verdict is Verdict.MET
    assert rate(1.0, 199.0, 300.0, goal=200.0).verdict is Verdict.MISSED
    assert latency(49.0, goal=50.0).verdict is Verdict.MET
    assert latency(51.0, goal=50.0).verdict is Verdict.MISSED
    assert rate(1.0).verdict is Verdict.NO_GOAL
    assert Comparison(name="publish", ours=rate(49.0), other=rate(1.0), goal=50.0).verdict is Verdict.MISSED


def test_a_percentile_is_a_value_that_was_measured() -> None:
    hundred = [float(number) for number in range(100, 0, -1)]
    assert percentile(hundred, 0.50) == 50.0
    assert percentile(hundred, 0.99) == 99.0
    assert percentile(hundred, 1.0) == 100.0
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.99) == 0.0


def test_the_document_holds_every_value_with_medians_and_ratios_worked_out() -> None:
    compared = Comparison(name="publish", ours=rate(100.0, 300.0, 200.0), other=rate(2.0), goal=50.0)
    part = PartResult(title="Publishing", meaning="...", figures=(latency(3.0, 1.0, 2.0),), comparisons=(compared,))
    document = to_document({"cores": 2}, {"publish": part})
    found = document["parts"]["publish"]
    assert document["conditions"] == {"cores": 2}
    assert (found["figures"][0]["median"], found["figures"][0]["values"]) == (2.0, (3.0, 1.0, 2.0))
    assert (found["comparisons"][0]["ratio"], found["comparisons"][0]["verdict"]) == (100.0, "met")
    assert found["comparisons"][0]["ours"]["values"] == (100.0, 300.0, 200.0)


def part(
    *figures: Figure, comparisons: tuple[Comparison, ...] = (), unmeasured: tuple[Unmeasured, ...] = ()
) -> PartResult:
    return PartResult(title="Part", meaning="...", figures=figures, comparisons=comparisons, unmeasured=unmeasured)


def told(results: Mapping[str, PartResult | str]) -> list[tuple[str, str, float | None, float | None, str]]:
    return [(each.part, each.name, each.measured, each.goal, str(each.verdict)) for each in goals_of(results)]


def test_every_goal_is_told_once_with_what_was_measured() -> None:
    ours = rate(90.0, 110.0, goal=80.0)
    twice = (
        Comparison(name="near", ours=ours, other=rate(1.0), goal=50.0),
        Comparison(name="at its best", ours=ours, other=rate(4.0)),
    )
    assert told({"publish": part(ours, latency(7.0, goal=5.0), rate(1.0), comparisons=twice)}) == [
        ("publish", "near", 100.0, 50.0, "met"),
        ("publish", "near: rate", 100.0, 80.0, "met"),
        ("publish", "latency", 7.0, 5.0, "MISSED"),
    ]


def test_what_could_not_be_measured_is_missed_and_says_why() -> None:
    alone = part(rate(500.0, goal=400.0), unmeasured=(Unmeasured(name="near", goal=50.0, reason="no original"),))
    results = {"publish": alone, "cluster": "no containerd"}
    assert told(results) == [
        ("publish", "rate", 500.0, 400.0, "met"),
        ("publish", "near", None, 50.0, "MISSED"),
        ("cluster", "the whole part", None, None, "MISSED"),
    ]
    assert [each.reason for each in goals_of(results)] == ["", "no original", "no containerd"]
    assert [each["reason"] for each in to_document({}, results)["goals"]] == ["", "no original", "no containerd"]


CODES = [
    ("all met", {"publish": part(rate(500.0, goal=400.0))}, 0, 0),
    ("no goals", {"publish": part(rate(500.0))}, 0, 0),
    ("one missed", {"publish": part(rate(500.0, goal=400.0), latency(7.0, goal=5.0))}, 0, 1),
    ("one side missing", {"publish": part(unmeasured=(Unmeasured(name="near", goal=50.0, reason="no"),))}, 0, 1),
    ("a part that failed", {"publish": part(rate(500.0, goal=400.0)), "cluster": "no containerd"}, 1, 1),
]


@pytest.mark.parametrize(("results", "lenient", "strict"), [row[1:] for row in CODES], ids=[row[0] for row in CODES])
def test_the_exit_code_tells_of_failed_parts_and_where_strict_of_missed_goals(
    results: Mapping[str, PartResult | str], lenient: int, strict: int
) -> None:
    assert exit_code(results, strict=False) == lenient
    assert exit_code(results, strict=True) == strict


def test_the_end_of_a_run_shows_a_line_for_each_goal() -> None:
    shown = io.StringIO()
    compared = Comparison(name="near", ours=rate(90.0), other=rate(1.0), goal=50.0)
    results: dict[str, PartResult | str] = {"publish": part(latency(7.0, goal=5.0), comparisons=(compared,))}
    print_goals(Console(file=shown, width=130), goals_of(results | {"cluster": "no containerd"}))
    lines = [" ".join(line.split()) for line in shown.getvalue().splitlines()]
    assert lines[1].startswith("Goals: 1 of 3 met")
    assert lines[3:] == [
        "met publish near 90.0 times at least 50.0 times",
        "MISSED publish latency 7.00 ms at most 5.00 ms",
        "MISSED cluster the whole part not measured: no containerd",
    ]
