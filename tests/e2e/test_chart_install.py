"""The Helm chart's life on a real cluster: installed, looked at, tested, upgraded, removed and installed again.

What is stored by each step is held against a bare API server in tests/integration; here pods run and boards move.
"""

import json
import re
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.chart import CHART, expressions, metrics_of, set_values
from support.cluster import Cluster
from support.findings import say
from support.scanners_namespace import KINDS, ScannersNamespace, restricted_namespace, wait_until

pytestmark = [pytest.mark.server, pytest.mark.journey]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENCE_S = 180.0
UNTIL_THE_FIRST = {"scanplane_operator_restarts_total"}
"""A counter by reason is there once there was a reason."""


ASKS_THE_API = """\
import json, ssl, sys, urllib.error, urllib.request
from pathlib import Path
request = urllib.request.Request("https://kubernetes.default.svc/api/v1/namespaces/" + sys.argv[1] + "/secrets")
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the pod is not even told whom to trust
try:
    code = urllib.request.urlopen(request, context=context, timeout=10).status
except urllib.error.HTTPError as error:
    code = error.code
print(json.dumps({"code": code, "token": Path("/var/run/secrets/kubernetes.io").exists()}))
"""
"""What a process in a pod can find out about the API server and about credentials for it."""


class Installation(ScannersNamespace):
    """A namespace with the chart's release ``scanplane`` in it."""

    def __init__(self, cluster: Cluster, namespace: str, api: httpx.Client, values: Mapping[str, object]) -> None:
        super().__init__(cluster, namespace, api)
        self._values: Mapping[str, object] = {**values, "simulator.enabled": True}

    def helm(self, verb: str, values: Mapping[str, object] | None = None) -> str:
        chart = [] if verb in {"test", "uninstall"} else [str(CHART), *set_values({**self._values, **(values or {})})]
        waits = [] if verb == "test" else ["--wait", f"--timeout={PATIENCE_S:.0f}s"]
        logs = ["--logs"] if verb == "test" else []
        arguments = (verb, "scanplane", "--namespace", self.namespace, *chart, *waits, *logs)
        done = self.cluster.try_helm(*arguments, patience_s=PATIENCE_S + 20)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "violate" not in done.stderr, "Pod Security warns of something"
        return done.stdout

    def password(self, service: str) -> str:
        return b64decode(self.get(f"secret/scanplane-{service}")["data"]["password"]).decode()

    def workload_pods(self) -> dict[str, dict[str, Any]]:
        """Return the pods that the operator made, by uid."""
        items = self.get("pods", "-l", "app.kubernetes.io/managed-by=scanplane-operator")["items"]
        return {item["metadata"]["uid"]: item for item in items}

    def metrics(self) -> set[str]:
        """Return the names of all metrics that operator and workloads tell."""
        pods = self.get("pods", "-l", "app.kubernetes.io/component in (operator, listener, analyzer, gateway)")["items"]
        found = set()
        for pod in pods:
            path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}:8081/proxy/metrics"
            for line in self.cluster.kubectl("get", "--raw", path).splitlines():
                found.add(re.split(r"[{ ]", line, maxsplit=1)[0])
        return found

    def wait_all_ready(self) -> None:
        names = [name.lower() for name in self.resources()]
        wait = ("wait", "--for=condition=Ready", f"--timeout={PATIENCE_S:.0f}s", *names)
        self.kubectl(*wait, patience_s=PATIENCE_S + 10)

    def wait_for_new_board(self) -> dict[str, Any]:
        """Wait until the board changes twice, and return it: one that moves, whatever was there before."""
        seen: list[object] = []

        def moved() -> bool:
            board = self.board("top-volume")
            tick = board.get("freshness", {}).get("tickNs", 0)
            if board.get("data", {}).get("rows") and tick not in seen:
                seen.append(tick)
            return len(seen) > 2

        wait_until(moved, "boards move", PATIENCE_S)
        return self.board("top-volume")


@pytest.fixture
def installation(cluster: Cluster) -> Iterator[Installation]:
    """A namespace that is ready for the chart; nothing is installed yet."""
    with restricted_namespace(cluster, "chart") as (namespace, values), cluster.api() as api:
        yield Installation(cluster, namespace, api, values)


def assert_it_can_do_nothing_to_the_api(installation: Installation, pod: Mapping[str, Any]) -> None:
    """A pod has no token as it is stored, and none in its file system; what it asks without one is refused."""
    name = pod["metadata"]["name"]
    assert pod["spec"]["automountServiceAccountToken"] is False, name
    kinds = {kind for volume in pod["spec"]["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "secret", "emptyDir"}, f"{name} has a volume that may hold a token"
    said = installation.kubectl("exec", name, "--", "python", "-c", ASKS_THE_API, installation.namespace)
    found = json.loads(said)
    assert not found["token"], f"{name} has a token"
    assert found["code"] in {401, 403}, f"{name} was answered"


def test_from_install_to_boards_and_through_upgrade_and_removal(installation: Installation) -> None:
    begun = time.monotonic()
    notes = installation.helm("install", {"networkPolicies.enabled": True, "workloads.podDisruptionBudgets": True})
    say(f"installed, every pod ready: {time.monotonic() - begun:.1f} s")
    assert f"kubectl apply -n {installation.namespace}" in notes

    text = installation.get("configmap/scanplane-simulator-resources")["data"]["resources.yaml"]
    installation.kubectl("apply", "-f", "-", document=text)
    applied = installation.resources()
    assert len(applied) == len([document for document in yaml.safe_load_all(text) if document])
    board = installation.wait_for_new_board()
    say(f"boards through the gateway: {time.monotonic() - begun:.1f} s after helm install")
    assert board["freshness"]["delay"] == "2014-03-26, real closes and volumes, synthetic path"
    installation.wait_all_ready()

    wanted = set().union(*(metrics_of(expression) for _, expression in expressions()))
    assert wanted - installation.metrics() <= UNTIL_THE_FIRST, "alerts and dashboard ask for what nobody tells"

    for pod in installation.workload_pods().values():
        assert_it_can_do_nothing_to_the_api(installation, pod)
    say("no workload has a token, and without one the API server refuses it")

    told = installation.helm("test")
    say(told[told.rindex("POD LOGS") :].strip())
    assert "Phase:          Succeeded" in told

    passwords = {service: installation.password(service) for service in ("rabbitmq", "redis")}
    installation.helm("upgrade", {"operator.logLevel": "Debug", "commonLabels": {"changed": "yes"}})
    assert {service: installation.password(service) for service in passwords} == passwords
    assert installation.resources() == applied
    installation.wait_for_new_board()
    say("upgraded: passwords, resources and boards are kept")

    pods = installation.workload_pods().keys()
    installation.helm("uninstall")
    assert installation.resources() == applied
    assert installation.workload_pods().keys() == pods
    installation.cluster.kubectl("get", *(f"crd/{kind}.scanplane.io" for kind in KINDS))
    assert not installation.get("deployments", "-l", "app.kubernetes.io/managed-by=Helm")["items"]
    say("uninstalled: definitions, resources and workloads are kept")

    begun = time.monotonic()
    installation.helm("install")
    assert installation.resources() == applied
    installation.wait_for_new_board()
    installation.wait_all_ready()
    say(f"installed again: boards move {time.monotonic() - begun:.1f} s later, with the same resources")


def test_the_commands_of_the_readme_on_its_own_examples(installation: Installation) -> None:
    """As README and docs/installation.md have them; only the provider is the simulated one."""
    installation.helm("install")
    key = installation.get("secret/scanplane-simulator")["data"]["apiKey"]
    installation.kubectl("create", "secret", "generic", "massive", f"--from-literal=apiKey={b64decode(key).decode()}")
    place = f"scanplane-simulator.{installation.namespace}:8765"
    simulated = f'\n    endpoint: "ws://{place}"\n    restEndpoint: "http://{place}"\n    feed: RealTime '
    text = re.sub(r"\n    feed: RealTime ", simulated, (EXAMPLES / "us-stocks.yaml").read_text())
    assert place in text
    installation.kubectl("apply", "-f", "-", "-f", str(EXAMPLES / "scanners"), document=text)
    installation.kubectl("wait", "feed/massive", "--for=condition=Ready", "--timeout=120s", patience_s=130)
    installation.wait_for_new_board()
    installation.wait_all_ready()
    assert len(installation.pods("analyzer-us-stocks-0")) == len(("the one that works", "its standby"))

    before = installation.revisions()
    patch = '{"spec":{"massive":{"feed":"Delayed"}}}'
    installation.kubectl("patch", "feed", "massive", "--type", "merge", "-p", patch)
    installation.kubectl("wait", "feed/massive", "--for=condition=Ready", "--timeout=120s", patience_s=130)
    after = installation.revisions()
    assert {name for name in after if after[name] != before.get(name)} == {"listener-massive", "analyzer-us-stocks-0"}
    assert any("FeedChanged (Feed/massive edited)" in line for line in installation.events("FeedChanged"))
    installation.wait_all_ready()
    wait_until(lambda: "Streaming" in installation.kubectl("get", "feeds"), "figures of the new listener")
    say(installation.kubectl("get", "feeds,markets,subscriptions,scanners"))
