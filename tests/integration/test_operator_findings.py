"""What is wrong is said in conditions, events and the log, with its place; what ran goes on, and what is mended recovers."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.findings import say
from support.operator_documents import (
    SECRET_VALUES,
    Document,
    namespace_of_everything,
    scanner,
    secret,
    subscription,
)
from support.operator_process import OperatorProcess, wait_until
from support.operator_site import OperatorCluster, Site, values_of

pytestmark = [pytest.mark.server, pytest.mark.timeout(50 * 60)]  # the first run may have to build kube-apiserver


@pytest.fixture(scope="module")
def site(operator_cluster: OperatorCluster, operator: OperatorProcess) -> Site:
    assert operator.child.running
    site = operator_cluster.site(*namespace_of_everything())
    site.wait_ready()
    return site


def wait_refused(site: Site, kind: str, name: str) -> dict[str, Any]:
    """Wait until the newest generation is not accepted; return the condition."""

    def look() -> dict[str, Any]:
        found = site.condition(kind, name, "Accepted")
        return found if found.get("status") == "False" else {}

    return wait_until(look, f"{kind}/{name} is not accepted")


def assert_said(site: Site, operator: OperatorProcess, kind: str, name: str, reason: str) -> None:
    """Check that event and log say what the condition says."""
    events = wait_until(lambda: site.events(reason=reason, type="Warning"), f"an event {reason}")
    assert any(each["regarding"]["name"] == name for each in events)
    assert operator.records(level="error", resource=f"{kind}/{name}", reason=reason, namespace=site.namespace)


BAD: list[tuple[str, Document, str, str]] = [
    (
        "an unknown feature",
        scanner("bad", where="gapp_percent >= 4.0"),
        "InvalidExpression",
        "did you mean gap_percent",
    ),
    ("a syntax error", scanner("bad", where="price >"), "InvalidExpression", "where:1:"),
    ("an unknown market", scanner("bad", "nowhere"), "ReferenceNotFound", "nowhere"),
    ("an unknown feed", subscription("bad", "nobody"), "ReferenceNotFound", "nobody"),
]


@pytest.mark.parametrize(("document", "reason", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_resource_is_said_and_concerns_nobody_else(
    site: Site, operator: OperatorProcess, document: Document, reason: str, words: str
) -> None:
    before = site.revisions()
    kind, name = document["kind"], document["metadata"]["name"]
    site.apply(document)
    try:
        condition = wait_refused(site, kind, name)
        say(f"\n{kind}/{name}: {condition['reason']}: {condition['message']}")
        assert condition["reason"] == reason
        assert words in condition["message"]
        assert site.condition(kind, name, "Ready")["status"] == "False"
        assert_said(site, operator, kind, name, reason)
        operator.wait_passes(site.namespace, 2)
        assert site.revisions() == before
    finally:
        site.delete(kind, name)


def test_a_bad_edit_leaves_the_last_good_version_running_and_a_good_one_recovers(site: Site) -> None:
    before = site.revisions()
    site.edit("Scanner", "gappers", where="gapp_percent >= 4.0")
    condition = wait_refused(site, "Scanner", "gappers")
    assert "goes on" in condition["message"]
    site.edit(
        "Scanner", "top-volume", where="price > 4.0"
    )  # another change must not take the bad one along, nor lose it
    wait_until(lambda: site.revisions()["analyzer-us-stocks-0"] == before["analyzer-us-stocks-0"] + 1, "the other edit")
    configuration = running_configuration(site, "analyzer-us-stocks-0")
    assert {each["name"] for each in configuration["scanners"]} == {"gappers", "top-volume"}
    site.edit("Scanner", "gappers", where="gap_percent >= 4.5")
    site.wait_ready()


def running_configuration(site: Site, instance: str) -> dict[str, Any]:
    """Return what the newest pods of a role instance read."""
    volumes = site.get("Deployment", f"scanplane-{instance}")["spec"]["template"]["spec"]["volumes"]
    name = next(each["configMap"]["name"] for each in volumes if each["name"] == "configuration")
    found: dict[str, Any] = json.loads(site.get("ConfigMap", name)["data"]["configuration.json"])
    return found


def test_a_missing_key_of_a_secret_is_said_and_its_return_recovers(site: Site, operator: OperatorProcess) -> None:
    before = site.revisions()
    site.cluster.request(
        "PUT", site.path("Secret", "massive"), secret("massive", {"another": "value"})
    )  # replaced, not merged
    condition = wait_refused(site, "Feed", "massive")
    say(f"\n{condition['reason']}: {condition['message']}")
    assert condition["reason"] == "SecretNotFound"
    assert "apiKey" in condition["message"]
    assert_said(site, operator, "Feed", "massive", "SecretNotFound")
    operator.wait_passes(site.namespace, 2)
    assert site.revisions() == before
    site.apply(secret("massive", SECRET_VALUES["massive"]))
    site.wait_ready()
    operator.wait_passes(site.namespace, 2)
    assert site.revisions() == before  # the same key as before: nothing to restart


def test_an_object_of_somebody_else_is_left_alone(operator_cluster: OperatorCluster, operator: OperatorProcess) -> None:
    site = operator_cluster.site()
    labels = {"app": "somebody-elses"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "one", "image": "theirs:1"}]}}
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "scanplane-gateway"},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod},
    }
    site.apply(theirs)
    before = site.get("Deployment", "scanplane-gateway")["metadata"]["generation"]
    site.apply(*namespace_of_everything())
    site.wait_ready(("Feed", "massive"), ("Market", "us-stocks"))
    taken = wait_until(lambda: site.condition("DataPlane", "default", "Available"), "Available of the DataPlane")
    wait_until(lambda: site.condition("DataPlane", "default", "Available").get("reason") == "NameTaken", "NameTaken")
    say(f"\n{site.condition('DataPlane', 'default', 'Available')['message']}")
    operator.wait_passes(site.namespace, 2)
    found = site.get("Deployment", "scanplane-gateway")
    assert found["metadata"]["generation"] == before
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "theirs:1"
    assert "scanplane.io/applied" not in (found["metadata"].get("annotations") or {})
    site.delete("Deployment", "scanplane-gateway")
    site.wait_ready(("DataPlane", "default"))
    assert taken


def test_a_refused_write_stops_no_other_and_is_tried_again(
    operator_cluster: OperatorCluster, operator: OperatorProcess
) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "two"},
        "spec": {"hard": {"count/deployments.apps": "2"}},
    }
    site = operator_cluster.site(quota)
    wait_until(lambda: site.get("ResourceQuota", "two").get("status", {}).get("hard"), "the quota holds")
    site.apply(*namespace_of_everything())
    wait_until(lambda: len(site.names("Deployment")) == 2, "two Deployments")
    refused = wait_until(
        lambda: [
            each
            for each in (site.condition(kind, name, "Progressing") for kind, name in site.resources())
            if each.get("reason") == "WriteRefused"
        ],
        "WriteRefused",
    )
    say(f"\n{refused[0]['message']}")
    assert "exceeded quota" in refused[0]["message"]
    assert site.names("Service") == {"scanplane-gateway"}
    operator.wait_passes(site.namespace, 3)
    told = operator.records(level="error", containing="refuses to write", namespace=site.namespace)
    assert len(told) == len({each["message"] for each in told})  # each once, not once for each pass
    site.edit("ResourceQuota", "two", hard={"count/deployments.apps": "9"})
    site.wait_ready(within_s=60)
    assert len(site.names("Deployment")) == 3


def test_a_refused_roll_out_is_no_roll_back(operator_cluster: OperatorCluster) -> None:
    """What the API server refused to write is written as soon as it takes it."""
    policy, binding = _policy_against_image(operator_cluster, "registry.example/forbidden:1")
    site = operator_cluster.site(*namespace_of_everything())
    with operator_cluster.operator(NAMESPACES=site.namespace, RESYNC_SECONDS=2):
        site.wait_ready()
        before = site.revisions()
        site.edit("DataPlane", "default", workloads={"image": "registry.example/forbidden:1"})
        wait_until(
            lambda: site.condition("DataPlane", "default", "Ready").get("reason") == "WriteRefused", "WriteRefused"
        )
        say(f"\n{site.condition('DataPlane', 'default', 'Ready')['message']}")
        assert site.revisions() == before
        for path in (binding, policy):
            operator_cluster.request("DELETE", path)
        site.wait_ready(within_s=60)
        assert {name: count + 1 for name, count in before.items()} == site.revisions()


def _policy_against_image(cluster: OperatorCluster, image: str) -> tuple[str, str]:
    """Refuse Deployments of an image, as a cluster's own rules may; return where the policy and its binding are."""
    version, base = "admissionregistration.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1"
    name = "no-such-image"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}
    expression = f"object == null || object.spec.template.spec.containers[0].image != '{image}'"
    policy = {
        "apiVersion": version,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": expression, "message": "this image is not allowed here"}],
        },
    }
    binding = {
        "apiVersion": version,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    cluster.request("POST", f"{base}/validatingadmissionpolicies", policy)
    cluster.request("POST", f"{base}/validatingadmissionpolicybindings", binding)
    probe = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "probe"},
        "spec": {
            "selector": {"matchLabels": {"app": "probe"}},
            "template": {
                "metadata": {"labels": {"app": "probe"}},
                "spec": {"containers": [{"name": "one", "image": image}]},
            },
        },
    }
    path = "/apis/apps/v1/namespaces/default/deployments?dryRun=All"
    wait_until(lambda: cluster.http.post(path, json=probe).status_code == 422, "the policy holds")
    return f"{base}/validatingadmissionpolicies/{name}", f"{base}/validatingadmissionpolicybindings/{name}"


def test_no_value_of_a_secret_is_seen_anywhere(site: Site, operator: OperatorProcess) -> None:
    site.wait_ready()
    values = values_of(SECRET_VALUES)
    kinds = ("DataPlane", "Feed", "Market", "Subscription", "Scanner", "ConfigMap", "Deployment", "Service", "Event")
    places = {kind: json.dumps(site.every(kind)) for kind in kinds} | {"log": operator.text()}
    for path in ("/status", "/metrics", "/healthz", "/readyz"):
        response = operator.get(path)
        assert response is not None
        places[path] = response.text
    places["command line"] = Path(f"/proc/{operator.child.pid}/cmdline").read_text()
    assert all(text for text in places.values())
    assert [place for place, text in places.items() for value in values if value in text] == []
