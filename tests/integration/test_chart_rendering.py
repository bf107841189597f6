"""What the Helm chart makes of its values, by the real helm."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from scanplane_operator.settings import PodSettings, Settings, read_settings
from support.chart import (
    CHART,
    EVERYTHING,
    NOTHING_BUNDLED,
    ROOT,
    Manifest,
    Rule,
    helm,
    of_kind,
    only,
    permissions,
    pod_specs,
    render,
    set_values,
)

pytestmark = [pytest.mark.server, pytest.mark.timeout(30 * 60)]  # the first run may have to build helm

VALUES: dict[str, Mapping[str, object]] = {
    "as it is": {},
    "nothing bundled": NOTHING_BUNDLED,
    "everything": EVERYTHING,
    "whole cluster": {"scope": "Cluster"},
    "whole cluster, everything": {**EVERYTHING, "scope": "Cluster"},
    "two namespaces": {"namespaces": ["desk-a", "desk-b"]},
    "nothing that is optional": {
        **NOTHING_BUNDLED,
        "crds.enabled": False,
        "rbac.create": False,
        "serviceAccount.create": False,
    },
}
EACH = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())


def operator_of(manifests: list[Manifest]) -> Manifest:
    (container,) = only(manifests, "Deployment", "scanplane-operator")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def settings_of(values: Mapping[str, object]) -> Settings:
    """Return what the operator understands of the environment that the chart gives it."""
    return read_settings({variable["name"]: variable["value"] for variable in operator_of(render(values))["env"]})


def rules_of(role: Manifest) -> set[Rule]:
    return {
        (group, resource, frozenset(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@EACH
def test_it_passes_the_strict_linter(values: Mapping[str, object]) -> None:
    linted = helm("lint", "--strict", "--namespace", "scanners", str(CHART), *set_values(values))
    assert linted.returncode == 0, linted.stdout + linted.stderr


# Permissions


ASKED_FOR: list[tuple[dict[str, object], frozenset[str]]] = [
    ({}, frozenset()),
    ({"workloads.podDisruptionBudgets": True}, frozenset({"poddisruptionbudgets"})),
    ({"networkPolicies.enabled": True}, frozenset({"networkpolicies"})),
    (
        {"networkPolicies.enabled": True, "workloads.podDisruptionBudgets": True},
        frozenset({"poddisruptionbudgets", "networkpolicies"}),
    ),
]


@pytest.mark.parametrize(("values", "asked_for"), ASKED_FOR)
def test_the_operator_may_do_in_its_namespace_what_its_design_says_and_nothing_else(
    values: dict[str, object], asked_for: frozenset[str]
) -> None:
    manifests = render(values)
    role, binding = only(manifests, "Role"), only(manifests, "RoleBinding")
    assert rules_of(role) == permissions(asked_for=asked_for)
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "scanners"
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "scanplane-operator", "namespace": "scanners"}]
    assert not of_kind(manifests, "ClusterRoleBinding")


@pytest.mark.parametrize(("values", "asked_for"), ASKED_FOR)
def test_in_the_whole_cluster_it_may_do_the_same(values: dict[str, object], asked_for: frozenset[str]) -> None:
    manifests = render({**values, "scope": "Cluster"})
    binding = only(manifests, "ClusterRoleBinding")
    role = only(manifests, "ClusterRole", binding["roleRef"]["name"])
    assert rules_of(role) == permissions(asked_for=asked_for)
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "scanplane-operator", "namespace": "scanners"}]
    assert not of_kind(manifests, "Role")
    assert not of_kind(manifests, "RoleBinding")


def test_each_served_namespace_has_a_role_bound_to_the_one_operator() -> None:
    manifests = render({"namespaces": ["desk-a", "desk-b"]})
    for kind in ("Role", "RoleBinding"):
        assert [each["metadata"]["namespace"] for each in of_kind(manifests, kind)] == ["desk-a", "desk-b"]
    assert {each["subjects"][0]["namespace"] for each in of_kind(manifests, "RoleBinding")} == {"scanners"}
    assert settings_of({"namespaces": ["desk-a", "desk-b"]}).namespaces == ("desk-a", "desk-b")


def test_people_who_may_view_or_edit_a_namespace_may_do_so_with_the_custom_resources() -> None:
    roles = {
        manifest["metadata"]["name"].rsplit("-", 1)[1]: manifest for manifest in of_kind(render({}), "ClusterRole")
    }
    assert roles.keys() == {"view", "edit"}
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    given = {
        name: {label.removeprefix(prefix) for label in role["metadata"]["labels"] if label.startswith(prefix)}
        for name, role in roles.items()
    }
    assert given == {"view": {"view", "edit", "admin"}, "edit": {"edit", "admin"}}
    kinds = {"dataplanes", "feeds", "markets", "subscriptions", "scanners"}
    assert {resource for _, resource, _ in rules_of(roles["view"])} == kinds
    assert {resource for _, resource, _ in rules_of(roles["edit"])} == kinds | {"markets/scale"}
    assert not of_kind(render({"rbac.aggregate": False}), "ClusterRole")


# Pods


@EACH
def test_every_pod_is_restricted_and_bounded(values: Mapping[str, object]) -> None:
    pods = dict(pod_specs(render(values)))
    assert "Deployment/scanplane-operator" in pods
    assert "Pod/scanplane-test" in pods
    for name, pod in pods.items():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["enableServiceLinks"] is False, name
        assert pod["automountServiceAccountToken"] is (name == "Deployment/scanplane-operator"), name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name
            assert not container["image"].endswith(":latest"), name
        for volume in pod["volumes"]:
            assert not volume.keys() & {"hostPath"}, name


@EACH
def test_no_secret_stands_in_an_argument_an_environment_or_a_config_map(values: Mapping[str, object]) -> None:
    manifests = render(values)
    kept = [
        value
        for secret in of_kind(manifests, "Secret")
        for key, value in secret["stringData"].items()
        if key in {"password", "brokerUrl", "cacheUrl"}
    ]
    assert len(kept) == len(set(kept))
    others = json.dumps([manifest for manifest in manifests if manifest["kind"] != "Secret"])
    assert not [value for value in kept if value in others]
    for name, pod in pod_specs(manifests):
        for variable in (variable for container in pod["containers"] for variable in container.get("env", [])):
            secret = any(word in variable["name"] for word in ("KEY", "PASSWORD", "TOKEN"))
            assert not secret or "secretKeyRef" in variable["valueFrom"], name


def test_the_operator_is_one_probed_and_asks_for_its_token() -> None:
    manifests = render({})
    deployment = only(manifests, "Deployment", "scanplane-operator")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == "scanplane-operator"
    container = operator_of(manifests)
    assert container["command"] == ["python", "-m", "scanplane_operator"]
    assert container["ports"] == [{"name": "status", "containerPort": 8081, "protocol": "TCP"}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "status"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "status"}
    assert only(manifests, "ServiceAccount")["automountServiceAccountToken"] is False


def pods_of(component: str) -> dict[str, object]:
    """Return the NetworkPolicy peer that is a component of the release."""
    labels = {"name": "scanplane", "instance": "scanplane", "component": component}
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "scanners"}},
        "podSelector": {"matchLabels": {f"app.kubernetes.io/{name}": value for name, value in labels.items()}},
    }


SETTINGS: list[tuple[dict[str, object], Settings]] = [
    ({}, Settings(pods=PodSettings(image="localhost/scanplane:0.1.0"), namespaces=("scanners",))),
    ({"scope": "Cluster"}, Settings(pods=PodSettings(image="localhost/scanplane:0.1.0"), namespaces=())),
    (
        {"image.repository": "registry.test/scanplane", "image.tag": "9", "image.pullSecrets": ["a", "b"]},
        Settings(
            pods=PodSettings(image="registry.test/scanplane:9", pull_secrets=("a", "b")), namespaces=("scanners",)
        ),
    ),
    (
        {"image.digest": f"sha256:{'0' * 64}", "networkPolicies.enabled": True, "workloads.podDisruptionBudgets": True},
        Settings(
            pods=PodSettings(
                image=f"localhost/scanplane@sha256:{'0' * 64}", network_policies=True, disruption_budgets=True
            ),
            namespaces=("scanners",),
        ),
    ),
    (
        {
            "image.tag": "1",
            "networkPolicies.enabled": True,
            "networkPolicies.metricsFrom": [{"namespaceSelector": {}}],
            "networkPolicies.gatewayFrom": [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
        },
        Settings(
            pods=PodSettings(
                image="localhost/scanplane:1",
                network_policies=True,
                status_peers=(
                    pods_of("operator"),
                    {"namespaceSelector": {}},
                ),
                gateway_peers=({"ipBlock": {"cidr": "192.0.2.0/24"}}, pods_of("test")),
            ),
            namespaces=("scanners",),
        ),
    ),
    (
        {
            "image.tag": "1",
            "operator.resyncSeconds": 86400,
            "operator.secretsSeconds": 0.5,
            "operator.figuresSeconds": 2,
        },
        Settings(
            pods=PodSettings(image="localhost/scanplane:1"),
            namespaces=("scanners",),
            resync_s=86400,
            secrets_s=0.5,
            figures_s=2,
        ),
    ),
]


@pytest.mark.parametrize(("values", "settings"), SETTINGS)
def test_the_operator_understands_what_the_chart_tells_it(values: dict[str, object], settings: Settings) -> None:
    assert settings_of(values) == settings


def test_where_the_operator_runs_is_the_users_choice() -> None:
    pod = only(
        render(
            {
                "operator.priorityClassName": "high",
                "operator.nodeSelector": {"disk": "fast"},
                "operator.tolerations": [{"key": "desk", "operator": "Exists"}],
                "operator.affinity": {"nodeAffinity": {}},
                "operator.podAnnotations": {"a": "1"},
                "operator.podLabels": {"team": "desk"},
                "operator.env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}],
                "commonLabels": {"owner": "desk"},
            }
        ),
        "Deployment",
    )["spec"]["template"]
    assert pod["spec"]["priorityClassName"] == "high"
    assert pod["spec"]["nodeSelector"] == {"disk": "fast"}
    assert pod["spec"]["tolerations"] == [{"key": "desk", "operator": "Exists"}]
    assert pod["spec"]["affinity"] == {"nodeAffinity": {}}
    assert pod["metadata"]["annotations"] == {"a": "1"}
    assert pod["metadata"]["labels"].items() >= {"team": "desk", "owner": "desk"}.items()
    assert {"name": "HTTPS_PROXY", "value": "http://proxy"} in pod["spec"]["containers"][0]["env"]


# Definitions


def test_the_definitions_are_those_of_the_models_and_are_kept() -> None:
    rendered = {manifest["metadata"]["name"]: manifest for manifest in of_kind(render({}), "CustomResourceDefinition")}
    committed = {}
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        manifest = yaml.safe_load(path.read_text())
        committed[manifest["metadata"]["name"]] = manifest["spec"]
    assert {name: manifest["spec"] for name, manifest in rendered.items()} == committed
    for manifest in rendered.values():
        assert manifest["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_definitions_can_be_left_out_and_let_go() -> None:
    assert not of_kind(render({"crds.enabled": False}), "CustomResourceDefinition")
    for manifest in of_kind(render({"crds.keep": False}), "CustomResourceDefinition"):
        assert "annotations" not in manifest["metadata"]


@EACH
def test_a_release_holds_no_custom_resource_and_stays_in_its_namespaces(values: Mapping[str, object]) -> None:
    manifests = render(values)
    served: Any = values.get("namespaces", [])
    places = {"scanners", *served}
    for manifest in manifests:
        assert not manifest["apiVersion"].startswith("scanplane.io/")
        if manifest["kind"] not in {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}:
            assert manifest["metadata"]["namespace"] in places
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in manifests]
    assert len(names) == len(set(names))


def test_two_releases_of_one_name_in_two_namespaces_share_nothing() -> None:
    values = {"crds.enabled": False, "scope": "Cluster", **EVERYTHING}
    values["scope"] = "Cluster"
    names = [
        {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in manifests}
        for manifests in (render(values, namespace="one"), render(values, namespace="two"))
    ]
    assert not names[0] & names[1]


def test_a_long_name_fits() -> None:
    for manifest in render(EVERYTHING, release="a" * 53):
        labels = manifest["metadata"].get("labels", {})
        assert all(len(value) <= 63 for value in labels.values())
        if manifest["kind"] == "Service":
            assert len(manifest["metadata"]["name"]) <= 63
        if manifest["kind"] == "StatefulSet":
            assert len(manifest["metadata"]["name"]) <= 52, "a pod of it carries a hash of eleven characters more"


# What people are told


TYPOS: list[tuple[dict[str, object], str]] = [
    ({"operater.logLevel": "Debug"}, "operater"),
    ({"operator.loglevel": "Debug"}, "loglevel"),
    ({"operator.logLevel": "debug"}, "operator.logLevel"),
    ({"scope": "cluster"}, "scope"),
    ({"crds.keep": "yes"}, "crds.keep"),
    ({"bundled.rabbitmq.persistence.sise": "1Gi"}, "sise"),
    ({"bundled.redis.userId": 0}, "bundled.redis.userId"),
    ({"namespaces": ["Desk"]}, "namespaces.0"),
    ({"image.digest": "abc"}, "image.digest"),
    ({"monitoring.podMonitor.interval": "often"}, "monitoring.podMonitor.interval"),
    ({"operator.env": [{"name": "A", "vaule": "1"}]}, "vaule"),
    ({"scope": "Cluster", "namespaces": ["desk"]}, "leave it empty, or write scope: Namespaced"),
]


@pytest.mark.parametrize(("values", "place"), TYPOS, ids=[str(values) for values, _ in TYPOS])
def test_a_mistake_in_the_values_is_refused_with_its_place(values: dict[str, object], place: str) -> None:
    with pytest.raises(AssertionError) as refused:
        render(values)
    told = str(refused.value)
    assert place in told.replace("/", "."), told


def test_the_release_fits_into_the_secret_that_helm_keeps_it_in() -> None:
    packed = sum(len(path.read_bytes()) for path in CHART.rglob("*") if path.is_file())
    rendered = len(json.dumps(render(EVERYTHING)))
    assert len(base64.b64encode(b"x" * (packed + rendered))) < 1024 * 1024, "even uncompressed"


def texts(value: object) -> list[object]:
    """Return every namespace, name and value of an environment variable in a manifest."""
    if isinstance(value, dict):
        own = [value[key] for key in ("namespace", "name", "value") if key in value and "properties" not in value]
        return own + [found for each in value.values() for found in texts(each)]
    return [found for each in value for found in texts(each)] if isinstance(value, list) else []


def test_names_that_look_like_numbers_stay_names() -> None:
    values = {**EVERYTHING, "operator.priorityClassName": "1", "image.pullSecrets[0]": "2"}
    for manifest in render(values, namespace="2024"):
        if manifest["kind"] not in {"CustomResourceDefinition", "PrometheusRule"}:
            assert [each for each in texts(manifest) if not isinstance(each, str | dict)] == [], manifest["metadata"]
