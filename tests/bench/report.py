"""What a benchmark found, and the arithmetic on it. No I/O, no clock.

A figure is several short runs, never one: its median says what it is, its least and greatest value how much the machine
moved meanwhile. A comparison is the quotient of two medians that were taken in turns on the same servers. What has a goal and
was not measured is missed.
"""

import enum
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

__all__ = [
    "TIMES",
    "Better",
    "Comparison",
    "Figure",
    "GoalResult",
    "PartResult",
    "Unmeasured",
    "Verdict",
    "goals_of",
    "percentile",
    "to_document",
]

TIMES = "times"
"""The unit of a ratio."""


class Better(enum.StrEnum):
    """Which direction is good."""

    MORE = "more"
    LESS = "less"


class Verdict(enum.StrEnum):
    """Whether a goal was met in this run."""

    MET = "met"
    MISSED = "MISSED"
    NO_GOAL = "no goal"


class Figure(Struct, frozen=True, kw_only=True):
    """The values of several runs, in *unit*; ``goal`` is what the median should reach."""

    name: str
    unit: str
    values: tuple[float, ...]
    better: Better = Better.MORE
    goal: float | None = None
    remark: str = ""

    @property
    def median(self) -> float:
        """The middle value, of an even number the mean of the two in the middle."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def greatest(self) -> float:
        """The largest value."""
        return max(self.values)

    @property
    def verdict(self) -> Verdict:
        """Whether the median meets the goal."""
        return _verdict(self.median, self.goal, self.better)


class Comparison(Struct, frozen=True, kw_only=True):
    """Ours beside another's figure for the same work; ``goal`` is the ratio that should be reached."""

    name: str
    ours: Figure
    other: Figure
    goal: float | None = None

    def __post_init__(self) -> None:
        if (self.ours.unit, self.ours.better) != (self.other.unit, self.other.better):
            raise ValueError(f"{self.name}: {self.ours.unit!r} and {self.other.unit!r} are not compared")

    @property
    def ratio(self) -> float:
        """How many times better ours is, by the medians; infinite where the worse side is 0."""
        good, bad = self.ours.median, self.other.median
        if self.ours.better is Better.LESS:
            good, bad = bad, good
        return good / bad if bad else float("inf")

    @property
    def lowest_ratio(self) -> float:
        """Our worst run against the other's best."""
        if self.ours.better is Better.LESS:
            good, bad = self.other.least, self.ours.greatest
        else:
            good, bad = self.ours.least, self.other.greatest
        return good / bad if bad else float("inf")

    @property
    def verdict(self) -> Verdict:
        """Whether the ratio meets the goal."""
        return _verdict(self.ratio, self.goal, Better.MORE)


class Unmeasured(Struct, frozen=True, kw_only=True):
    """A goal whose figure or ratio could not be measured, and why."""

    name: str
    goal: float
    reason: str
    unit: str = TIMES
    better: Better = Better.MORE


class PartResult(Struct, frozen=True, kw_only=True):
    """What one part of the benchmark found. ``meaning`` says what was done and what it does not say."""

    title: str
    meaning: str
    figures: tuple[Figure, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()
    remarks: tuple[str, ...] = ()


class GoalResult(Struct, frozen=True, kw_only=True):
    """A goal of one part, what was measured, and why nothing was; of a part that was not done at all it is all that is known."""

    part: str
    name: str
    unit: str = ""
    better: Better = Better.MORE
    goal: float | None = None
    measured: float | None = None
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether it was measured and met."""
        return Verdict.MISSED if self.measured is None else _verdict(self.measured, self.goal, self.better)


def goals_of(parts: Mapping[str, PartResult | str]) -> tuple[GoalResult, ...]:
    """Return every goal of *parts*, in their order; of a part that could not be measured *parts* says why."""
    return tuple(goal for name, part in parts.items() for goal in _goals_of_part(name, part))


def _goals_of_part(name: str, part: PartResult | str) -> Iterator[GoalResult]:
    if isinstance(part, str):
        yield GoalResult(part=name, name="the whole part", reason=part)
        return
    for compared in part.comparisons:
        if compared.goal is not None:
            yield GoalResult(part=name, name=compared.name, unit=TIMES, goal=compared.goal, measured=compared.ratio)
    figures: dict[Figure, str] = {}  # one that is compared twice, or shown beside, has one goal
    for compared in part.comparisons:
        figures.setdefault(compared.ours, f"{compared.name}: {compared.ours.name}")
    for figure in part.figures:
        figures.setdefault(figure, figure.name)
    for figure, what in figures.items():
        if figure.goal is not None:
            yield GoalResult(
                part=name,
                name=what,
                unit=figure.unit,
                better=figure.better,
                goal=figure.goal,
                measured=figure.median,
            )
    for each in part.unmeasured:
        yield GoalResult(
            part=name, name=each.name, unit=each.unit, better=each.better, goal=each.goal, reason=each.reason
        )


def percentile(values: list[float], share: float) -> float:
    """Return the smallest of *values* that at least *share* (0 to 1) of them do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered), -int(-len(ordered) * share // 1)) - 1)]


def to_document(conditions: Mapping[str, Any], parts: Mapping[str, PartResult | str]) -> dict[str, Any]:
    """Return everything as plain values for JSON, with medians and ratios worked out."""
    return {
        "conditions": dict(conditions),
        "goals": [msgspec.structs.asdict(goal) | {"verdict": goal.verdict} for goal in goals_of(parts)],
        "parts": {
            name: {
                "title": part.title,
                "meaning": part.meaning,
                "figures": [_figure(figure) for figure in part.figures],
                "comparisons": [
                    {
                        "name": each.name,
                        "ours": _figure(each.ours),
                        "other": _figure(each.other),
                        "ratio": each.ratio,
                        "lowestRatio": each.lowest_ratio,
                        "goal": each.goal,
                        "verdict": each.verdict,
                    }
                    for each in part.comparisons
                ],
                "remarks": list(part.remarks),
            }
            for name, part in parts.items()
            if isinstance(part, PartResult)
        },
    }


def _figure(figure: Figure) -> dict[str, Any]:
    worked_out = {
        "median": figure.median,
        "least": figure.least,
        "greatest": figure.greatest,
        "verdict": figure.verdict,
    }
    return msgspec.structs.asdict(figure) | worked_out


def _verdict(value: float, goal: float | None, better: Better) -> Verdict:
    if goal is None:
        return Verdict.NO_GOAL
    reached = value >= goal if better is Better.MORE else value <= goal
    return Verdict.MET if reached else Verdict.MISSED
