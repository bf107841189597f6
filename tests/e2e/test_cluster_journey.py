"""The user's journey on a real cluster: from `helm install` to boards, with changes in mid-session that lose nothing.

One session, played by the simulated provider in a pod. It waits while nobody is connected and never runs ahead of its
client, so a run that is changed ten times must end like one that was left alone: `scanplane up` on the same session.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.cluster import Cluster
from support.cluster_resources import BOARDS, EVERYTHING, apply_resources, resources
from support.commands import UpProcess
from support.findings import say
from support.journeys import SimulatorProcess
from support.scanners_namespace import ScannersNamespace, installed, table_rows, wait_until

pytestmark = [pytest.mark.server, pytest.mark.journey]

EVENTS = 120_000
SESSION = ["--events", str(EVENTS), "--patient"]
SPEED = 240
SECOND_NS = 1_000_000_000

TAKEN_OVER_WITHIN_S = 2.0
"""After kill -9: the second that a standby promises, and one for the program that kills and for whoever shares the machine."""
GAP_LESS_THAN_MS = 5000.0
"""Between the provider's connections. No measure of speed: the benchmark's parts ``restart`` and ``cluster`` are."""

CLOSED_PROPERLY = 1000
"""The provider has lost nothing that was on its way: whoever is killed leaves without a word."""

FIGURES = {
    "dataplane/default": {"clientCount", "deliveriesPerSecond"},
    "feed/massive": {
        *("connection", "eventsPerSecond", "lagP99Milliseconds", "reconnectsTotal", "rejectedEventsTotal"),
        *("droppedEventsTotal", "lastEventTime"),
    },
    "market/us-stocks": {"session", "symbolCount", "eventsPerSecond", "lagP99Milliseconds", "lostBatchesTotal"},
    "subscription/us-stocks-seconds": {
        *("eventsPerSecond", "symbolCount", "unacknowledgedTopics", "droppedEventsTotal"),
    },
    "scanner/top-volume": {"matches"},
    "scanner/leaders": {"matches", "signalsTotal", "lastSignalTime"},
}
"""What the operator reads from the roles into each status."""
MOVING = ("eventsPerSecond", "symbolCount", "matches", "signalsTotal")
"""Figures that are greater than 0 in a session that is under way."""

CELLS = {
    "feed/massive": ("READY", "CONNECTION", "EVENTS/S", "LAG-MS", "AGE"),
    "market/us-stocks": ("READY", "SESSION", "SYMBOLS", "EVENTS/S", "AGE"),
    "subscription/us-stocks-seconds": ("READY", "SYMBOLS", "EVENTS/S", "AGE"),
    **{f"scanner/{name}": ("READY", "MATCHES", "AGE") for name in BOARDS},
}
"""What people look for in `kubectl get`."""

ON_THIS_MACHINE = """
---
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec: {gateway: {port: 0}}
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
        file.write_text(resources(provider.url.removeprefix("ws://"), "provider") + ON_THIS_MACHINE)
        with UpProcess(folder / "up.log", file) as up:
            provider.wait_until_finished()
            end_ns = time.time_ns() + SECOND_NS
            wait_until(
                lambda: is_applied(up.status("listener-massive"), [up.status("analyzer-us-stocks-0")], end_ns),
                "all is applied",
            )
            return {name: rows(up.get(f"/v1/boards/us-stocks/{name}")) for name in BOARDS}


ANALYZERS = ("analyzer-us-stocks-0", "analyzer-us-stocks-1")
"""Those there are in the end."""

LOSSES = ("missing_batches_total", "repeated_batches_total", "dropped_events_total", "lost_states_total")

Change = Callable[["Journey"], str]
"""Makes a change and waits until it is made; returns what it has shown."""


def missing_figures(scanners: ScannersNamespace) -> list[str]:
    """Return the figures that a status does not have, and those that do not move in a session that is under way."""
    missing = []
    for name, figures in FIGURES.items():
        status = scanners.get(name)["status"]
        missing += [f"{name} {each}" for each in figures if each not in status or (each in MOVING and not status[each])]
    return missing


def empty_cells(rows: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what somebody who asks for everything does not see, or does not see to be well."""
    cells = [(name, heading) for name, headings in CELLS.items() for heading in headings]
    empty = [f"{name} {heading}" for name, heading in cells if rows.get(name, {}).get(heading, "") in {"", "<none>"}]
    return empty + [f"{name} is not ready" for name in CELLS if rows.get(name, {}).get("READY") != "True"]


def kill_the_active_analyzer(scanners: ScannersNamespace) -> tuple[float, float]:
    """Kill -9 the analyzer that works; return the seconds until its standby held the baton, and until it had evaluated."""
    roles: dict[str, dict[str, Any]] = {}

    def are_two() -> bool:
        roles.update({pod: scanners.role(pod) for pod in scanners.pods("analyzer-us-stocks-0")})
        return sorted(role.get("phase", "") for role in roles.values()) == ["Active", "Standby"]

    wait_until(are_two, "one works and one stands by")
    active, standby = sorted(roles, key=lambda pod: str(roles[pod]["phase"]))
    seconds: dict[str, float] = {}

    def takes_over() -> bool:
        role = scanners.role(standby)
        if role.get("phase") == "Active":
            seconds.setdefault("holds", time.monotonic() - killed)
            if role["figures"].get("evaluations_total", 0) > 0:
                seconds.setdefault("works", time.monotonic() - killed)
        return "works" in seconds

    killed = time.monotonic()
    scanners.kill(active)
    wait_until(takes_over, "the standby takes over", pause_s=0.01)

    def is_told() -> bool:
        told = scanners.roles().get("analyzer-us-stocks-0", {})
        newest = scanners.role(standby)
        return all(told.get(name) == newest[name] for name in ("startedNs", "generation", "phase"))

    wait_until(is_told, "the gateway names the one that took over")
    assert scanners.role(standby)["generation"] > roles[active]["generation"]

    def is_back() -> bool:
        (status,) = scanners.get(f"pod/{active}")["status"]["containerStatuses"]
        ended = status["lastState"].get("terminated", {})
        return bool(status["ready"]) and ended.get("exitCode") == 137

    wait_until(is_back, "the killed one stands by again")
    return seconds["holds"], seconds["works"]


class HandOver(NamedTuple):
    """From one connection to the next, by the simulated provider's account."""

    close_code: int
    gap_ms: float
    login_ms: float

    def __str__(self) -> str:
        return f"{self.gap_ms:.0f} ms, and {self.login_ms:.0f} ms until it was let in"


def hand_overs(book: Mapping[str, Any]) -> list[HandOver]:
    return [
        HandOver(
            close_code=before["closeCode"],
            gap_ms=(after["openedNs"] - before["closedNs"]) / 1e6,
            login_ms=(after["authenticatedNs"] - after["openedNs"]) / 1e6,
        )
        for before, after in pairwise(book["log"])
    ]


def happened_in_order(records: Iterable[Mapping[str, Any]], *texts: str) -> bool:
    """Whether messages that contain *texts* are among the records in this order."""
    messages = (str(record["message"]) for record in records)
    return all(any(text in message for message in messages) for text in texts)


def losses(scanners: ScannersNamespace) -> dict[str, float]:
    """Return what the roles that run now count as lost or repeated; nothing where all is well."""
    counts = {
        f"{name} {figure}": role["figures"].get(figure, 0)
        for name, role in scanners.roles().items()
        for figure in LOSSES
    }
    return {what: count for what, count in counts.items() if count}


class Journey:
    """A session under way, and what was rolled out in it."""

    def __init__(self, scanners: ScannersNamespace) -> None:
        self.scanners = scanners
        self.before = scanners.revisions()

    def rolled(self) -> dict[str, int]:
        """Return what was rolled out since the last question, and how often."""
        now = self.scanners.revisions()
        changed = {name: count - self.before.get(name, 0) for name, count in now.items()}
        self.before = now
        return {name: count for name, count in changed.items() if count}

    def play(self, changes: Mapping[float, Change]) -> None:
        """Make each change once its share of the session has been played, and print what it showed.

        All of them must be made before the session is over.
        """
        for share, change in changes.items():
            wait_until(
                lambda: self.scanners.simulator().get("events", 0) >= share * EVENTS,  # noqa: B023  # asked at once
                f"{share:.0%} of the session",
            )
            assert losses(self.scanners) == {}, "a role counts from its start, and may be gone after the change"
            shown = change(self)
            simulator = self.scanners.simulator()
            say(f"  at {simulator['events'] / EVENTS:.0%}: {shown}")
            assert not simulator["finished"], "the session ended before the changes did"


def an_analyzer_is_killed(journey: Journey) -> str:
    if not journey.scanners.cluster.runtime.is_in_reach:
        return "no analyzer was killed: the containers of this cluster are out of reach"
    holds_s, works_s = kill_the_active_analyzer(journey.scanners)
    assert holds_s < TAKEN_OVER_WITHIN_S
    assert journey.rolled() == {}
    times = f"held the baton after {holds_s * 1e3:.0f} ms and had evaluated after {works_s * 1e3:.0f} ms"
    return f"the analyzer killed -9: its standby {times}"


def its_standby_is_given_up(journey: Journey) -> str:
    scanners = journey.scanners
    scanners.patch("market/us-stocks", {"analyzer": {"standby": False}})
    wait_until(lambda: len(scanners.pods("analyzer-us-stocks-0")) == 1, "no standby")
    scanners.wait_ready("market/us-stocks")
    assert journey.rolled() == {}
    return "a standby less: no restart"


def everything_is_looked_at(journey: Journey) -> str:
    scanners = journey.scanners
    wait_until(lambda: not missing_figures(scanners), "live figures in every status")
    ask = ("get", "feeds,markets,subscriptions,scanners")
    wait_until(lambda: not empty_cells(table_rows(scanners.kubectl(*ask))), "no cell is empty")
    return f"kubectl {' '.join(ask)}\n{scanners.kubectl(*ask)}"


def a_feed_is_patched(journey: Journey) -> str:
    scanners = journey.scanners
    scanners.kubectl("patch", "feed", "massive", "--type", "merge", "-p", '{"spec":{"massive":{"feed":"Delayed"}}}')
    scanners.kubectl("wait", "feed/massive", "--for=condition=Ready", "--timeout=120s", patience_s=130)
    assert journey.rolled() == {"listener-massive": 1}
    assert any("FeedChanged (Feed/massive edited)" in line for line in scanners.events("FeedChanged"))
    return "a Feed patched: the listener"


def a_scanner_is_edited(journey: Journey) -> str:
    journey.scanners.patch("scanner/leaders", {"signal": {"cooldown": "6m"}})
    journey.scanners.wait_ready("scanner/leaders", "market/us-stocks")
    assert journey.rolled() == {"analyzer-us-stocks-0": 1}
    return "a Scanner edited: the analyzer"


def a_key_is_rotated(journey: Journey) -> str:
    scanners = journey.scanners
    scanners.kubectl("patch", "secret/scanplane-simulator", "--patch", '{"stringData": {"apiKey": "demo\\n"}}')
    wait_until(lambda: bool(scanners.events("CredentialsRotated")), "the rotation is seen")
    scanners.wait_ready("feed/massive", "market/us-stocks")
    assert journey.rolled() == dict.fromkeys(("listener-massive", *ANALYZERS), 1)
    return "a key rotated: the listener, and the analyzers, which ask the provider for closes with it"


def scale_to(journey: Journey, partitions: int) -> None:
    journey.scanners.kubectl("scale", "market/us-stocks", f"--replicas={partitions}")
    journey.scanners.wait_ready("market/us-stocks", "feed/massive")
    rolled = journey.rolled()
    assert {*rolled} == {"listener-massive", *(f"analyzer-us-stocks-{each}" for each in range(partitions))}
    assert rolled["listener-massive"] == 1


def a_market_is_scaled_up(journey: Journey) -> str:
    scale_to(journey, 4)
    return "scaled to four: every analyzer, then the listener"


def a_market_is_scaled_down(journey: Journey) -> str:
    scale_to(journey, len(ANALYZERS))
    wait_until(lambda: not journey.scanners.all_pods("analyzer-us-stocks-3"), "the others are gone")
    return "scaled down to two: the same"


def an_analyzer_is_restarted_by_hand(journey: Journey) -> str:
    deployment = "deployment/scanplane-analyzer-us-stocks-1"
    journey.scanners.kubectl("rollout", "restart", deployment)
    journey.scanners.kubectl("rollout", "status", deployment, "--timeout=120s", patience_s=130)
    assert journey.rolled() == {"analyzer-us-stocks-1": 1}
    return "kubectl rollout restart: that one, and the operator leaves it so"


CHANGES: Mapping[float, Change] = {
    0.03: an_analyzer_is_killed,
    0.04: its_standby_is_given_up,
    0.06: everything_is_looked_at,
    0.12: a_feed_is_patched,
    0.2: a_scanner_is_edited,
    0.28: a_market_is_scaled_up,
    0.36: an_analyzer_is_restarted_by_hand,
    0.44: a_market_is_scaled_down,
    0.56: a_key_is_rotated,
}
"""Share of the session → what is done then."""


def wait_until_all_is_applied(scanners: ScannersNamespace) -> None:
    """Wait for the end of the session, and until every partition has evaluated an instant behind it."""
    wait_until(lambda: bool(scanners.simulator().get("finished")), "the end of the session")
    end_ns = time.time_ns() + SECOND_NS

    def all_is_applied() -> bool:
        roles = scanners.roles()
        return is_applied(roles.get("listener-massive", {}), [roles.get(name, {}) for name in ANALYZERS], end_ns)

    wait_until(all_is_applied, "all is applied")


def test_changes_and_a_kill_in_mid_session_roll_what_they_must_and_lose_nothing(
    scanners: ScannersNamespace, tmp_path: Path
) -> None:
    expected = undisturbed(tmp_path)
    apply_resources(scanners)
    scanners.patch("market/us-stocks", {"analyzer": {"standby": True}})
    scanners.wait_ready(*EVERYTHING)
    Journey(scanners).play(CHANGES)
    wait_until_all_is_applied(scanners)
    book = scanners.simulator()
    say(f"  {book['connections']['total']} connections, never two at once; between one and the next:")
    for hand_over in hand_overs(book):
        say(f"    {hand_over}")
    assert book["connections"]["maximum"] == 1
    assert len(hand_overs(book)) == len(("patched", "scaled up", "scaled down", "rotated"))
    assert {each.close_code for each in hand_overs(book)} == {CLOSED_PROPERLY}
    assert max(each.gap_ms for each in hand_overs(book)) < GAP_LESS_THAN_MS
    assert book["unheard"] == 0
    assert book["events"] == EVENTS
    assert losses(scanners) == {}
    for name in BOARDS:
        ended = rows(scanners.board(name))
        different = [pair for pair in zip_longest(ended, expected[name]) if pair[0] != pair[1]]
        assert not different, f"{name}, as it is and as it must be: {different}"
    say("  nothing lost, nothing twice; the boards are those of `scanplane up`")

    story = scanners.operator_log()
    ready = "Feed/massive is ready"
    restarted = "restarting listener-massive: FeedChanged (Feed/massive edited)"
    assert happened_in_order(story, "created Deployment/scanplane-listener-massive", ready, restarted, ready)
    say("  what kubectl logs deploy/scanplane-operator says of the Feed:")
    for record in story:
        if "massive" in record["message"]:
            say(f"    {record['timestamp']} {record['level']} {record['message']}")
