"""How the Helm chart lets an installation be watched, and who may reach what within it."""

import json

import pytest

from support.chart import CHART, EVERYTHING, of_kind, only, render

pytestmark = [pytest.mark.server, pytest.mark.timeout(30 * 60)]  # the first run may have to build helm


def test_monitors_find_the_operator_and_the_workloads() -> None:
    manifests = render({**EVERYTHING, "monitoring.podMonitor.labels": {"release": "prometheus"}})
    service = only(manifests, "Service", "scanplane-operator")
    selector = only(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert service["metadata"]["labels"].items() >= selector.items()
    assert (
        len([each for each in of_kind(manifests, "Service") if each["metadata"]["labels"].items() >= selector.items()])
        == 1
    )
    monitor = only(manifests, "PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/managed-by": "scanplane-operator"}
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["scanners"]}
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True, "else Prometheus renames our labels instance and namespace"
    everywhere = only(render({**EVERYTHING, "scope": "Cluster"}), "PodMonitor")
    assert everywhere["spec"]["namespaceSelector"] == {"any": True}


def test_alerts_are_filled_in_and_keep_what_prometheus_fills_in_itself() -> None:
    values = {
        "monitoring.prometheusRule.enabled": True,
        "monitoring.prometheusRule.openHours": "vector(1)",
        "monitoring.prometheusRule.lagSeconds": 0.25,
        "monitoring.prometheusRule.alertLabels": {"team": "desk"},
    }
    rules = [rule for group in only(render(values), "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    by_name = {rule["alert"]: rule for rule in rules}
    assert len(by_name) == len(rules) > 10
    assert by_name["ScanplaneDataNotFlowing"]["expr"].endswith("and on () (vector(1))")
    assert by_name["ScanplaneBoardsLag"]["expr"].endswith("> 0.25")
    assert by_name["ScanplaneOperatorGone"]["expr"] == 'absent(up{namespace="scanners",job="scanplane-operator"} == 1)'
    for rule in rules:
        assert "<" not in rule["expr"]
        assert rule["labels"].keys() == {"severity", "team"}
        assert "{{ $" in rule["annotations"]["summary"] or rule["alert"] == "ScanplaneOperatorGone"


def test_the_dashboard_is_found_by_grafanas_sidecar() -> None:
    config_map = only(render({"monitoring.dashboard.enabled": True}), "ConfigMap", "scanplane-dashboard")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config_map["data"]["scanplane.json"]) == json.loads((CHART / "files/dashboard.json").read_text())


def test_network_policies_let_in_who_has_business_there() -> None:
    assert not of_kind(render({}), "NetworkPolicy")
    manifests = render({**EVERYTHING, "namespaces": ["desk-a", "scanners"]})
    policies = {manifest["metadata"]["name"]: manifest["spec"] for manifest in of_kind(manifests, "NetworkPolicy")}
    assert policies.keys() == {"scanplane-operator", "scanplane-rabbitmq", "scanplane-redis", "scanplane-simulator"}
    for component in ("rabbitmq", "redis", "simulator"):
        policy = policies[f"scanplane-{component}"]
        (rule,) = policy["ingress"]
        workloads, test = rule["from"]
        assert workloads["podSelector"]["matchLabels"] == {"app.kubernetes.io/managed-by": "scanplane-operator"}
        assert workloads["namespaceSelector"]["matchExpressions"][0]["values"] == ["desk-a", "scanners"]
        test_pod = only(manifests, "Pod")["metadata"]["labels"]
        assert test_pod.items() >= test["podSelector"]["matchLabels"].items()
        owner = next(
            manifest
            for manifest in manifests
            if manifest["kind"] in {"StatefulSet", "Deployment"}
            and manifest["metadata"]["name"] == f"scanplane-{component}"
        )
        template = owner["spec"]["template"]
        assert template["metadata"]["labels"].items() >= policy["podSelector"]["matchLabels"].items()
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert {port["port"] for port in rule["ports"]} == ports
        assert policy["egress"] == []


def test_every_service_reaches_the_pod_that_it_is_for() -> None:
    manifests = render(EVERYTHING)
    templates = [manifest["spec"]["template"] for manifest in manifests if "template" in manifest.get("spec", {})]
    services = of_kind(manifests, "Service")
    assert len(services) == 4
    for service in services:
        selector = service["spec"]["selector"].items()
        (template,) = [each for each in templates if each["metadata"]["labels"].items() >= selector]
        ports = {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
