"""An upgrade on a real cluster, from the chart before: resources stay, and workloads roll when the update policy allows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.chart import CHART, previous_chart, set_values
from support.cluster import Cluster
from support.cluster_resources import EVERYTHING, apply_resources
from support.scanners_namespace import PATIENCE_S, ScannersNamespace, installed, wait_until

pytestmark = [pytest.mark.server, pytest.mark.journey]

INSTANCES = {"listener-massive", "analyzer-us-stocks-0", "gateway"}
VALUES = {
    "simulator.enabled": True,
    "simulator.speed": 1,
}  # a day begins at 04:00, and is open for an hour of this test


@pytest.fixture
def old(cluster: Cluster, tmp_path: Path) -> Iterator[ScannersNamespace]:
    """The chart of before with an image of another name, its resources ready, in an open market."""
    chart = previous_chart(tmp_path)
    if chart is None:
        pytest.skip("the history of this repository is not at hand")
    image = cluster.tag_image(cluster.images.scanplane, "localhost/scanplane:before")
    values = {**VALUES, "image.repository": image.rpartition(":")[0], "image.tag": "before"}
    with installed(cluster, values, chart=chart) as namespace:
        apply_resources(namespace)
        namespace.patch("dataplane/default", {"updatePolicy": "MarketClosed"})
        namespace.wait_ready(*EVERYTHING)
        wait_until(
            lambda: namespace.get("market/us-stocks")["status"].get("session") == "premarket", "the market is open"
        )
        yield namespace


def upgrade(scanners: ScannersNamespace) -> None:
    repository, _, tag = scanners.cluster.images.scanplane.rpartition(":")
    values = set_values({"image.repository": repository, "image.tag": tag})
    arguments = ["upgrade", "scanplane", str(CHART), "--namespace", scanners.namespace, "--reset-then-reuse-values"]
    wait = ["--wait", f"--timeout={PATIENCE_S:.0f}s"]
    scanners.cluster.helm(*arguments, *values, *wait, patience_s=PATIENCE_S + 20)


def test_an_upgrade_keeps_resources_and_waits_for_the_close_before_it_rolls(
    old: ScannersNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    resources, revisions = old.resources(), old.revisions()
    pods = {instance: old.pods(instance) for instance in INSTANCES}
    upgrade(old)

    def waits() -> bool:
        return all(
            old.condition(name, "Progressing").get("reason") == "WaitsForMarketClose"
            for name in ("feed/massive", "market/us-stocks", "dataplane/default")
        )

    wait_until(waits, "the conditions say what waits")
    waiting = old.condition("feed/massive", "Progressing")["message"]
    assert "ImageChanged (image localhost/scanplane:before became " in waiting
    old.wait_ready(*EVERYTHING)
    assert old.revisions() == revisions
    assert {instance: old.pods(instance) for instance in INSTANCES} == pods
    assert old.resources() == resources

    old.patch("dataplane/default", {"updatePolicy": "Immediate"})
    wait_until(
        lambda: old.revisions() == {name: count + 1 for name, count in revisions.items()}, "everything rolls, once"
    )
    old.wait_ready(*EVERYTHING)
    assert old.revisions() == {name: count + 1 for name, count in revisions.items()}
    assert old.resources() == resources
    with capsys.disabled():
        print(f"\n  {waiting}\n  allowed at once, {', '.join(sorted(INSTANCES))} rolled once")  # noqa: T201  # shown
