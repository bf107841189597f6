"""What a change rolls: exactly the Deployments that it must, once, and with its reason. Versions are counted by Kubernetes."""

from collections.abc import Callable
from typing import Any

import pytest

from support.findings import say
from support.operator_documents import (
    SECRET_VALUES,
    data_plane,
    feed,
    market,
    namespace_of_everything,
    scanner,
    secret,
    subscription,
)
from support.operator_process import OperatorProcess, wait_until
from support.operator_site import OperatorCluster, Site

pytestmark = [pytest.mark.server, pytest.mark.timeout(50 * 60)]  # the first run may have to build kube-apiserver

LISTENER, ANALYZER, GATEWAY = "listener-massive", "analyzer-us-stocks-0", "gateway"


@pytest.fixture(scope="module")
def site(operator_cluster: OperatorCluster, operator: OperatorProcess) -> Site:
    """Two feeds and two markets, so that there is somebody who must not roll."""
    assert operator.child.running
    site = operator_cluster.site(
        *namespace_of_everything(),
        secret("spare", {"apiKey": "spare-key-1234"}),
        feed("other"),
        market("other"),
        subscription("other", "other", "other"),
        scanner("other", "other"),
    )
    site.wait_ready()
    return site


Edit = Callable[[Site], object]

EDITS: list[tuple[str, Edit, set[str], str]] = [
    (
        "a Scanner's expression",
        lambda site: site.edit("Scanner", "gappers", where="gap_percent >= 5.0"),
        {ANALYZER},
        "ScannerChanged",
    ),
    ("a new Scanner", lambda site: site.apply(scanner("new")), {ANALYZER}, "ScannerChanged"),
    ("a Scanner that goes", lambda site: site.delete("Scanner", "new"), {ANALYZER}, "ScannerChanged"),
    (
        "a Feed's type, whose delay stands on every board",
        lambda site: site.edit("Feed", "massive", massive={"feed": "Delayed"}),
        {LISTENER, ANALYZER},
        "FeedChanged",
    ),
    (
        "a Feed's key",
        lambda site: site.edit("Feed", "massive", massive={"apiKeySecretRef": {"name": "spare", "key": "apiKey"}}),
        {LISTENER},
        "FeedChanged",
    ),
    (
        "a Market's sessions",
        lambda site: site.edit("Market", "us-stocks", sessions={"postmarket": "19:00"}),
        {ANALYZER},
        "MarketChanged",
    ),
    (
        "a Subscription's channels",
        lambda site: site.edit("Subscription", "seconds", channels=["SecondAggregates", "Trades"]),
        {ANALYZER, LISTENER},
        "SubscriptionChanged",
    ),
    (
        "the gateway's limit",
        lambda site: site.edit("DataPlane", "default", gateway={"maxClients": 50}),
        {GATEWAY},
        "DataPlaneChanged",
    ),
    (
        "an analyzer's memory",
        lambda site: site.edit("Market", "us-stocks", analyzer={"resources": {"limits": {"memory": "2Gi"}}}),
        {ANALYZER},
        "MarketChanged",
    ),
    (
        "the workloads' image",
        lambda site: site.edit("DataPlane", "default", workloads={"image": "registry.example/scanplane:2"}),
        {ANALYZER, LISTENER, GATEWAY, "listener-other", "analyzer-other-0"},
        "ImageChanged",
    ),
    (
        "the provider's key",
        lambda site: site.apply(secret("massive", {"apiKey": "another-key-0815"})),
        {"listener-other"},
        "CredentialsRotated",
    ),
    (
        "the cache's password",
        lambda site: site.apply(
            secret("services", {**SECRET_VALUES["services"], "cacheUrl": "redis://:another@cache:6379/0"})
        ),
        {ANALYZER, LISTENER, GATEWAY, "listener-other", "analyzer-other-0"},
        "CredentialsRotated",
    ),
    (
        "who may read the gateway",
        lambda site: site.edit("DataPlane", "default", gateway={"tokensSecretRef": {"name": "clients"}}),
        {GATEWAY},
        "DataPlaneChanged",
    ),
    (
        "a client's token",
        lambda site: site.apply(secret("clients", {"trader": "another-token-0815"})),
        {GATEWAY},
        "CredentialsRotated",
    ),
]


def rolled(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return by how many versions each Deployment went on."""
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


def settle(site: Site, operator: OperatorProcess) -> dict[str, int]:
    """Wait until all is rolled out and stays so for two passes; return the versions."""
    site.wait_ready()
    operator.wait_passes(site.namespace, 2)
    site.wait_ready()
    return site.revisions()


@pytest.mark.parametrize(("edit", "wanted", "reason"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS])
def test_a_change_rolls_what_it_must_and_once(
    site: Site, operator: OperatorProcess, edit: Edit, wanted: set[str], reason: str, request: Any
) -> None:
    before = settle(site, operator)
    told, posted = len(restarts_told(site, operator)), {each["metadata"]["uid"] for each in site.events()}
    edit(site)
    wait_until(lambda: wanted & rolled(before, site.revisions()).keys(), f"a roll-out after {request.node.name}")
    after = settle(site, operator)
    found = rolled(before, after)
    say(f"\n{request.node.callspec.id}: {found or 'nothing'}, {reason}")
    assert found == dict.fromkeys(wanted, 1)
    for name in found:
        template = site.get("Deployment", f"scanplane-{name}")["spec"]["template"]["metadata"]["annotations"]
        assert reason in template["scanplane.io/restart-reason"]
    lines = restarts_told(site, operator)[told:]
    assert sorted(line.split()[1].rstrip(":") for line in lines) == sorted(wanted)
    assert all(f": {reason}" in line for line in lines), lines
    notes = [each["note"] for each in site.events() if each["metadata"]["uid"] not in posted]
    assert not wanted or any(reason in note for note in notes), notes


def restarts_told(site: Site, operator: OperatorProcess) -> list[str]:
    """Return what the log says of restarts in the namespace."""
    return [str(each["message"]) for each in operator.records(containing="restarting ", namespace=site.namespace)]


def test_three_fields_at_once_roll_once(site: Site, operator: OperatorProcess) -> None:
    before = settle(site, operator)
    site.edit("Scanner", "gappers", where="gap_percent >= 6.0", board={"limit": 33}, signal={"when": "new_high_of_day"})
    site.edit("Scanner", "top-volume", where="price > 2.0")
    site.edit("Market", "us-stocks", sessions={"premarket": "05:00"})
    wait_until(lambda: rolled(before, site.revisions()), "a roll-out after three edits")
    found = rolled(before, settle(site, operator))
    say(f"\nthree resources edited at once: {found}")
    assert found[ANALYZER] == 1
    assert set(found.values()) == {1}


def test_a_secret_that_nobody_refers_to_rolls_nothing(site: Site, operator: OperatorProcess) -> None:
    site.apply(secret("of-others", {"token": "one"}))
    before = settle(site, operator)
    site.apply(secret("of-others", {"token": "two"}))
    operator.wait_passes(site.namespace, 3)
    assert rolled(before, settle(site, operator)) == {}


def test_scaling_a_market_repartitions_in_order(site: Site, operator: OperatorProcess) -> None:
    before = settle(site, operator)
    site.kubectl("scale", "market/us-stocks", "--replicas=3")
    wait_until(lambda: "analyzer-us-stocks-2" in site.revisions(), "three analyzers")
    after = settle(site, operator)
    scale = site.cluster.request("GET", site.path("Market", "us-stocks") + "/scale")
    say(f"\nscale to 3: {rolled(before, after)}, scale says {scale['status']}")
    assert {"analyzer-us-stocks-0", "analyzer-us-stocks-1", "analyzer-us-stocks-2"} <= after.keys()
    assert after[LISTENER] - before[LISTENER] == 1
    assert after["listener-other"] == before["listener-other"]
    assert site.get("Market", "us-stocks")["status"]["readyPartitions"] == 3
    site.kubectl("scale", "market/us-stocks", "--replicas=1")
    wait_until(lambda: "analyzer-us-stocks-2" not in site.revisions(), "one analyzer")
    assert "analyzer-us-stocks-1" not in settle(site, operator)


def test_a_paused_resource_is_left_alone_until_it_is_resumed(site: Site, operator: OperatorProcess) -> None:
    before = settle(site, operator)
    site.annotate("Scanner", "gappers", paused="true")
    wait_until(lambda: site.is_true("Scanner", "gappers", "Paused"), "Paused")
    site.edit("Scanner", "gappers", where="gap_percent >= 7.0")
    operator.wait_passes(site.namespace, 3)
    assert site.revisions() == before
    assert operator.metric("scanplane_operator_resources", kind="Scanner", state="paused") == 1
    site.annotate("Scanner", "gappers", paused=None)
    wait_until(lambda: rolled(before, site.revisions()), "a roll-out after it is resumed")
    assert rolled(before, settle(site, operator)) == {ANALYZER: 1}
    reasons = [each["reason"] for each in site.events() if each["regarding"]["name"] == "gappers"]
    assert "Paused" in reasons


def test_a_paused_owner_keeps_its_workloads_as_they_are(site: Site, operator: OperatorProcess) -> None:
    before = settle(site, operator)
    site.annotate("Market", "us-stocks", paused="true")
    wait_until(lambda: site.is_true("Market", "us-stocks", "Paused"), "Paused")
    site.edit("Scanner", "top-volume", where="price > 3.0")
    operator.wait_passes(site.namespace, 3)
    assert site.revisions() == before
    site.annotate("Market", "us-stocks", paused=None)
    wait_until(lambda: rolled(before, site.revisions()), "a roll-out after it is resumed")
    assert rolled(before, settle(site, operator)) == {ANALYZER: 1}


def test_rollout_restart_and_undo_of_a_user_stand(site: Site, operator: OperatorProcess) -> None:
    before = settle(site, operator)
    site.kubectl("rollout", "restart", "deployment/scanplane-gateway")
    wait_until(lambda: rolled(before, site.revisions()), "a new version of the gateway")
    assert rolled(before, settle(site, operator)) == {GATEWAY: 1}
    site.edit("Scanner", "gappers", where="gap_percent >= 8.0")
    wait_until(lambda: site.revisions()[ANALYZER] == before[ANALYZER] + 1, "a new version of the analyzer")
    after = settle(site, operator)
    site.kubectl("rollout", "undo", "deployment/scanplane-analyzer-us-stocks-0")
    wait_until(lambda: site.condition("Market", "us-stocks", "Ready").get("reason") == "RolledBack", "RolledBack")
    operator.wait_passes(site.namespace, 3)
    assert rolled(after, site.revisions()) == {ANALYZER: 1}
    say(f"\nundo: {site.condition('Market', 'us-stocks', 'Ready')['message']}")
    site.edit("Scanner", "gappers", where="gap_percent >= 9.0")
    wait_until(lambda: site.is_true("Market", "us-stocks", "Ready"), "the next change goes forward")
    settle(site, operator)


def test_pods_that_do_not_start_leave_the_old_ones_serving(site: Site, operator: OperatorProcess) -> None:
    settle(site, operator)
    place = f"{site.namespace}/{ANALYZER}"
    site.cluster.kubelet.broken.add(place)
    try:
        site.edit("Scanner", "gappers", where="gap_percent >= 10.0")
        wait_until(lambda: site.condition("Market", "us-stocks", "Ready").get("status") == "False", "not Ready")
        operator.wait_passes(site.namespace, 2)
        assert site.is_true("Market", "us-stocks", "Available")
        status = site.get("Deployment", f"scanplane-{ANALYZER}")["status"]
        assert status["availableReplicas"] >= 1
    finally:
        site.cluster.kubelet.broken.discard(place)
    site.edit("Scanner", "gappers", where="gap_percent >= 11.0")
    settle(site, operator)


def test_a_new_operator_waits_for_the_close_where_it_is_asked_to(operator_cluster: OperatorCluster) -> None:
    """Nobody has said that a market is open, so nothing waits; that it waits in an open one is tested with its figures."""
    site = operator_cluster.site(*namespace_of_everything())
    site.apply(data_plane(updatePolicy="MarketClosed"))
    with operator_cluster.operator(NAMESPACES=site.namespace):
        site.wait_ready()
        before = site.revisions()
    with operator_cluster.operator(NAMESPACES=site.namespace, IMAGE="registry.example/scanplane:9") as second:
        wait_until(lambda: len(rolled(before, site.revisions())) == 3, "three roll-outs")
        wait_until(
            lambda: second.metric("scanplane_operator_restarts_total", reason="ImageChanged") == 3, "three counted"
        )
