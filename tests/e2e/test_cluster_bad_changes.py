"""Bad changes on a real cluster: the old pods serve on, the conditions say what is wrong and where, a good change mends it."""

import json
import time
from collections.abc import Iterator

import pytest

from support.cluster import Cluster
from support.cluster_resources import EVERYTHING, apply_resources
from support.findings import say
from support.scanners_namespace import ScannersNamespace, installed, wait_until

pytestmark = [pytest.mark.server, pytest.mark.journey]

GONE_WITHIN_S = 60.0
"""Twice the grace period: what has nobody to hand over to must not wait for it."""


@pytest.fixture(scope="module")
def scanners(cluster: Cluster) -> Iterator[ScannersNamespace]:
    """The chart with a simulated provider that plays without an end, and every resource ready."""
    values = {"simulator.enabled": True, "simulator.session": "load", "simulator.speed": 1}
    arguments = ["--rate", "100", "--symbols", "50", "--channel", "SecondAggregates"]
    with installed(cluster, {**values, "simulator.arguments": arguments}) as namespace:
        apply_resources(namespace, interval="250ms")
        namespace.wait_ready(*EVERYTHING)
        wait_until(lambda: bool(connections(namespace)), "the listener connects")
        yield namespace


def connections(scanners: ScannersNamespace) -> int:
    return int(scanners.simulator().get("connections", {}).get("total", 0))


def test_an_image_that_does_not_start_leaves_everything_serving(scanners: ScannersNamespace) -> None:
    instances = ("listener-massive", "analyzer-us-stocks-0", "gateway")
    old = {instance: scanners.pods(instance) for instance in instances}
    before = connections(scanners)
    scanners.patch(
        "dataplane/default", {"workloads": {"image": "localhost/scanplane:none", "imagePullPolicy": "Never"}}
    )

    def is_told() -> bool:
        return "ErrImageNeverPull" in scanners.condition("feed/massive", "Progressing").get("message", "")

    wait_until(is_told, "the condition says why")
    assert scanners.condition("feed/massive", "Available")["status"] == "True"
    assert scanners.condition("feed/massive", "Ready")["status"] == "False"
    assert scanners.condition("scanner/top-volume", "Ready")["status"] == "True", "it runs as it was asked for"
    for instance in instances:
        assert old[instance] < scanners.pods(instance), "the old pod is there, and a new one that does not start"

    scanners.patch("dataplane/default", {"workloads": {"image": None, "imagePullPolicy": None}})
    scanners.wait_ready(*EVERYTHING)
    assert {instance: scanners.pods(instance) for instance in instances} == old, "taken back, nothing was restarted"
    assert connections(scanners) == before


def test_a_key_that_the_provider_refuses_does_not_take_over(scanners: ScannersNamespace) -> None:
    old = scanners.pods("listener-massive")
    before = connections(scanners)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "wrong"},
        "stringData": {"apiKey": "wrong-7f3a"},
    }
    scanners.kubectl("apply", "--filename", "-", document=json.dumps(secret))
    scanners.patch("feed/massive", {"massive": {"apiKeySecretRef": {"name": "wrong", "key": "apiKey"}}})

    def is_told() -> bool:
        return "the API key is not accepted" in scanners.condition("feed/massive", "Progressing").get("message", "")

    wait_until(is_told, "the condition says why")
    assert old < scanners.pods("listener-massive")
    assert scanners.condition("feed/massive", "DataFlowing")["status"] == "True"
    assert connections(scanners) == before
    scanners.patch("feed/massive", {"massive": {"apiKeySecretRef": {"name": "scanplane-simulator", "key": "apiKey"}}})
    scanners.wait_ready("feed/massive", "market/us-stocks")
    assert scanners.pods("listener-massive") == old
    assert connections(scanners) == before


def test_a_bad_expression_is_told_with_its_place_and_the_good_one_goes_on(scanners: ScannersNamespace) -> None:
    before = scanners.revisions()
    scanners.patch("scanner/top-gainers", {"where": "price >= 1.0 && gapp_percent > 2.0"})

    def is_told() -> bool:
        return scanners.condition("scanner/top-gainers", "Accepted").get("status") == "False"

    wait_until(is_told, "it is not accepted")
    accepted = scanners.condition("scanner/top-gainers", "Accepted")
    assert accepted["reason"] == "InvalidExpression"
    assert accepted["message"].startswith("where:1:17 unknown feature 'gapp_percent'; did you mean gap_percent?")
    assert accepted["message"].endswith("; generation 1 goes on")
    assert any("gapp_percent" in line for line in scanners.events("InvalidExpression"))
    assert scanners.board("top-gainers"), "the board is served on"
    assert scanners.revisions() == before

    scanners.patch("scanner/top-gainers", {"where": "price >= 1.0 && gap_percent > 2.0"})
    scanners.wait_ready("scanner/top-gainers", "market/us-stocks")
    assert scanners.revisions() == {**before, "analyzer-us-stocks-0": before["analyzer-us-stocks-0"] + 1}


def test_a_rollback_stands_until_the_next_change(scanners: ScannersNamespace) -> None:
    scanners.patch("feed/massive", {"massive": {"feed": "Delayed"}})
    scanners.wait_ready("feed/massive")
    scanners.kubectl("rollout", "undo", "deployment/scanplane-listener-massive")
    wait_until(
        lambda: scanners.condition("feed/massive", "Ready").get("reason") == "RolledBack", "the rollback is seen"
    )
    scanners.kubectl("rollout", "status", "deployment/scanplane-listener-massive", "--timeout=120s", patience_s=130)
    scanners.kubectl("annotate", "feed/massive", "look=again")
    assert scanners.condition("feed/massive", "Ready")["reason"] == "RolledBack"
    scanners.patch("feed/massive", {"massive": {"feed": "Nasdaq"}})
    scanners.wait_ready("feed/massive")


def test_a_deleted_workload_and_a_deleted_configuration_come_back(scanners: ScannersNamespace) -> None:
    deployment = scanners.get("deployment/scanplane-gateway")
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    configuration = next(each["configMap"]["name"] for each in volumes if each["name"] == "configuration")
    doomed = ("deployment/scanplane-gateway", "service/scanplane-gateway", f"configmap/{configuration}")
    old = {scanners.get(each)["metadata"]["uid"] for each in doomed}
    scanners.kubectl("delete", *doomed, "--wait=false")

    def is_back() -> bool:
        query = ("--namespace", scanners.namespace, "get", *doomed, "--output", "jsonpath={.items[*].metadata.uid}")
        found = set(scanners.cluster.try_kubectl(*query).stdout.split())
        return len(found) == len(doomed) and not found & old

    wait_until(is_back, "all of it comes back", patience_s=20)
    scanners.wait_ready("dataplane/default")


def test_what_is_deleted_goes_without_its_broker_and_without_the_operator(scanners: ScannersNamespace) -> None:
    scanners.kubectl("scale", "statefulset/scanplane-rabbitmq", "--replicas=0")
    wait_until(
        lambda: not scanners.get("pods", "--selector=app.kubernetes.io/component=rabbitmq")["items"],
        "no broker is left",
    )
    begun = time.monotonic()
    scanners.kubectl("delete", "market/us-stocks", "feed/massive", "--timeout=20s")
    for instance in ("analyzer-us-stocks-0", "listener-massive"):
        wait_until(lambda: not scanners.all_pods(instance), f"{instance} is gone", GONE_WITHIN_S)  # noqa: B023  # at once
    say(f"Market and Feed deleted without a broker: their pods are gone after {time.monotonic() - begun:.1f} s")

    scanners.kubectl("scale", "deployment/scanplane-operator", "--replicas=0")
    wait_until(
        lambda: not scanners.get("pods", "--selector=app.kubernetes.io/component=operator")["items"],
        "no operator is left",
    )
    begun = time.monotonic()
    scanners.kubectl("delete", "dataplane/default", "subscription/us-stocks-seconds", "--timeout=20s")
    scanners.kubectl("delete", "scanners", "--all", "--timeout=20s")
    wait_until(lambda: not scanners.all_pods("gateway"), "the gateway is gone", GONE_WITHIN_S)
    assert scanners.resources() == {}
    say(f"DataPlane deleted without an operator: the gateway is gone after {time.monotonic() - begun:.1f} s")
