"""An upgrade on a real cluster, from the chart and the image before: resources stay, workloads roll once the market is closed.

The version before is made from this repository's own history, so the new operator meets what an older one has written:
ConfigMaps, Deployments, statuses. The simulated provider's day is played slowly until the upgrade is made, and then to its end.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.chart import CHART, previous_version, set_values
from support.cluster import Cluster
from support.cluster_resources import EVERYTHING, apply_resources
from support.findings import say
from support.scanners_namespace import PATIENCE_S, ScannersNamespace, installed, wait_until

pytestmark = [pytest.mark.server, pytest.mark.journey]

INSTANCES = {"listener-massive", "analyzer-us-stocks-0", "gateway"}
SLOWLY: Mapping[str, object] = {
    "simulator.enabled": True,
    "simulator.speed": 1,
    "simulator.arguments": ["--events", "120000", "--patient"],
}
"""A day begins at 04:00, and is open for an hour of this test."""
TO_ITS_END: Mapping[str, object] = {"simulator.speed": 2400}
"""A day of sixteen hours in 24 seconds."""
CLOSE = "17:00"
"""Before the simulated day ends: a recording is ticked by its own events, so there must be some after the close."""


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The source of the version before."""
    source = previous_version(tmp_path)
    if source is None:
        pytest.skip("the history of this repository is not at hand")
    return source


@pytest.fixture
def scanners(cluster: Cluster, previous: Path) -> Iterator[ScannersNamespace]:
    """The version before, its resources ready, in an open market."""
    if not cluster.runtime.is_in_reach:
        pytest.skip("the image of the version before can't be loaded into this cluster")
    repository, _, tag = cluster.runtime.build(previous).rpartition(":")
    image = {"image.repository": repository, "image.tag": tag}
    with installed(cluster, {**SLOWLY, **image}, chart=previous / "charts/scanplane") as namespace:
        apply_resources(namespace, interval="60s", close=CLOSE)
        namespace.patch("dataplane/default", {"updatePolicy": "MarketClosed"})
        namespace.wait_ready(*EVERYTHING)
        wait_until(lambda: session(namespace) == "premarket", "the market is open")
        yield namespace


def session(scanners: ScannersNamespace) -> str:
    return str(scanners.get("market/us-stocks")["status"].get("session"))


def upgrade(scanners: ScannersNamespace, values: Mapping[str, object]) -> None:
    arguments = ["upgrade", "scanplane", str(CHART), "--namespace", scanners.namespace, "--reset-then-reuse-values"]
    wait = ["--wait", f"--timeout={PATIENCE_S:.0f}s"]
    scanners.cluster.helm(*arguments, *set_values(values), *wait, patience_s=PATIENCE_S + 20)


def test_an_upgrade_keeps_resources_and_pods_until_the_close_and_then_rolls_everything_once(
    scanners: ScannersNamespace,
) -> None:
    resources, revisions = scanners.resources(), scanners.revisions()
    pods = {instance: scanners.pods(instance) for instance in INSTANCES}
    repository, _, tag = scanners.cluster.images.scanplane.rpartition(":")
    upgrade(scanners, {"image.repository": repository, "image.tag": tag})

    def waits() -> bool:
        return all(
            scanners.condition(name, "Progressing").get("reason") == "WaitsForMarketClose"
            for name in ("feed/massive", "market/us-stocks", "dataplane/default")
        )

    wait_until(waits, "the conditions say what waits")
    waiting = scanners.condition("feed/massive", "Progressing")["message"]
    assert "ImageChanged (image localhost/scanplane-previous:" in waiting
    scanners.wait_ready(*EVERYTHING)
    assert scanners.revisions() == revisions
    assert {instance: scanners.pods(instance) for instance in INSTANCES} == pods
    assert scanners.resources() == resources
    say(f"upgraded in an open market, nothing restarted: {waiting}")

    upgrade(scanners, TO_ITS_END)
    rolled = {name: count + 1 for name, count in revisions.items()}
    seen: set[str] = set()

    def is_rolled() -> bool:
        now = scanners.revisions()
        if now == revisions:
            seen.add(session(scanners))
        return now == rolled

    wait_until(is_rolled, "everything rolls, once", pause_s=0.05)
    assert {"regular", "postmarket"} & seen, "the day went on and nothing was restarted"
    scanners.wait_ready(*EVERYTHING)
    assert session(scanners) == "closed"
    assert scanners.revisions() == rolled
    assert scanners.resources() == resources
    say(f"at the close of that day each of {', '.join(sorted(INSTANCES))} was restarted once")
