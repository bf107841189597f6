"""A namespace of a real cluster with the chart in it, as its user sees it: apply, wait for conditions, read boards."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.chart import CHART, set_values
from support.cluster import Cluster

__all__ = ["KINDS", "ScannersNamespace", "installed", "restricted_namespace", "table_rows", "wait_until"]

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
KINDS = ("dataplanes", "feeds", "markets", "subscriptions", "scanners")
PATIENCE_S = 240.0
SMALL = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
"""For a node of two processors that holds everything."""


class ScannersNamespace:
    """Scanplane, installed in *namespace*; *api* is a client of the cluster's API server."""

    def __init__(self, cluster: Cluster, namespace: str, api: httpx.Client) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._api = api

    def kubectl(self, *arguments: str, document: str | None = None, patience_s: float = 60) -> str:
        """Run kubectl in the namespace and return its output."""
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, document=document, patience_s=patience_s)

    def get(self, what: str, *more: str) -> dict[str, Any]:
        """Return an object, or a list."""
        return dict(json.loads(self.kubectl("get", what, *more, "--output", "json")))

    def patch(self, what: str, spec: Mapping[str, Any]) -> None:
        """Merge *spec* into a resource's."""
        self.kubectl("patch", what, "--type", "merge", "--patch", json.dumps({"spec": spec}))

    def wait_ready(self, *names: str) -> None:
        """Wait until resources are ready in their newest generation."""
        for name in names:
            wait_until(lambda: self.is_ready(name), f"{name} is ready")  # noqa: B023  # asked before the next turn

    def is_ready(self, name: str) -> bool:
        """Whether a resource is ready in its newest generation."""
        resource = self.get(name)
        ready = self.condition(name, "Ready", resource)
        return ready.get("status") == "True" and ready["observedGeneration"] == resource["metadata"]["generation"]

    def condition(self, name: str, kind: str, resource: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a condition of a resource; empty while there is none."""
        status = (resource or self.get(name)).get("status", {})
        return next((dict(each) for each in status.get("conditions", []) if each["type"] == kind), {})

    def events(self, reason: str) -> list[str]:
        """Return what events with *reason* say, as ``feed/massive: note``."""
        items = self.get("events.events.k8s.io")["items"]
        return [
            f"{item['regarding']['kind'].lower()}/{item['regarding']['name']}: {item['note']}"
            for item in items
            if item.get("reason") == reason
        ]

    def revisions(self) -> dict[str, int]:
        """Return how often each workload was rolled out, by role instance."""
        items = self.get("deployments", "--selector=app.kubernetes.io/managed-by=scanplane-operator")["items"]
        return {
            item["metadata"]["labels"]["app.kubernetes.io/instance"]: int(
                item["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
            )
            for item in items
        }

    def pods(self, instance: str) -> set[str]:
        """Return the names of the pods of a role instance that are not about to end."""
        return {name for name, pod in self._pods(instance).items() if "deletionTimestamp" not in pod["metadata"]}

    def all_pods(self, instance: str) -> set[str]:
        """Return the names of the pods of a role instance, of those too that are about to end."""
        return set(self._pods(instance))

    def _pods(self, instance: str) -> dict[str, dict[str, Any]]:
        items = self.get("pods", f"--selector=app.kubernetes.io/instance={instance}")["items"]
        return {item["metadata"]["name"]: item for item in items}

    def kill(self, pod: str) -> None:
        """End the process of a pod's only container with SIGKILL."""
        (container,) = self.get(f"pod/{pod}")["status"]["containerStatuses"]
        self.cluster.runtime.kill(container["containerID"].rpartition("/")[2])

    def ask(self, place: str, path: str) -> dict[str, Any]:
        """Return what ``services/NAME:PORT`` or ``pods/NAME:PORT`` answers, through the API server; empty where it does not."""
        try:
            answer = self._api.get(f"/api/v1/namespaces/{self.namespace}/{place}/proxy/{path}")
            return dict(answer.json()) if answer.is_success else {}
        except (httpx.TransportError, ValueError):
            return {}

    def simulator(self) -> dict[str, Any]:
        """Return the simulated provider's status; empty while it does not answer."""
        return self.ask("services/scanplane-simulator:8765", "simulator/status")

    def board(self, name: str) -> dict[str, Any]:
        """Return a board of market ``us-stocks`` as the gateway's Service gives it."""
        return self.ask("services/scanplane-gateway:8080", f"v1/boards/us-stocks/{name}")

    def roles(self) -> dict[str, dict[str, Any]]:
        """Return the status of every role instance, as the gateway gives it."""
        return dict(self.ask("services/scanplane-gateway:8080", "v1/status").get("roles", {}))

    def role(self, pod: str) -> dict[str, Any]:
        """Return what the role in a pod says of itself; empty while it does not answer."""
        return self.ask(f"pods/{pod}:8081", "status")

    def resources(self) -> dict[str, str]:
        """Return the uid of every custom resource by kind and name."""
        items = self.get(",".join(KINDS))["items"]
        return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["uid"] for item in items}

    def operator_log(self) -> list[dict[str, Any]]:
        """Return the records of the operator's log; every line of it has to be one."""
        lines = self.kubectl("logs", "deploy/scanplane-operator").splitlines()
        return [dict(json.loads(line)) for line in lines]


def table_rows(text: str) -> dict[str, dict[str, str]]:
    """Return the rows of the tables that ``kubectl get`` prints, cells by heading, by the row's name without its group."""
    rows: dict[str, dict[str, str]] = {}
    for table in text.strip().split("\n\n"):
        heading, *lines = table.splitlines()
        begins = [match.start() for match in re.finditer(r"(?<!\S)\S", heading)]
        ends = [*begins[1:], None]
        for line in lines:
            cells = [line[begin:end].strip() for begin, end in zip(begins, ends, strict=True)]
            row = dict(zip(heading.split(), cells, strict=True))
            kind, _, name = row["NAME"].partition("/")
            rows[f"{kind.partition('.')[0]}/{name}"] = row
    return rows


def wait_until(holds: Callable[[], bool], what: str, patience_s: float = PATIENCE_S, pause_s: float = 0.2) -> None:
    """Look again until *holds*; fail with *what* if it never does."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        time.sleep(pause_s)


@contextmanager
def restricted_namespace(cluster: Cluster, prefix: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Make a namespace in which Pod Security refuses all that is not restricted; give it and the values that the chart needs.

    The definitions are brought by the chart and taken away after, or left alone where somebody else has them.
    """
    definitions = [f"crd/{kind}.scanplane.io" for kind in KINDS]
    ours = cluster.try_kubectl("get", *definitions).returncode != 0
    repository, _, tag = cluster.images.scanplane.rpartition(":")
    values: dict[str, object] = {
        "crds.enabled": ours,
        "image.repository": repository,
        "image.tag": tag,
        "bundled.rabbitmq.image": cluster.images.rabbitmq,
        "bundled.redis.image": cluster.images.redis,
    }
    try:
        with cluster.namespace(prefix, RESTRICTED) as namespace:
            yield namespace, values
    finally:
        if ours:
            cluster.kubectl("delete", "--ignore-not-found", *definitions)


@contextmanager
def installed(cluster: Cluster, values: Mapping[str, object], *, chart: Path = CHART) -> Iterator[ScannersNamespace]:
    """Install the chart with bundled services into a namespace of its own; take everything away after."""
    with restricted_namespace(cluster, "scanners") as (namespace, needed):
        everything = {
            **needed,
            "operator.resources": SMALL,
            "operator.secretsSeconds": 1,
            "operator.figuresSeconds": 2,
            "bundled.rabbitmq.resources": SMALL,
            "bundled.redis.resources": SMALL,
            "simulator.resources": SMALL,
            **values,
        }
        arguments = ["install", "scanplane", str(chart), "--namespace", namespace, *set_values(everything)]
        cluster.helm(*arguments, "--wait", f"--timeout={PATIENCE_S:.0f}s", patience_s=PATIENCE_S + 20)
        with cluster.api() as api:
            yield ScannersNamespace(cluster, namespace, api)
