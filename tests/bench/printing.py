"""The report for people: tables on a terminal, the same as plain text where there is none."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.report import Better, Comparison, Figure, GoalResult, PartResult, Verdict

__all__ = ["new_console", "print_conditions", "print_goals", "print_part"]

_PLAIN_WIDTH = 130
_STYLES = {Verdict.MET: "green", Verdict.MISSED: "red", Verdict.NO_GOAL: ""}


def new_console() -> Console:
    """Return the console; a pipe or file gets lines wide enough for every table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _spread(figure: Figure) -> str:
    if len(figure.values) == 1:
        return "one run"
    return f"[{_number(figure.least)} - {_number(figure.greatest)}]"


def _goal(goal: float | None, verdict: Verdict, unit: str = "") -> Text:
    if goal is None:
        return Text("")
    return Text(f"{_number(goal)}{unit} {verdict}", _STYLES[verdict])


def print_conditions(console: Console, conditions: Mapping[str, Any]) -> None:
    """Print what everything was measured on."""
    libraries = ", ".join(f"{name} {version}" for name, version in conditions["libraries"].items())
    servers = ", ".join(f"{name} {version}" for name, version in conditions["servers"].items())
    load = " ".join(map(str, conditions["loadBefore"]))
    console.print(f"[bold]Scanplane {conditions['scanplane']} benchmark[/bold], {conditions['time']}")
    console.print(
        f"{conditions['cores']} cores ({conditions['processor']}), {conditions['memoryGiB']} GiB, {conditions['system']}"
    )
    console.print(f"Python {conditions['python']}, {servers}; {libraries}")
    console.print(f"load average before: {load} (where others use the machine too, trust ratios more than rates)")


def print_part(console: Console, part: PartResult, seconds: float, load_before: float) -> None:
    """Print one part: what it means, its comparisons, its figures."""
    console.print()
    console.rule(f"[bold]{part.title}[/bold]", align="left")
    console.print(Text(part.meaning, "dim"))
    if part.comparisons:
        console.print(_comparisons(part.comparisons))
    if part.figures:
        console.print(_figures(part.figures))
    for remark in part.remarks:
        console.print(Text(remark, "yellow"))
    console.print(Text(f"took {seconds:.0f} s, load average before {load_before:.1f}", "dim"))


def print_goals(console: Console, goals: Sequence[GoalResult]) -> None:
    """Print one line for each goal, and how many there are."""
    met = sum(goal.verdict is Verdict.MET for goal in goals)
    console.print()
    console.rule(f"[bold]Goals: {met} of {len(goals)} met[/bold]", align="left")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("", "part", "what"):
        table.add_column(name)
    table.add_column("measured", justify="right")
    table.add_column("goal")
    for each in goals:
        measured = f"not measured: {each.reason}" if each.measured is None else f"{_number(each.measured)} {each.unit}"
        bound = "at least" if each.better is Better.MORE else "at most"
        goal = "" if each.goal is None else f"{bound} {_number(each.goal)} {each.unit}"
        verdict = Text(each.verdict, _STYLES[each.verdict])
        table.add_row(verdict, each.part, Text(each.name), Text(measured), goal)
    console.print(table)


def _comparisons(comparisons: tuple[Comparison, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("median [least - greatest]")
    for name in ("unit", "the other's", "ours", "ratio", "goal"):
        table.add_column(name, justify="left" if name in {"unit", "goal"} else "right")
    for each in comparisons:
        table.add_row(
            each.name,
            each.ours.unit,
            f"{_number(each.other.median)} {_spread(each.other)}",
            f"{_number(each.ours.median)} {_spread(each.ours)}",
            Text(f"{_number(each.ratio)} times", "bold"),
            _goal(each.goal, each.verdict, " times"),
        )
    return table


def _figures(figures: tuple[Figure, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("figure")
    table.add_column("median", justify="right")
    table.add_column("[least - greatest]", justify="right")
    table.add_column("unit")
    table.add_column("goal")
    table.add_column("")
    for each in figures:
        median = Text(_number(each.median), "bold")
        goal = _goal(each.goal, each.verdict)
        table.add_row(each.name, median, Text(_spread(each)), each.unit, goal, Text(each.remark, "dim"))
    return table
