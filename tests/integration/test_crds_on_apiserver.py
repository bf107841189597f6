"""The CRDs and the examples on a real kube-apiserver, and offline validation held against it."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanplane.resources.common import Rule
from scanplane.resources.documents import SourceText, parse_documents, resource_from_object
from scanplane.resources.kinds import KINDS, Kind
from scanplane.resources.schema import SchemaNode, spec_schema
from support.apiserver import ApiServer, running_apiserver
from support.resource_documents import AGREED, METADATA, STRICTER, document, specs

pytestmark = [pytest.mark.server, pytest.mark.timeout(50 * 60)]  # the first run may have to build kube-apiserver

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = [ROOT / "examples" / "us-stocks.yaml", *sorted((ROOT / "examples" / "scanners").glob("*.yaml"))]
API = "/apis/scanplane.io/v1alpha1/namespaces/default"
YAML = {"Content-Type": "application/yaml"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
MERGE = {"Content-Type": "application/merge-patch+json"}
SIGNAL_WHEN = document("Scanner", "marketRef: {name: m}\nsignal: {when: new_high_of_day}")
MARKET = document("Market", "assetClass: Stocks", name="scaled")


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def apiserver() -> Iterator[ApiServer]:
    with running_apiserver() as server:
        applied = server.kubectl("apply", "-f", str(ROOT / "crds"))
        assert applied.returncode == 0, applied.stderr
        crds = [f"crd/{info.plural}.scanplane.io" for info in KINDS.values()]
        waited = server.kubectl("wait", "--for=condition=Established", "--timeout=30s", *crds)
        assert waited.returncode == 0, waited.stderr
        with server.client() as client:
            for info in KINDS.values():
                wait_until(lambda: client.get(f"{API}/{info.plural}").is_success, f"{info.plural} are served")  # noqa: B023
        yield server


@pytest.fixture
def client(apiserver: ApiServer) -> Iterator[httpx.Client]:
    with apiserver.client() as client:
        yield client


def create(client: httpx.Client, kind: str, text: str, *, dry_run: bool = True) -> httpx.Response:
    query = "?fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
    return client.post(f"{API}/{KINDS[Kind(kind)].plural}{query}", content=text, headers=YAML)


def is_right_offline(text: str) -> bool:
    return not parse_documents([SourceText("probe.yaml", text)]).problems


def test_every_crd_is_established_and_structural(client: httpx.Client) -> None:
    crds = client.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").json()["items"]
    assert {crd["spec"]["names"]["kind"] for crd in crds} == {kind.value for kind in Kind}
    for crd in crds:
        conditions = {entry["type"]: entry["status"] for entry in crd["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}
        assert crd["status"]["acceptedNames"]["shortNames"] == crd["spec"]["names"]["shortNames"]


def test_kubectl_applies_the_examples_as_they_are_written(apiserver: ApiServer) -> None:
    files = [argument for path in EXAMPLES for argument in ("-f", str(path))]
    applied = apiserver.kubectl("apply", *files)
    assert (applied.returncode, applied.stderr) == (0, "")
    again = apiserver.kubectl("apply", *files)
    assert {line.rpartition(" ")[2] for line in again.stdout.splitlines()} == {"unchanged"}
    assert apiserver.kubectl("diff", *files).returncode == 0
    listed = json.loads(apiserver.kubectl("get", "scanplane", "-o", "json").stdout)["items"]
    offline = parse_documents([SourceText(str(path), path.read_text()) for path in EXAMPLES])
    assert {(item["kind"], item["metadata"]["name"]) for item in listed} == {
        (found.kind.value, found.name) for found in offline.resources
    }
    by_name = {(found.kind.value, found.name): found.resource for found in offline.resources}
    for item in listed:
        read = resource_from_object(Kind(item["kind"]), item)
        assert not isinstance(read, tuple), read
        assert read.spec == by_name[item["kind"], item["metadata"]["name"]].spec


def test_applying_twice_server_side_writes_nothing(client: httpx.Client) -> None:
    for path in EXAMPLES:
        for text in path.read_text().split("\n---\n"):
            resource = yaml.safe_load(text)
            url = f"{API}/{KINDS[Kind(resource['kind'])].plural}/{resource['metadata']['name']}?fieldManager=test&force=true"
            first = client.patch(url, content=text, headers=APPLY)
            assert first.is_success, first.text
            second = client.patch(url, content=text, headers=APPLY)
            assert second.json()["metadata"]["resourceVersion"] == first.json()["metadata"]["resourceVersion"]


@pytest.mark.parametrize(("name", "kind", "spec", "good"), AGREED, ids=[row[0] for row in AGREED])
def test_the_server_and_offline_validation_agree_on_a_spec(
    client: httpx.Client,
    name: str,
    kind: str,
    spec: str,
    good: bool,  # noqa: FBT001 - a column of the table
) -> None:
    text = document(kind, spec)
    answer = create(client, kind, text)
    assert (name, answer.is_success, is_right_offline(text)) == (name, good, good), answer.text


@pytest.mark.parametrize(("name", "called", "head", "good"), METADATA, ids=[row[0] for row in METADATA])
def test_the_server_and_offline_validation_agree_on_metadata(
    client: httpx.Client,
    name: str,
    called: str,
    head: str,
    good: bool,  # noqa: FBT001 - a column of the table
) -> None:
    text = document("DataPlane", "{}", name=called, head=head)
    answer = create(client, "DataPlane", text)
    assert (name, answer.is_success, is_right_offline(text)) == (name, good, good), answer.text


@pytest.mark.parametrize(("name", "kind", "head", "spec"), STRICTER, ids=[row[0] for row in STRICTER])
def test_offline_validation_also_refuses_what_only_looks_right(
    client: httpx.Client, name: str, kind: str, head: str, spec: str
) -> None:
    text = document(kind, spec, head=head)
    assert (name, create(client, kind, text).is_success, is_right_offline(text)) == (name, True, False)


def rules_of(node: SchemaNode, path: str = "spec") -> Iterator[tuple[str, Rule]]:
    yield from ((path, rule) for rule in node.rules)
    for name, child in node.properties.items():
        yield from rules_of(child, f"{path}.{name}")


def test_each_rule_is_refused_with_its_own_message_at_its_field(client: httpx.Client) -> None:
    told: set[tuple[str, str]] = set()
    for _, kind, spec, good in AGREED:
        if not good:
            answer = create(client, kind, document(kind, spec)).json()
            causes = answer.get("details", {}).get("causes", [])
            told |= {(cause["field"], cause["message"].removeprefix("Invalid value: ")) for cause in causes}
    for kind in Kind:
        for path, rule in rules_of(spec_schema(KINDS[kind].model)):
            field = f"{path}.{rule.at}" if rule.at else path
            if rule.expression.startswith("duration(self)"):
                continue  # one rule with many bounds, each tried in the table above
            assert any(where == field and rule.message in message for where, message in told), rule


@pytest.mark.parametrize("kind", list(Kind))
def test_generated_specs_get_the_same_answer_from_the_server_and_from_the_rules_in_python(
    apiserver: ApiServer, kind: Kind
) -> None:
    answers = {True: 0, False: 0}
    with apiserver.client() as client:

        @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
        @given(st.data())
        def agree(data: st.DataObject) -> None:
            made: dict[str, Any] = {
                "apiVersion": "scanplane.io/v1alpha1",
                "kind": kind.value,
                "metadata": {"name": "generated"},
                "spec": data.draw(specs(kind)),
            }
            text = json.dumps(made)
            answer = create(client, kind.value, text)
            offline = resource_from_object(kind, made)
            assert answer.is_success is not isinstance(offline, tuple), (answer.text, offline)
            assert is_right_offline(text) is answer.is_success
            answers[answer.is_success] += 1

        agree()
    assert all(answers.values()), f"only one side was tried: {answers}"


def test_a_market_scales_through_its_subresource(apiserver: ApiServer, client: httpx.Client) -> None:
    assert create(client, "Market", MARKET, dry_run=False).is_success
    scaled = apiserver.kubectl("scale", "market", "scaled", "--replicas=3")
    assert scaled.returncode == 0, scaled.stderr
    market = client.get(f"{API}/markets/scaled").json()
    assert market["spec"]["analyzer"] == {"partitions": 3}
    status = {"status": {"partitions": 2, "selector": "scanplane.io/market=scaled"}}
    client.patch(f"{API}/markets/scaled/status", json=status, headers=MERGE).raise_for_status()
    scale = client.get(f"{API}/markets/scaled/scale").json()
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "scanplane.io/market=scaled"}
    refused = apiserver.kubectl("scale", "market", "scaled", "--replicas=0")
    assert refused.returncode != 0
    assert "greater than or equal to 1" in refused.stderr


def ready(generation: int, status: str = "True") -> dict[str, Any]:
    return {
        "type": "Ready",
        "status": status,
        "observedGeneration": generation,
        "lastTransitionTime": "2026-01-05T14:30:00Z",
        "reason": "RolledOut",
        "message": "1 of 1 analyzers ready",
    }


def test_writing_status_leaves_the_generation_alone_and_writing_spec_does_not(client: httpx.Client) -> None:
    url = f"{API}/scanners/probe"
    assert create(client, "Scanner", SIGNAL_WHEN, dry_run=False).is_success
    written = client.patch(f"{url}/status", json={"status": {"conditions": [ready(1)], "matches": 3}}, headers=MERGE)
    written.raise_for_status()
    assert written.json()["metadata"]["generation"] == 1
    changed = client.patch(url, json={"spec": {"where": "price > 2.0"}, "status": {"matches": 9}}, headers=MERGE).json()
    assert changed["metadata"]["generation"] == 2
    assert changed["status"]["matches"] == 3


def test_conditions_are_a_map_by_type_that_two_managers_can_share(client: httpx.Client) -> None:
    assert create(client, "Feed", document("Feed", "provider: Replay\nreplay: {path: x}"), dry_run=False).is_success
    url = f"{API}/feeds/probe/status"
    for manager, kind in (("one", "Ready"), ("two", "DataFlowing")):
        body = {
            "apiVersion": "scanplane.io/v1alpha1",
            "kind": "Feed",
            "metadata": {"name": "probe"},
            "status": {"conditions": [ready(1) | {"type": kind}]},
        }
        client.patch(f"{url}?fieldManager={manager}", content=json.dumps(body), headers=APPLY).raise_for_status()
    status = client.get(url).json()["status"]
    assert sorted(entry["type"] for entry in status["conditions"]) == ["DataFlowing", "Ready"]
    unknown = client.patch(
        f"{url}?fieldManager=three", content=json.dumps(body | {"status": {"eventsPerHour": 1}}), headers=APPLY
    )
    assert "eventsPerHour" in unknown.text


@pytest.mark.parametrize("kind", list(Kind))
def test_kubectl_get_shows_readiness_figures_and_age(client: httpx.Client, kind: Kind) -> None:
    table = client.get(
        f"{API}/{KINDS[kind].plural}", headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    ).json()
    shown = [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0]
    wide = [column["name"] for column in table["columnDefinitions"] if column["priority"] == 1]
    figures = [column.name for column in KINDS[kind].columns if not column.wide]
    assert shown == ["Name", "Ready", *figures, "Age"]
    assert wide[-1] == "Message"
    assert all(column["description"] for column in table["columnDefinitions"])


def test_the_columns_of_kubectl_get_are_filled_from_status(apiserver: ApiServer, client: httpx.Client) -> None:
    text = document("Market", "assetClass: Crypto", name="shown")
    assert create(client, "Market", text, dry_run=False).is_success
    status = {"conditions": [ready(1)], "session": "regular", "symbolCount": 8123, "readyPartitions": 1}
    client.patch(f"{API}/markets/shown/status", json={"status": status}, headers=MERGE).raise_for_status()
    lines = apiserver.kubectl("get", "mkt", "shown", "-o", "wide").stdout.splitlines()
    assert lines[0].split()[:4] == ["NAME", "READY", "SESSION", "SYMBOLS"]
    assert lines[1].split()[:4] == ["shown", "True", "regular", "8123"]
    assert lines[1].endswith("1 of 1 analyzers ready")


def test_kubectl_explains_every_kind(apiserver: ApiServer) -> None:
    for kind in Kind:
        explained = apiserver.kubectl("explain", f"{kind.value.lower()}.spec", "--recursive")
        assert explained.returncode == 0, explained.stderr
        for field in spec_schema(KINDS[kind].model).properties:
            assert field in explained.stdout
