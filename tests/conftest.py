"""What every run has: findings at its end, and an order in which two processes share the work without sharing a server."""

from collections.abc import Generator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: _FIRST.index(group) if (group := _group(item.nodeid)) in _FIRST else len(_FIRST))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _ByServer(config, log)


class _ByServer(LoadScopeScheduling):
    """Each file runs in one process, and all files on the same server do in the same."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


_FIRST = ("cluster", "operator")


def _group(nodeid: str) -> str:
    path = nodeid.partition("::")[0]
    name = path.rpartition("/")[2]
    if name.startswith(("test_cluster", "test_chart_install")) and "/e2e/" in path:
        return "cluster"
    return "operator" if name.startswith("test_operator") and "/integration/" in path else path
