"""Every permission of the design's table is needed: the operator misses each one that is taken from its service account."""

from collections.abc import Iterator

import pytest

from support.findings import say
from support.operator_documents import (
    PLURALS,
    config_map,
    market,
    namespace_of_everything,
)
from support.operator_process import OperatorProcess, wait_until
from support.operator_site import OperatorCluster, Rule, Site, permissions

pytestmark = [pytest.mark.server, pytest.mark.timeout(50 * 60)]  # the first run may have to build kube-apiserver

KINDS = {plural: kind for kind, (_, plural) in PLURALS.items()}
SINGLE = [(rule.group, resource, verb) for rule in permissions() for resource in rule.resources for verb in rule.verbs]
WATCHED = [resource for _, resource, verb in SINGLE if verb == "watch"]
ALL = {"NETWORK_POLICIES": "true", "POD_DISRUPTION_BUDGETS": "true", "RESYNC_SECONDS": 1, "SECRETS_SECONDS": 1}


class Desk:
    """A namespace, the operator that serves it alone, and the Role that it has there."""

    def __init__(self, cluster: OperatorCluster, site: Site, role: str, operator: OperatorProcess) -> None:
        self.cluster, self.site, self.role, self.operator = cluster, site, role, operator

    def grant(self, *without: tuple[str, str, str]) -> None:
        """Grant everything but some permissions."""
        rules = [
            Rule(group, (resource,), (verb,))
            for group, resource, verb in SINGLE
            if (group, resource, verb) not in without
        ]
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.site.namespace}/roles/{self.role}"
        headers = {"Content-Type": "application/merge-patch+json"}
        self.cluster.request("PATCH", path, {"rules": [rule.document() for rule in rules]}, headers=headers)

    def problem(self) -> str:
        return str(self.operator.status()[self.site.namespace]["problem"])

    def refused_writes(self, resource: str) -> int:
        return sum(each.resource == resource and each.code == 403 for each in self.site.writes())


@pytest.fixture(scope="module")
def desk(operator_cluster: OperatorCluster) -> Iterator[Desk]:
    reference = {"previousClose": "File", "file": {"symbols": "symbols.csv", "configMapRef": {"name": "reference"}}}
    site = operator_cluster.site(
        *namespace_of_everything(), config_map("reference", {"symbols.csv": "symbol\n"}), market(reference=reference)
    )
    kubeconfig = operator_cluster.kubeconfig(namespaces=[site.namespace])
    with operator_cluster.operator(kubeconfig, NAMESPACES=site.namespace, **ALL) as operator:
        site.wait_ready()
        yield Desk(operator_cluster, site, kubeconfig.stem, operator)


def stray(site: Site, plural: str) -> None:
    """Put an object there that bears the operator's label and that nothing asks for."""
    kind = KINDS[plural]
    labels = {"app.kubernetes.io/managed-by": "scanplane-operator", "app.kubernetes.io/instance": "stray"}
    selector = {"matchLabels": {"app": "stray"}}
    pod = {"metadata": {"labels": {"app": "stray"}}, "spec": {"containers": [{"name": "one", "image": "stray:1"}]}}
    specs: dict[str, dict[str, object]] = {
        "Deployment": {"replicas": 0, "selector": selector, "template": pod},
        "Service": {"ports": [{"port": 80}]},
        "PodDisruptionBudget": {"minAvailable": 1, "selector": selector},
        "NetworkPolicy": {"podSelector": selector, "policyTypes": ["Ingress"]},
    }
    body = {"spec": specs[kind]} if kind in specs else {"data": {}}
    site.apply(
        {
            "apiVersion": PLURALS[kind][0],
            "kind": kind,
            "metadata": {"name": "scanplane-stray", "labels": labels},
            **body,
        }
    )


def provoke(desk: Desk, resource: str, verb: str) -> None:
    """Do what makes the operator write with a verb."""
    site = desk.site
    if resource.endswith("/status"):
        kind = KINDS[resource.removesuffix("/status")]
        name = next(name for other, name in site.resources() if other == kind)
        site.annotate(kind, name, paused="true")
    elif resource == "events":
        site.annotate("Scanner", "gappers", paused="true")
    elif verb == "delete":
        stray(site, resource)
    else:
        site.delete(KINDS[resource], min(site.names(KINDS[resource])))


def restore(desk: Desk) -> None:
    """Make everything as it was."""
    desk.grant()
    for kind, name in desk.site.resources():
        desk.site.annotate(kind, name, paused=None)
    for kind in ("Deployment", "Service", "ConfigMap", "PodDisruptionBudget", "NetworkPolicy"):
        if desk.site.find(kind, "scanplane-stray"):
            wait_until(lambda k=kind: not desk.site.find(k, "scanplane-stray"), f"the stray {kind} is pruned")  # type: ignore[misc]
    wait_until(lambda: not desk.problem(), "passes succeed again")
    desk.operator.wait_passes(desk.site.namespace, 1)
    desk.site.wait_ready()


@pytest.mark.parametrize(("group", "resource", "verb"), [each for each in SINGLE if each[2] != "watch"])
def test_without_a_permission_something_fails(desk: Desk, group: str, resource: str, verb: str) -> None:
    before = desk.refused_writes(resource)
    desk.grant((group, resource, verb))
    try:
        if verb in {"list", "get"}:
            wait_until(
                lambda: "forbidden" in desk.problem() and resource in desk.problem(), f"cannot {verb} {resource}"
            )
        else:
            provoke(desk, resource, verb)
            wait_until(lambda: desk.refused_writes(resource) > before, f"a {verb} of {resource} is refused")
    finally:
        restore(desk)


def test_without_a_watch_it_is_said_once_and_the_resync_still_works(operator_cluster: OperatorCluster) -> None:
    site = operator_cluster.site(*namespace_of_everything())
    rules = [
        Rule(rule.group, rule.resources, tuple(verb for verb in rule.verbs if verb != "watch"))
        for rule in permissions()
    ]
    kubeconfig = operator_cluster.kubeconfig(rules, namespaces=[site.namespace])
    with operator_cluster.operator(kubeconfig, NAMESPACES=site.namespace, **ALL) as operator:

        def told() -> list[str]:
            return [each["message"] for each in operator.records(containing="refuses to let us watch")]

        wait_until(lambda: len(told()) >= len(WATCHED), "every watch is told")
        site.wait_ready()
        operator.wait_passes(site.namespace, 5)
        assert len(told()) == len(WATCHED)
        for resource in WATCHED:
            assert any(f"/{resource}:" in line for line in told()), resource
    say(f"\nwithout watches: {len(WATCHED)} lines in the log, and everything Ready by resyncs")
