"""The user's journey on a real cluster: from `helm install` to boards, with changes in mid-session that lose nothing.

One session, played by the simulated provider in a pod. It waits while nobody is connected and never runs ahead of its
client, so a run that is changed ten times must end like one that was left alone: `scanplane up` on the same session.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from support.cluster import Cluster
from support.cluster_resources import BOARDS, EVERYTHING, apply_resources, resources
from support.commands import UpProcess
from support.journeys import SimulatorProcess
from support.scanners_namespace import ScannersNamespace, installed, wait_until

pytestmark = [pytest.mark.server, pytest.mark.journey]

EVENTS = 120_000
SESSION = ["--events", str(EVENTS), "--patient"]
SPEED = 400
SECOND_NS = 1_000_000_000

SECRET = """
---
apiVersion: v1
kind: Secret
metadata: {name: provider}
stringData: {apiKey: demo}
"""


@pytest.fixture(scope="module")
def scanners(cluster: Cluster) -> Iterator[ScannersNamespace]:
    """The chart with a simulated provider that has not begun: it waits for its first client."""
    with installed(
        cluster, {"simulator.enabled": True, "simulator.speed": SPEED, "simulator.arguments": SESSION}
    ) as namespace:
        yield namespace


def rows(board: Mapping[str, Any]) -> list[Any]:
    """Return a board as it stands: symbols with their figures, best first."""
    return list(board["data"]["rows"])


def is_applied(listener: Mapping[str, Any], analyzers: Sequence[Mapping[str, Any]], since_ns: int) -> bool:
    """Whether every analyzer has evaluated an instant after the last event, by what was said after *since_ns*."""
    figures = listener.get("figures", {})
    newest = figures.get("event_time_unix_seconds", 0.0)
    return (
        all(each.get("updatedNs", 0) > since_ns for each in (listener, *analyzers))
        and figures.get("waiting_bytes") == 0
        and newest > 0
        and all(each.get("figures", {}).get("tick_unix_seconds", 0.0) > newest for each in analyzers)
    )


def undisturbed(folder: Path) -> dict[str, list[Any]]:
    """Return the boards that `scanplane up` ends with, nothing changed on the way."""
    with SimulatorProcess(folder, "market", "--speed", "0", "--hold", *SESSION) as provider:
        file = folder / "resources.yaml"
        file.write_text(resources(provider.url.removeprefix("ws://"), "provider") + SECRET)
        with UpProcess(folder / "up.log", file) as up:
            provider.wait_until_finished()
            end_ns = time.time_ns() + SECOND_NS
            wait_until(
                lambda: is_applied(up.status("listener-massive"), [up.status("analyzer-us-stocks-0")], end_ns),
                "all is applied",
            )
            return {name: rows(up.get(f"/v1/boards/us-stocks/{name}")) for name in BOARDS}


class Journey:
    """The changes of one session, each waited for, with what they rolled."""

    def __init__(self, scanners: ScannersNamespace) -> None:
        self.scanners = scanners
        self.before = scanners.revisions()

    def rolled(self) -> dict[str, int]:
        """Return what was rolled out since the last question, and how often."""
        now = self.scanners.revisions()
        changed = {name: count - self.before.get(name, 0) for name, count in now.items()}
        self.before = now
        return {name: count for name, count in changed.items() if count}

    def wait_events(self, share: float) -> None:
        """Wait until a share of the session has been played."""
        wait_until(lambda: self.scanners.simulator().get("events", 0) >= share * EVENTS, f"{share:.0%} of the session")


def gaps(book: Mapping[str, Any]) -> list[str]:
    """Return the simulated provider's account of the hand-overs."""
    lines = [f"{book['connections']['total']} connections, never two at once; between one and the next:"]
    for before, after in pairwise(book["log"]):
        gap_ms = (after["openedNs"] - before["closedNs"]) / 1e6
        login_ms = (after["authenticatedNs"] - after["openedNs"]) / 1e6
        lines.append(f"  {gap_ms:.0f} ms, and {login_ms:.0f} ms until it was let in")
    return lines


def test_changes_in_mid_session_roll_what_they_must_and_lose_nothing(
    scanners: ScannersNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = undisturbed(tmp_path)
    apply_resources(scanners)
    scanners.wait_ready(*EVERYTHING)
    journey = Journey(scanners)
    steps: list[str] = []

    journey.wait_events(0.1)
    scanners.patch("feed/massive", {"staleAfter": "20s"})
    scanners.wait_ready("feed/massive")
    assert journey.rolled() == {"listener-massive": 1}
    assert any("FeedChanged (Feed/massive edited)" in line for line in scanners.events("FeedChanged"))
    steps.append("a Feed edited: the listener")

    journey.wait_events(0.25)
    scanners.patch("scanner/leaders", {"board": {"limit": 25}})
    scanners.wait_ready("scanner/leaders", "market/us-stocks")
    scanners.patch("scanner/leaders", {"board": {"limit": 20}})
    scanners.wait_ready("scanner/leaders", "market/us-stocks")
    assert journey.rolled() == {"analyzer-us-stocks-0": 2}
    steps.append("a Scanner edited, and back: the analyzer, twice")

    journey.wait_events(0.4)
    scanners.kubectl("patch", "secret/scanplane-simulator", "--patch", '{"stringData": {"apiKey": "demo\\n"}}')
    wait_until(lambda: bool(scanners.events("CredentialsRotated")), "the rotation is seen")
    scanners.wait_ready("feed/massive", "market/us-stocks")
    assert journey.rolled() == {"listener-massive": 1, "analyzer-us-stocks-0": 1}
    steps.append("a key rotated: the listener, and the analyzer, which asks the provider for closes with it")

    journey.wait_events(0.55)
    scanners.kubectl("scale", "market/us-stocks", "--replicas=3")
    scanners.wait_ready("market/us-stocks", "feed/massive")
    rolled = journey.rolled()
    assert rolled.keys() == {"listener-massive", "analyzer-us-stocks-0", "analyzer-us-stocks-1", "analyzer-us-stocks-2"}
    assert rolled["listener-massive"] == 1
    steps.append("scaled to three: every analyzer, then the listener")

    journey.wait_events(0.7)
    scanners.kubectl("rollout", "restart", "deployment/scanplane-analyzer-us-stocks-1")
    scanners.kubectl("rollout", "status", "deployment/scanplane-analyzer-us-stocks-1", "--timeout=120s", patience_s=130)
    assert journey.rolled() == {"analyzer-us-stocks-1": 1}
    steps.append("kubectl rollout restart: that one, and the operator leaves it so")

    wait_until(lambda: bool(scanners.simulator().get("finished")), "the end of the session")
    end_ns = time.time_ns() + SECOND_NS
    wait_until(
        lambda: is_applied(
            scanners.roles().get("listener-massive", {}),
            [scanners.roles().get(f"analyzer-us-stocks-{index}", {}) for index in range(3)],
            end_ns,
        ),
        "all is applied",
    )
    book, roles = scanners.simulator(), scanners.roles()
    assert book["connections"]["maximum"] == 1
    assert book["unheard"] == 0
    assert book["events"] == EVENTS
    losses = ("missing_batches_total", "repeated_batches_total", "dropped_events_total", "lost_states_total")
    counts = {f"{name} {figure}": role["figures"].get(figure, 0) for name, role in roles.items() for figure in losses}
    assert not {what: count for what, count in counts.items() if count}
    for name in BOARDS:
        assert rows(scanners.board(name)) == expected[name], name
    with capsys.disabled():
        sys.stdout.write("\n" + "".join(f"  {line}\n" for line in (*steps, *gaps(book))))
