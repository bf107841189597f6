"""A namespace at rest is not written to: counted by the API server's audit log, not by the operator."""

import collections

import pytest

from support.findings import say
from support.operator_documents import namespace_of_everything
from support.operator_process import OperatorProcess, wait_until
from support.operator_site import OperatorCluster, Site

pytestmark = [pytest.mark.server, pytest.mark.timeout(50 * 60)]  # the first run may have to build kube-apiserver

RESYNCS = 10


def settled_site(cluster: OperatorCluster) -> Site:
    """Return a namespace with everything, rolled out."""
    site = cluster.site(*namespace_of_everything())
    site.wait_ready()
    return site


def test_ten_resyncs_an_unchanged_apply_and_a_restart_write_nothing(operator_cluster: OperatorCluster) -> None:
    kubeconfig = operator_cluster.kubeconfig()
    settings = {"RESYNC_SECONDS": 1, "SECRETS_SECONDS": 0.3, "FIGURES_SECONDS": 0.5}
    with operator_cluster.operator(kubeconfig, **settings) as first:
        site = settled_site(operator_cluster)
        first.wait_passes(site.namespace, 2)
        before = site.writes()
        first.wait_passes(site.namespace, RESYNCS)
        assert site.writes() == before
        site.apply(*namespace_of_everything())
        first.wait_passes(site.namespace, 2)
        assert site.writes() == before
    with operator_cluster.operator(kubeconfig, **settings) as second:
        wait_until(lambda: second.passes(site.namespace) >= 3, "passes after the restart")
        assert site.writes() == before
        assert second.metric("scanplane_operator_writes_total") == 0
    made = collections.Counter(f"{each.verb} {each.resource}" for each in before)
    say(f"\n{len(before)} writes to set up {site.namespace} {dict(made)}; then {RESYNCS} resyncs, an unchanged apply")
    say("and a restart of the operator: 0 writes")
    assert set(site.revisions().values()) == {1}


def test_no_object_has_a_finalizer(operator_cluster: OperatorCluster, operator: OperatorProcess) -> None:
    site = settled_site(operator_cluster)
    operator.wait_passes(site.namespace, 1)
    kinds = ("DataPlane", "Feed", "Market", "Subscription", "Scanner", "ConfigMap", "Service", "Deployment", "Secret")
    objects = [(kind, each) for kind in kinds for each in site.every(kind)]
    assert len(objects) > 12
    assert [each["metadata"]["name"] for _, each in objects if each["metadata"].get("finalizers")] == []


METRICS = [
    ("scanplane_operator_passes_total", {"result"}),
    ("scanplane_operator_pass_seconds_count", set()),
    ("scanplane_operator_writes_total", {"kind", "verb"}),
    ("scanplane_operator_resources", {"kind", "state"}),
    ("scanplane_operator_last_pass_age_seconds", {"namespace"}),
    ("scanplane_operator_restarts_total", {"reason"}),
]


def test_metrics_bear_the_names_that_dashboards_and_alerts_use(
    operator_cluster: OperatorCluster, operator: OperatorProcess
) -> None:
    site = settled_site(operator_cluster)
    site.edit("Scanner", "gappers", where="gap_percent > 9.0")
    wait_until(lambda: operator.metric("scanplane_operator_restarts_total", reason="ScannerChanged") >= 1, "a restart")
    for name, labels in METRICS:
        found = operator.labels(name)
        assert found, name
        assert all(labels <= each.keys() for each in found), name
    site.wait_ready()
    wait_until(
        lambda: operator.metric("scanplane_operator_resources", kind="Scanner", state="ready") >= 2,
        "two Scanners ready",
    )
    assert operator.metric("scanplane_operator_last_pass_age_seconds", namespace=site.namespace) < 60
