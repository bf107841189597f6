"""The chart on a real kube-apiserver: what is stored on install, upgrade and uninstall. Nothing runs here."""

import itertools
import json
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.apiserver import ApiServer, running_apiserver
from support.chart import CHART, ROOT, helm, previous_chart, set_values
from support.operator_process import wait_until

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(50 * 60),
]  # the first run may have to build kube-apiserver and helm

EXAMPLES = ("-f", str(ROOT / "examples" / "us-stocks.yaml"), "-f", str(ROOT / "examples" / "scanners"))
RESTRICTED = "pod-security.kubernetes.io"
CLAIMS = {"bundled.rabbitmq.persistence.enabled": True, "bundled.redis.persistence.enabled": True}


class Site:
    """A namespace of its own, in which Pod Security refuses and warns of all that is not restricted."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self.chart = CHART
        self.kubectl("create", "namespace", namespace)
        self.kubectl(
            "label", "namespace", namespace, *(f"{RESTRICTED}/{mode}=restricted" for mode in ("enforce", "warn"))
        )

    def kubectl(self, *arguments: str, document: str | None = None) -> str:
        done = self.server.kubectl("--namespace", self.namespace, *arguments, document=document)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, what: str) -> dict[str, Any]:
        return dict(json.loads(self.kubectl("get", what, "-o", "json")))

    def names(self, kinds: str) -> set[str]:
        return set(self.kubectl("get", kinds, "-o", "name").split())

    def helm(
        self, verb: str, values: Mapping[str, object] | None = None, *more: str, release: str = "scanplane"
    ) -> str:
        chart = [] if verb == "uninstall" else [str(self.chart), *set_values(values or {})]
        arguments = (verb, release, "--namespace", self.namespace, *chart, *more)
        done = helm(*arguments, kubeconfig=self.server.kubeconfig)
        assert done.returncode == 0, done.stderr
        assert "violate" not in done.stderr, done.stderr
        return done.stdout

    def notes(self, values: Mapping[str, object], *, release: str = "scanplane") -> str:
        told = self.helm("install", {**values, "crds.enabled": False}, "--dry-run=server", release=release)
        return told.partition("\nNOTES:\n")[2]

    def secret(self, name: str) -> dict[str, str]:
        return {key: b64decode(value).decode() for key, value in self.get(f"secret/{name}")["data"].items()}


@pytest.fixture(scope="module")
def apiserver() -> Iterator[ApiServer]:
    with running_apiserver() as server:
        yield server


@pytest.fixture
def site(apiserver: ApiServer) -> Iterator[Site]:
    """A new namespace in a cluster without our definitions."""
    number = next(_NUMBERS)
    site = Site(apiserver, f"scanners-{number}")
    yield site
    remove_definitions(site)


def remove_definitions(site: Site) -> None:
    """Remove all definitions at once: the next test must not meet them.

    Without their finalizers, since the API server may take minutes over the clean-up of a definition that is just made.
    """
    for name in definitions(site):
        site.server.kubectl("delete", "crd", name, "--wait=false")
        site.server.kubectl("patch", "crd", name, "--type=merge", "--patch", '{"metadata": {"finalizers": null}}')
    wait_until(lambda: not definitions(site), "no definition is left")


_NUMBERS = itertools.count(1)


def definitions(site: Site) -> list[str]:
    return site.kubectl("get", "crd", "-o", "jsonpath={.items[*].metadata.name}").split()


def apply_examples(site: Site) -> set[str]:
    site.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    site.kubectl("apply", *EXAMPLES)
    return site.names("scanplane")


def test_an_upgrade_keeps_passwords_and_resources(site: Site) -> None:
    site.helm("install")
    before = apply_examples(site)
    assert len(before) > 8
    secrets = {name: site.secret(f"scanplane-{name}") for name in ("services", "rabbitmq", "redis")}
    uids = {name: site.get(name)["metadata"]["uid"] for name in before}
    revisions = {name: site.get(name)["metadata"]["resourceVersion"] for name in before}
    site.helm("upgrade", {"operator.logLevel": "Debug", "networkPolicies.enabled": True})
    site.helm("upgrade", {})
    assert {name: site.secret(f"scanplane-{name}") for name in secrets} == secrets
    assert {name: site.get(name)["metadata"]["uid"] for name in before} == uids
    assert {name: site.get(name)["metadata"]["resourceVersion"] for name in before} == revisions
    assert secrets["rabbitmq"]["password"] in secrets["services"]["brokerUrl"]


def test_an_upgrade_from_the_previous_version_keeps_passwords_and_resources(site: Site, tmp_path: Path) -> None:
    previous = previous_chart(tmp_path)
    if previous is None:
        pytest.skip("there is no history of this repository here")
    site.chart = previous
    site.helm("install")
    before = apply_examples(site)
    uids = {name: site.get(name)["metadata"]["uid"] for name in before}
    services = site.secret("scanplane-services")
    site.chart = CHART
    site.helm("upgrade", None, "--reset-then-reuse-values")
    assert site.secret("scanplane-services") == services
    assert {name: site.get(name)["metadata"]["uid"] for name in before} == uids
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        (wanted,) = definition["spec"]["versions"]
        (stored,) = site.get(f"crd/{definition['metadata']['name']}")["spec"]["versions"]
        assert stored["schema"] == wanted["schema"], "the definitions are upgraded too"


def test_an_upgrade_without_a_change_changes_no_pod(site: Site) -> None:
    def templates() -> list[object]:
        return [
            [each["metadata"]["generation"], each["spec"]["template"]]
            for each in site.get("deployments,statefulsets")["items"]
        ]

    site.helm("install", {"simulator.enabled": True})
    before = templates()
    site.helm("upgrade", {"simulator.enabled": True})
    assert templates() == before
    assert len(before) == 4


def test_an_uninstall_takes_the_operator_and_leaves_what_is_the_users(site: Site) -> None:
    site.helm("install", CLAIMS)
    before = apply_examples(site)
    uids = {name: site.get(name)["metadata"]["uid"] for name in before}
    password = site.secret("scanplane-rabbitmq")["password"]
    site.helm("uninstall")
    assert site.names("scanplane") == before
    left = site.names("deployments,statefulsets,services,configmaps,roles,rolebindings,serviceaccounts,secrets")
    assert left <= {"secret/scanplane-rabbitmq", "configmap/kube-root-ca.crt"}
    site.helm("install", CLAIMS)  # the same release takes over what was kept
    assert {name: site.get(name)["metadata"]["uid"] for name in before} == uids
    assert site.secret("scanplane-rabbitmq")["password"] == password
    assert password in site.secret("scanplane-services")["brokerUrl"]


def test_who_wants_to_can_have_everything_removed(site: Site) -> None:
    site.helm("install", {"crds.keep": False})
    apply_examples(site)
    site.helm("uninstall")
    site.kubectl("wait", "--for=delete", "--timeout=30s", "crd/feeds.scanplane.io", "crd/scanners.scanplane.io")


def test_a_second_release_leaves_the_definitions_to_the_first(site: Site) -> None:
    site.helm("install")
    other = Site(site.server, f"{site.namespace}-other")
    refused = helm(
        "install", "scanplane", str(CHART), "--namespace", other.namespace, kubeconfig=site.server.kubeconfig
    )
    assert "invalid ownership metadata" in refused.stderr
    other.helm("install", {"crds.enabled": False})
    other.helm("uninstall")
    assert "feeds.scanplane.io" in definitions(site)


def test_everything_optional_is_taken_by_the_server(site: Site) -> None:
    values = {
        **CLAIMS,
        "simulator.enabled": True,
        "networkPolicies.enabled": True,
        "networkPolicies.metricsFrom": [{"namespaceSelector": {}}],
        "workloads.podDisruptionBudgets": True,
        "scope": "Cluster",
        "monitoring.dashboard.enabled": True,
    }
    site.helm("install", values)
    assert len(site.get("networkpolicies")["items"]) == 4


def test_the_resources_of_a_first_look_are_taken_by_the_server(site: Site) -> None:
    told = site.helm("install", {"simulator.enabled": True}).partition("\nNOTES:\n")[2]
    site.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    config_map = site.get("configmap/scanplane-simulator-resources")
    site.kubectl("apply", "-f", "-", document=config_map["data"]["resources.yaml"])
    assert (
        f"configmap -n {site.namespace} scanplane-simulator-resources -o jsonpath='{{.data.resources\\.yaml}}'" in told
    )
    (waited,) = [line.split() for line in told.splitlines() if "kubectl wait" in line]
    for name in (word for word in waited if "/" in word):
        site.get(name)
    site.kubectl("apply", *EXAMPLES)  # the way to a real provider is to apply over it
    assert site.get("feed/massive")["spec"]["massive"].keys() == {"apiKeySecretRef", "feed"}


def test_whoever_edits_a_namespace_edits_the_resources(site: Site) -> None:
    site.helm("install")
    site.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    # Nobody aggregates here, since controllers do that: so what is aggregated is bound itself.
    site.kubectl("create", "rolebinding", "editor", f"--clusterrole={site.namespace}-scanplane-edit", "--user=editor")
    site.kubectl("create", "rolebinding", "viewer", f"--clusterrole={site.namespace}-scanplane-view", "--user=viewer")

    def may(person: str, verb: str, resource: str, *more: str) -> bool:
        asked = ("--namespace", site.namespace, "auth", "can-i", verb, f"{resource}.scanplane.io", f"--as={person}")
        return site.server.kubectl(*asked, *more).stdout.strip() == "yes"

    assert may("editor", "create", "scanners")
    assert may("editor", "patch", "markets", "--subresource=scale")
    assert not may("editor", "patch", "feeds", "--subresource=status")
    assert may("viewer", "list", "feeds")
    assert not may("viewer", "delete", "feeds")


NOTES: list[tuple[dict[str, object], Callable[[str, str], bool]]] = [
    ({}, lambda told, there: f"kubectl apply -n {there} -f examples/us-stocks.yaml" in told),
    ({}, lambda told, there: f"create secret generic massive -n {there}" in told),
    ({}, lambda told, _: "generic scanplane-services" not in told),
    ({}, lambda told, _: "RabbitMQ or Redis is bundled" in told),
    ({}, lambda told, _: "tokensSecretRef" in told),
    ({}, lambda told, _: "`make image` builds it" in told),
    ({"image.repository": "registry.test/scanplane"}, lambda told, _: "make image" not in told),
    ({"crds.keep": False}, lambda told, _: "an uninstall deletes every Feed" in told),
    ({"networkPolicies.enabled": True}, lambda told, _: "networkPolicies" not in told),
    (
        {"bundled.rabbitmq.enabled": False, "bundled.redis.enabled": False, "namespaces": ["default"]},
        lambda told, _: "bundled" not in told and "generic scanplane-services -n default" in told,
    ),
    (
        {"bundled.redis.enabled": False},
        lambda told, there: (
            "generic scanplane-services" not in told
            and f"generic scanplane-cache -n {there} --from-file=cacheUrl=" in told
        ),
    ),
    (
        {"bundled.rabbitmq.enabled": False},
        lambda told, _: "broker: {urlSecretRef: {name: scanplane-broker, key: brokerUrl}}" in told,
    ),
    ({"simulator.enabled": True}, lambda told, _: "plays the US market of 2014-03-26" in told),
    ({"scope": "Cluster"}, lambda told, _: "serves every namespace" in told),
]


@pytest.mark.parametrize(("values", "holds"), NOTES, ids=[str(number) for number in range(len(NOTES))])
def test_the_notes_say_what_to_do_next_and_what_to_mind(
    site: Site, values: dict[str, object], holds: Callable[[str, str], bool]
) -> None:
    told = site.notes(values)
    assert "Scanplane 0.1.0 is installed" in told
    assert holds(told, site.namespace), told


def test_the_helm_test_is_taken_by_the_server_too(site: Site) -> None:
    site.helm("install", {"simulator.enabled": True})
    hooks = helm("get", "hooks", "scanplane", "--namespace", site.namespace, kubeconfig=site.server.kubeconfig).stdout
    kinds = [document["kind"] for document in yaml.safe_load_all(hooks) if document]
    assert sorted(kinds) == ["ConfigMap", "Pod"]
    site.kubectl("apply", "--dry-run=server", "-f", "-", document=hooks)
