"""The arithmetic of the benchmark's report: a wrong ratio would be believed."""

import math

import pytest

from bench.report import Better, Comparison, Figure, PartResult, Verdict, percentile, to_document


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


def test_a_goal_is_reached_from_the_right_side_only() -> None:
    assert rate(1.0, 200.0, 300.0, goal=200.0).verdict is Verdict.REACHED
    assert rate(1.0, 199.0, 300.0, goal=200.0).verdict is Verdict.MISSED
    assert latency(49.0, goal=50.0).verdict is Verdict.REACHED
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
    assert (found["comparisons"][0]["ratio"], found["comparisons"][0]["verdict"]) == (100.0, "reached")
    assert found["comparisons"][0]["ours"]["values"] == (100.0, 300.0, 200.0)
