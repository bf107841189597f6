"""What every run has: findings at its end, and an order in which two processes share the work without sharing a server."""

from collections.abc import Generator

import pytest

from support.findings import take

FINDING = "finding"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    report.user_properties += [(FINDING, line) for line in take()]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines: dict[str, list[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            found = [str(value) for name, value in getattr(report, "user_properties", ()) if name == FINDING]
            if found:
                lines.setdefault(report.nodeid, []).extend(found)
    if lines:
        terminalreporter.section("what was seen and measured")
    for test, found in sorted(lines.items()):
        terminalreporter.write_line(test)
        for line in dict.fromkeys(found):
            terminalreporter.write_line(f"  {line}")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each file a process of its own, and all files on one server the same; what takes longest comes first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    first = ["cluster", "operator"]
    items.sort(key=lambda item: first.index(group) if (group := _group(item)) in first else len(first))


def _group(item: pytest.Item) -> str:
    if "cluster" in getattr(item, "fixturenames", ()) and "e2e" in item.path.parts:
        return "cluster"
    return "operator" if "operator_cluster" in getattr(item, "fixturenames", ()) else item.path.stem
