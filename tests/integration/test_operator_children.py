"""Children come back when they are deleted and go when their owner does; a namespace ends with the operator there or gone."""

import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from support.findings import say
from support.operator_documents import feed, market, namespace_of_everything, scanner, subscription
from support.operator_process import OperatorProcess, wait_until
from support.operator_site import OperatorCluster, Site

pytestmark = [pytest.mark.server, pytest.mark.timeout(50 * 60)]  # the first run may have to build kube-apiserver

ALL = {"NETWORK_POLICIES": "true", "POD_DISRUPTION_BUDGETS": "true"}
CHILDREN = ("ConfigMap", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy")


def children(site: Site) -> dict[tuple[str, str], str]:
    """Return the uid of every child by kind and name."""
    selector = "app.kubernetes.io/managed-by=scanplane-operator"
    return {
        (kind, each["metadata"]["name"]): each["metadata"]["uid"]
        for kind in CHILDREN
        for each in site.every(kind, selector)
    }


def children_in_use(site: Site) -> dict[tuple[str, str], str]:
    """Return the same without configurations of before, which are kept for a rollback and can't be made again."""
    mounted = json.dumps([each["spec"]["template"]["spec"]["volumes"] for each in site.every("Deployment")])
    return {key: uid for key, uid in children(site).items() if key[0] != "ConfigMap" or f'"{key[1]}"' in mounted}


@pytest.fixture(scope="module")
def attentive(operator_cluster: OperatorCluster) -> Iterator[OperatorProcess]:
    """An operator that makes every kind of child and resyncs seldom, so that what is seen comes from events."""
    with operator_cluster.operator(RESYNC_SECONDS=600, **ALL) as process:
        yield process


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_deleted_child_comes_back_at_once(
    operator_cluster: OperatorCluster, attentive: OperatorProcess, kind: str
) -> None:
    site = operator_cluster.site(*namespace_of_everything())
    site.wait_ready()
    attentive.wait_passes(site.namespace, 0)
    before = children_in_use(site)
    doomed = sorted(name for child, name in before if child == kind)
    assert doomed
    for name in doomed:
        began = time.monotonic()
        site.delete(kind, name)
        wait_until(
            lambda n=name: children(site).get((kind, n)) not in {None, before[kind, n]},  # type: ignore[misc]
            f"{kind}/{name} is back",
            10,
        )
        say(f"\n{kind}/{name} was back after {time.monotonic() - began:.2f} s")
    site.wait_ready()
    after = children_in_use(site)
    assert after.keys() == before.keys()
    assert {key for key in after if after[key] != before[key]} == {(kind, name) for name in doomed}


def test_a_namespace_that_was_emptied_is_served_again_at_once(
    operator_cluster: OperatorCluster, attentive: OperatorProcess
) -> None:
    site = operator_cluster.site(*namespace_of_everything())
    site.wait_ready()
    for kind, name in site.resources():
        site.delete(kind, name)
    wait_until(lambda: not children(site), "nothing is left")
    wait_until(lambda: attentive.status()[site.namespace]["resources"] == 0, "the operator knows that it is empty")
    site.apply(*namespace_of_everything())
    site.wait_ready()


def test_kinds_that_are_switched_off_are_removed(operator_cluster: OperatorCluster) -> None:
    def there() -> set[str]:
        return {kind for kind, _ in children(site)}

    with operator_cluster.operator(**ALL):
        site = operator_cluster.site(*namespace_of_everything())
        site.wait_ready()
        assert there() == set(CHILDREN)
    with operator_cluster.operator():
        wait_until(lambda: there() == set(CHILDREN) - {"PodDisruptionBudget", "NetworkPolicy"}, "they are removed")
        site.wait_ready()


def test_a_child_that_somebody_changed_is_mended(operator_cluster: OperatorCluster, attentive: OperatorProcess) -> None:
    site = operator_cluster.site(*namespace_of_everything())
    site.wait_ready()
    site.patch("Deployment", "scanplane-gateway", spec={"replicas": 4})
    site.patch("Service", "scanplane-gateway", spec={"selector": {"app.kubernetes.io/instance": "another"}})
    wait_until(lambda: site.get("Deployment", "scanplane-gateway")["spec"]["replicas"] == 1, "one replica", 10)
    wait_until(
        lambda: site.get("Service", "scanplane-gateway")["spec"]["selector"]["app.kubernetes.io/instance"] == "gateway",
        "the selector",
        10,
    )
    wait_until(lambda: attentive.records(containing="mended", namespace=site.namespace), "the log tells it")


def test_what_somebody_adds_to_a_selector_goes_and_a_label_that_was_taken_away_comes_back(
    operator_cluster: OperatorCluster, attentive: OperatorProcess
) -> None:
    site = operator_cluster.site(*namespace_of_everything())
    site.wait_ready()
    labelled = children(site)
    before, selector = site.revisions(), site.get("Service", "scanplane-gateway")["spec"]["selector"]
    for kind, name in children(site):
        site.patch(kind, name, metadata={"labels": {"app.kubernetes.io/managed-by": "Helm"}})
    site.patch("Service", "scanplane-gateway", spec={"selector": {"nobody": "has-this"}})
    wait_until(lambda: site.get("Service", "scanplane-gateway")["spec"]["selector"] == selector, "the selector", 10)
    wait_until(lambda: children(site) == labelled, "the labels", 10)
    attentive.wait_passes(site.namespace, 2)
    site.wait_ready()
    assert site.revisions() == before


def test_a_deleted_resource_takes_its_children_and_nothing_else(
    operator_cluster: OperatorCluster, attentive: OperatorProcess
) -> None:
    site = operator_cluster.site(
        *namespace_of_everything(), feed("other"), market("other"), subscription("other", "other", "other")
    )
    site.wait_ready()
    before = children(site)
    for kind, name, instance in (("Feed", "other", "listener-other"), ("Market", "other", "analyzer-other-0")):
        site.delete(kind, name)
        wait_until(
            lambda i=instance: not any(i in child for _, child in children(site)),  # type: ignore[misc]
            f"the children of {kind}/{name} are gone",
        )
    left = {key: uid for key, uid in before.items() if "other" not in key[1]}
    site.delete("Subscription", "other")
    site.wait_ready()
    assert children(site) == left
    assert attentive.child.running


def test_the_garbage_collector_takes_children_without_the_operator(operator_cluster: OperatorCluster) -> None:
    with operator_cluster.operator(**ALL):
        site = operator_cluster.site(*namespace_of_everything())
        site.wait_ready()
    assert len(children(site)) >= 13
    for kind, name in site.resources():
        site.delete(kind, name)
    wait_until(lambda: not children(site), "no child is left")
    wait_until(lambda: not site.every("Pod"), "no pod is left")


def test_old_configurations_go_once_no_version_of_the_pods_needs_them(
    operator_cluster: OperatorCluster, attentive: OperatorProcess
) -> None:
    site = operator_cluster.site(*namespace_of_everything())
    site.wait_ready()
    first = site.revisions()["analyzer-us-stocks-0"]
    for price in range(1, 8):
        site.edit("Scanner", "gappers", where=f"price > {price}.5")
        wait_until(lambda p=price: site.revisions()["analyzer-us-stocks-0"] == first + p, f"version {first + price}")  # type: ignore[misc]
        site.wait_ready()

    def kept() -> int:
        return sum("analyzer" in name for name in site.names("ConfigMap"))

    wait_until(lambda: kept() <= 4, f"three old versions and the new one are kept, not {kept()}")
    site.kubectl("rollout", "undo", "deployment/scanplane-analyzer-us-stocks-0")
    wait_until(lambda: site.condition("Market", "us-stocks", "Ready").get("reason") == "RolledBack", "RolledBack")
    volumes = site.get("Deployment", "scanplane-analyzer-us-stocks-0")["spec"]["template"]["spec"]["volumes"]
    assert next(each["configMap"]["name"] for each in volumes if "configMap" in each) in site.names("ConfigMap")
    assert attentive.child.running


def test_a_namespace_ends_with_the_operator_there_and_leaves_no_loop(
    operator_cluster: OperatorCluster,
) -> None:
    with operator_cluster.operator(RESYNC_SECONDS=1, **ALL) as operator:
        for _ in range(3):
            site = operator_cluster.site(*namespace_of_everything())
            site.wait_ready()
            site.delete_namespace()
            wait_until(lambda s=site: s.is_gone, f"{site.namespace} is gone")  # type: ignore[misc]
            wait_until(lambda s=site: s.namespace not in operator.status(), "its loop is gone")  # type: ignore[misc]
        again = operator_cluster.site(*namespace_of_everything(), namespace=site.namespace)
        again.wait_ready()
        told = Counter((each["namespace"], each["message"]) for each in operator.records(level="error"))
        say(f"\nerrors in the log of three namespaces that end: {told.total()}, none twice")
        assert [each for each, times in told.items() if times > 1] == []
        assert "Traceback" not in operator.text()


def test_a_namespace_ends_with_the_operator_gone(operator_cluster: OperatorCluster) -> None:
    with operator_cluster.operator(**ALL):
        site = operator_cluster.site(*namespace_of_everything())
        site.wait_ready()
    began = time.monotonic()
    site.delete_namespace()
    wait_until(lambda: site.is_gone, "the namespace is gone")
    say(f"\ngone {time.monotonic() - began:.1f} s after it was deleted, without an operator")


def test_an_operator_for_some_namespaces_sees_no_other(operator_cluster: OperatorCluster) -> None:
    names = [f"served-{operator_cluster.number()}" for _ in range(2)]
    served = [operator_cluster.site(namespace=name) for name in names]
    other = operator_cluster.site(*namespace_of_everything())
    kubeconfig = operator_cluster.kubeconfig(namespaces=names)
    with operator_cluster.operator(kubeconfig, NAMESPACES=",".join(names), RESYNC_SECONDS=1, **ALL) as operator:
        for site in served:
            site.apply(*namespace_of_everything())
        for site in served:
            site.wait_ready()
        before = [site.revisions() for site in served]
        served[0].apply(scanner("only-here"))
        wait_until(lambda: served[0].revisions() != before[0], "a roll-out in the first")
        assert served[1].revisions() == before[1]
        assert operator.status().keys() == set(names)
        assert not operator.records(level="error"), operator.text()
    written = [each for site in (*served, other) for each in site.writes() if each.user.endswith(f":{kubeconfig.stem}")]
    refused = {401, 403}  # a request that the end of the operator cut off is logged as 504
    assert [str(each) for each in written if each.code in refused] == []
    assert {each.namespace for each in written} == set(names)
