"""The operator with the rights that the chart gives it, no other, on a real kube-apiserver that writes down every request.

So both are seen: nothing that the operator asks for is refused, and nothing is granted that it never asks for.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import yaml

from support.apiserver import ApiServer, running_apiserver
from support.chart import CHART, ROOT, Rule, helm, permissions, set_values
from support.servers import ChildProcess, free_port

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(50 * 60),
]  # the first run may have to build kube-apiserver and helm

EXAMPLES = ("-f", str(ROOT / "examples" / "us-stocks.yaml"), "-f", str(ROOT / "examples" / "scanners"))
EVERYTHING = {"networkPolicies.enabled": True, "workloads.podDisruptionBudgets": True}
PATIENCE_S = 60.0
LEFT_TO_OWNERS = {("", "services", "delete")}
"""The only Service goes with its DataPlane, which owns it; an operator that renames or drops one has to delete it itself."""


class Request(NamedTuple):
    """What the audit log says of one request of the operator."""

    group: str
    resource: str
    verb: str
    code: int


class Site(NamedTuple):
    """One namespace with the chart in it, and what the API server writes down."""

    server: ApiServer
    namespace: str
    audit: Path

    def kubectl(self, *arguments: str) -> str:
        done = self.server.kubectl("--namespace", self.namespace, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def requests(self) -> Iterator[Request]:
        """Give every request of the operator that was answered."""
        account = f"system:serviceaccount:{self.namespace}:scanplane-operator"
        for line in self.audit.read_text().splitlines():
            event = json.loads(line)
            place = event.get("objectRef")
            if event["user"]["username"] != account or not place or "resource" not in place:
                continue
            resource = "/".join(filter(None, (place["resource"], place.get("subresource"))))
            code = event.get("responseStatus", {}).get("code", 200)
            yield Request(place.get("apiGroup", ""), resource, event["verb"], code)

    def used(self) -> set[tuple[str, str, str]]:
        """Return group, resource and verb of what was asked for; an apply that made something needed both its verbs."""
        found = set()
        for group, resource, verb, code in self.requests():
            found.add((group, resource, verb))
            if verb == "patch" and code == 201:
                found.add((group, resource, "create"))
        return found


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, Path]]:
    folder = tmp_path_factory.mktemp("audit")
    policy, log = folder / "policy.yaml", folder / "audit.log"
    rule = {"level": "Metadata", "userGroups": ["system:serviceaccounts"]}
    # A watch is told of when it begins, everything else when its code is known.
    stages = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [rule]}
    policy.write_text(yaml.safe_dump(stages))
    with running_apiserver(options=[f"--audit-policy-file={policy}", f"--audit-log-path={log}"]) as server:
        crds = server.kubectl("apply", "-f", str(ROOT / "crds"))
        assert crds.returncode == 0, crds.stderr
        yield server, log


@contextmanager
def running_operator(site: Site, folder: Path) -> Iterator[str]:
    """Run the operator as its Deployment says, as the ServiceAccount of the chart; give the URL of its status port."""
    deployment = json.loads(site.kubectl("get", "deployment/scanplane-operator", "-o", "json"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    port = free_port()
    environment = {each["name"]: each.get("value", "") for each in container["env"]}
    environment |= {"SCANPLANE_STATUS_PORT": str(port), "KUBECONFIG": str(_kubeconfig(site, folder))}
    environment |= {"SCANPLANE_SECRETS_SECONDS": "0.5", "PATH": os.environ["PATH"]}
    assert container["command"][0] == "python"
    child = ChildProcess([sys.executable, *container["command"][1:]], environment, folder / "operator.log")
    url = f"http://127.0.0.1:{port}"
    try:
        child.wait_until(lambda: _is_ready(url), "operator", PATIENCE_S)
        yield url
    finally:
        child.end()


def _kubeconfig(site: Site, folder: Path) -> Path:
    configuration = yaml.safe_load(site.server.kubeconfig.read_text())
    token = site.kubectl("create", "token", "scanplane-operator").strip()
    configuration["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(configuration))
    return path


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


def exercise(site: Site) -> None:
    """Do with the resources what makes the operator do all that it can."""
    site.kubectl("create", "secret", "generic", "massive", "--from-literal=apiKey=demo")
    site.kubectl("create", "configmap", "reference", "--from-literal=symbols.csv=symbol\n")
    site.kubectl("apply", *EXAMPLES)

    def deployments() -> set[str]:
        return set(site.kubectl("get", "deployments", "-o", "name").split())

    made = {f"deployment.apps/scanplane-{name}" for name in ("listener-massive", "analyzer-us-stocks-0", "gateway")}
    wait_until(lambda: deployments() >= made, "Deployments are made")
    file = '{"spec":{"reference":{"previousClose":"File","file":{"symbols":"symbols.csv","configMapRef":{"name":"reference"}}}}}'
    site.kubectl("patch", "market/us-stocks", "--type=merge", "-p", file)
    config_maps = ("get", "configmaps", "-l", "app.kubernetes.io/component=analyzer", "-o", "name")
    wait_until(lambda: len(site.kubectl(*config_maps).split()) > 1, "the analyzer has a new configuration")
    site.kubectl("delete", "feed/massive", "subscription/us-stocks-seconds")
    wait_until(lambda: "deployment.apps/scanplane-listener-massive" not in deployments(), "the listener goes")


@pytest.mark.parametrize("scope", ["Namespaced", "Cluster"])
def test_the_operator_is_granted_just_what_it_asks_for(
    audited: tuple[ApiServer, Path], tmp_path: Path, scope: str
) -> None:
    server, audit = audited
    site = Site(server, f"scanners-{scope.lower()}", audit)
    values: Mapping[str, object] = {**EVERYTHING, "scope": scope, "crds.enabled": False}
    arguments = ("--namespace", site.namespace, "--create-namespace", str(CHART), *set_values(values))
    installed = helm("install", "scanplane", *arguments, kubeconfig=server.kubeconfig)
    assert installed.returncode == 0, installed.stderr
    with running_operator(site, tmp_path):
        exercise(site)
    refused = {request for request in site.requests() if request.code == 403}
    assert not refused, (tmp_path / "operator.log").read_text()[-3000:]
    table: set[Rule] = permissions(asked_for=frozenset({"poddisruptionbudgets", "networkpolicies"}))
    granted = {(group, resource, verb) for group, resource, verbs in table for verb in verbs}
    assert site.used() <= granted
    assert granted - site.used() == LEFT_TO_OWNERS, "granted, and never asked for"
