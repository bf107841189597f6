"""The operator killed with -9 after every single write of a creation and of a change: the next one ends in the same state."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.findings import say
from support.operator_documents import SECRET_VALUES, data_plane, feed, market, scanner, secret, subscription
from support.operator_process import OperatorProcess, wait_until
from support.operator_proxy import WriteProxy
from support.operator_site import OperatorCluster, Site

pytestmark = [pytest.mark.server, pytest.mark.timeout(50 * 60)]  # the first run may have to build kube-apiserver

MOST_WRITES = 80
INSTANTS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
DIGESTS = re.compile(r"\b[0-9a-f]{10,64}\b")
OF_THE_SERVER = {
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "clusterIP",
    "clusterIPs",
}


@pytest.fixture(scope="module")
def proxy(operator_cluster: OperatorCluster) -> Iterator[WriteProxy]:
    with WriteProxy(operator_cluster.server.url) as proxy:
        yield proxy


@pytest.fixture
def operators(operator_cluster: OperatorCluster, proxy: WriteProxy) -> Iterator["Operators"]:
    found = Operators(operator_cluster, proxy)
    yield found
    found.end()


class Operators:
    """One operator after the other, all through the proxy."""

    def __init__(self, cluster: OperatorCluster, proxy: WriteProxy) -> None:
        self._cluster = cluster
        self._kubeconfig = cluster.kubeconfig(url=proxy.url)
        self.current: OperatorProcess | None = None

    def start(self) -> OperatorProcess:
        """Start the next one, and end the one before if it still runs."""
        self.end()
        self.current = self._cluster.operator(self._kubeconfig, RESYNC_SECONDS=1, SECRETS_SECONDS=1)
        self.current.start()
        self.current.wait_started()
        return self.current

    def end(self) -> None:
        if self.current is not None:
            self.current.end()


def documents() -> list[dict[str, Any]]:
    """Return as little as makes every kind of workload; the DataPlane last, since nothing is made without it."""
    secrets = [secret(name, SECRET_VALUES[name]) for name in ("massive", "services")]
    return [*secrets, scanner("gappers"), subscription("seconds", symbols=["SYM0"]), feed(), market(), data_plane()]


def state(site: Site) -> dict[str, Any]:
    """Return all that the operator makes and says in a namespace, without what differs from one to the next."""
    found: dict[str, Any] = {}
    for kind, name in site.resources():
        found[f"{kind}/{name}"] = _normal(site.get(kind, name).get("status"), site)
    used: set[str] = set()
    for kind in ("Deployment", "Service", "ConfigMap"):
        for child in site.every(kind, "app.kubernetes.io/managed-by=scanplane-operator"):
            child.pop("status", None)
            name = child["metadata"]["name"]
            if kind == "Deployment":
                volumes = child["spec"]["template"]["spec"]["volumes"]
                used |= {each["configMap"]["name"] for each in volumes if "configMap" in each}
            if kind != "ConfigMap" or name in used:  # those of before are kept for a rollback, as many as there were
                normal = _normal(child, site)
                found[f"{kind}/{normal['metadata']['name']}"] = normal
    return found


def _normal(value: Any, site: Site) -> Any:
    text = json.dumps(_without(value), sort_keys=True).replace(site.namespace, "NAMESPACE")
    return json.loads(DIGESTS.sub("DIGEST", INSTANTS.sub("INSTANT", text)))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _without(inner) for name, inner in value.items() if name not in OF_THE_SERVER}
        kept.pop("observedGeneration", None)
        annotations = kept.get("annotations")
        if isinstance(annotations, dict):
            annotations.pop("deployment.kubernetes.io/revision", None)
        return kept
    return [_without(each) for each in value] if isinstance(value, list) else value


def settle(site: Site, operator: OperatorProcess) -> None:
    site.wait_ready(within_s=60)
    operator.wait_passes(site.namespace, 1)
    site.wait_ready(within_s=60)


def is_settled_or_dead(site: Site, operator: OperatorProcess) -> None:
    """Wait until the operator is dead, or has nothing left to do."""

    def look() -> bool:
        if not operator.child.running:
            return True
        return all(site.is_true(kind, name, "Ready") for kind, name in site.resources())

    wait_until(look, "the operator is killed, or all is Ready", 60)
    if operator.child.running:
        goal = operator.passes(site.namespace) + 1
        wait_until(lambda: not operator.child.running or operator.passes(site.namespace) >= goal, "a pass", 60)


def test_killed_at_every_write_of_a_creation(
    operator_cluster: OperatorCluster, proxy: WriteProxy, operators: Operators
) -> None:
    operator = operators.start()
    proxy.disarm()
    reference = operator_cluster.site(*documents())
    settle(reference, operator)
    wanted = state(reference)
    ends: list[str] = []
    for number in itertools.count(1):
        assert number < MOST_WRITES
        site = operator_cluster.site()
        proxy.kill_after(operator.child.pid, site.namespace, number)
        site.apply(*documents())
        is_settled_or_dead(site, operator)
        if operator.child.running:
            break  # it made fewer writes than that
        ends.append(proxy.last)
        operator = operators.start()
        settle(site, operator)
        assert state(site) == wanted, f"killed after write {number}, {proxy.last}"
        assert set(site.revisions().values()) == {1}, f"killed after write {number}"
        site.delete_namespace()
    say(f"\nkilled after each of {len(ends)} writes of a creation; the state was the same every time: {kinds(ends)}")
    assert len(ends) > 15


def test_killed_at_every_write_of_a_change(
    operator_cluster: OperatorCluster, proxy: WriteProxy, operators: Operators
) -> None:
    operator = operators.start()
    proxy.disarm()
    site = operator_cluster.site(*documents())
    settle(site, operator)
    change(site, 0)
    wait_until(lambda: site.revisions()["analyzer-us-stocks-0"] == 2, "the second version")
    settle(site, operator)
    wanted = state(site)
    ends: list[str] = []
    for number in itertools.count(1):
        assert number < MOST_WRITES
        before = site.revisions()
        proxy.kill_after(operator.child.pid, site.namespace, number)
        change(site, number)
        wait_until(lambda: not site.is_true("Scanner", "gappers", "Ready") or not operator.child.running, "a beginning")  # noqa: B023  # looked at here
        is_settled_or_dead(site, operator)
        was_killed = not operator.child.running
        if was_killed:
            ends.append(proxy.last)
            operator = operators.start()
        settle(site, operator)
        after = site.revisions()
        assert after == before | {name: before[name] + 1 for name in ("analyzer-us-stocks-0", "listener-massive")}
        found = state(site)
        assert without_versions(found) == without_versions(wanted), f"killed after write {number}, {ends[-1:]}"
        if not was_killed:
            break
    say(f"\nkilled after each of {len(ends)} writes of a change; rolled once and in the same state: {kinds(ends)}")
    assert len(ends) > 5


def change(site: Site, number: int) -> None:
    """Change what the analyzer and what the listener reads, at once."""
    site.edit("Scanner", "gappers", where=f"price > {number + 1}.5")
    site.edit("Subscription", "seconds", symbols=[f"SYM{number + 1}"])


def without_versions(found: dict[str, Any]) -> dict[str, Any]:
    """Return a state without the configurations of before and the texts that each change writes anew."""
    text = re.sub(r"price > \d+\.5", "PRICE", json.dumps(found, sort_keys=True))
    kept: dict[str, Any] = json.loads(re.sub(r"\bSYM\d+\b", "SYMBOL", text))
    for kind, name in (("Subscription", "seconds"), ("Scanner", "gappers")):
        (kept[f"{kind}/{name}"].get("accepted") or {}).pop("generation", None)
    return kept


def kinds(ends: list[str]) -> dict[str, int]:
    """Count writes by what they write."""
    counts: dict[str, int] = {}
    for end in ends:
        verb, _, path = end.partition(" ")
        what = path.split("/")[0] + ("/status" if path.endswith("/status") else "")
        counts[f"{verb} {what}"] = counts.get(f"{verb} {what}", 0) + 1
    return counts
