"""A cluster for tests of the operator, and namespaces in it as a user sees them."""

import base64
import contextlib
import itertools
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from support.apiserver import ApiServer, running_apiserver
from support.operator_documents import PLURALS, Document
from support.operator_kubelet import Kubelet
from support.operator_process import OperatorProcess, wait_until

__all__ = ["RESOURCE_KINDS", "OperatorCluster", "Rule", "Site", "Write", "is_true", "permissions", "running_cluster"]

ROOT = Path(__file__).resolve().parents[2]
HOME = "scanplane-system"
RESOURCE_KINDS = ("DataPlane", "Feed", "Market", "Subscription", "Scanner")
USER = f"system:serviceaccount:{HOME}:"
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "resourcequota-controller",
)


@dataclass(frozen=True)
class Write:
    """A request that changed something or tried to, as the API server's audit log tells it."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}/{self.name} ({self.code})"


@dataclass(frozen=True)
class Rule:
    """A row of the table of permissions in the operator's design."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    remark: str = ""

    def document(self) -> dict[str, object]:
        """Return it as RBAC takes it."""
        return {"apiGroups": [self.group], "resources": list(self.resources), "verbs": list(self.verbs)}


def permissions() -> list[Rule]:
    """Return the permissions that the operator's design asks for: the one place where they are written."""
    text = (ROOT / "docs" / "design" / "0006-operator.md").read_text().partition("## Permissions")[2]
    rows = re.findall(r"^\| (\S+) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)[1:]
    rules: list[Rule] = []
    for group, resources, verbs in rows:
        names = re.sub(r" *\(.*\)", "", resources)
        if names.startswith("the same with "):
            kinds = tuple(f"{each}/status" for each in rules[-1].resources)
        else:
            kinds = tuple(each.strip() for each in names.split(","))
        if set(group) == {"-"}:
            continue
        rules.append(
            Rule("" if group == "core" else group, kinds, tuple(each.strip() for each in verbs.split(",")), resources)
        )
    assert len(rules) > 8, "the table of permissions is not where it was"
    return rules


@dataclass
class OperatorCluster:
    """The API server with controllers, and a stand-in for a kubelet."""

    server: ApiServer
    http: httpx.Client
    kubelet: Kubelet
    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def number(self) -> int:
        """Return a number that nothing else has."""
        return next(self._numbers)

    def request(self, method: str, path: str, body: object = None, **options: Any) -> dict[str, Any]:
        """Send a request as the cluster's administrator; fail if it is refused."""
        response = self.http.request(method, path, json=body, **options)
        assert response.is_success, f"{method} {path}: {response.text}"
        found: dict[str, Any] = response.json()
        return found

    def kubeconfig(self, rules: Sequence[Rule] | None = None, *, namespaces: Sequence[str] = (), url: str = "") -> Path:
        """Return a kubeconfig of a new service account that may do just *rules*, everywhere or in *namespaces*."""
        name = f"operator-{self.number()}"
        ensure_namespace(self, HOME)
        self.request(
            "POST",
            f"/api/v1/namespaces/{HOME}/serviceaccounts",
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        )
        self._grant(name, permissions() if rules is None else rules, namespaces)
        token = self.request(
            "POST",
            f"/api/v1/namespaces/{HOME}/serviceaccounts/{name}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}},
        )["status"]["token"]
        return self._write_kubeconfig(name, token, url or self.server.url)

    def _write_kubeconfig(self, name: str, token: str, url: str) -> Path:
        authority = base64.b64encode(self.server.certificate.read_bytes()).decode()
        cluster = {"server": url} | ({"certificate-authority-data": authority} if url.startswith("https") else {})
        path = self.folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": name, "user": {"token": token}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
                    "current-context": "test",
                }
            )
        )
        return path

    def _grant(self, name: str, rules: Sequence[Rule], namespaces: Sequence[str]) -> None:
        base = "/apis/rbac.authorization.k8s.io/v1"
        kind = "Role" if namespaces else "ClusterRole"
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}}
        role["rules"] = [rule.document() for rule in rules]
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": f"{kind}Binding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": HOME}],
        }
        for namespace in namespaces or [""]:
            place = f"{base}/namespaces/{namespace}" if namespace else base
            self.request("POST", f"{place}/{kind.lower()}s", role)
            self.request("POST", f"{place}/{kind.lower()}bindings", binding)

    def operator(self, kubeconfig: Path | None = None, **settings: object) -> OperatorProcess:
        """Return an operator that is not started yet."""
        log = self.folder / f"operator-{self.number()}.log"
        return OperatorProcess(kubeconfig or self.kubeconfig(), log, **settings)

    def writes(self, namespace: str, *, operator_only: bool = True) -> list[Write]:
        """Return every write that the API server was asked for in a namespace, the operator's or everybody's."""
        found: list[Write] = []
        for line in self.server.audit_log.read_text().splitlines():
            if f'"namespace":"{namespace}"' not in line:
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # it is being written
            about, user = entry.get("objectRef") or {}, entry["user"]["username"]
            if about.get("namespace") != namespace or (operator_only and not user.startswith(USER)):
                continue
            resource = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
            code = (entry.get("responseStatus") or {}).get("code", 0)
            found.append(Write(user, entry["verb"], resource, namespace, about.get("name", ""), code))
        return found

    def site(self, *documents: Document, namespace: str = "") -> "Site":
        """Return a new namespace with these in it."""
        site = Site(self, namespace or f"desk-{self.number()}")
        ensure_namespace(self, site.namespace)
        site.apply(*documents)
        return site


def ensure_namespace(cluster: OperatorCluster, name: str) -> None:
    """Make a namespace if it isn't there."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    response = cluster.http.post("/api/v1/namespaces", json=body)
    assert response.status_code in {201, 409}, response.text


def condition_of(document: Mapping[str, Any], condition: str) -> dict[str, Any]:
    """Return a condition of an object; an empty one if it is not said yet for the newest generation."""
    for each in (document.get("status") or {}).get("conditions") or ():
        if each["type"] == condition and each["observedGeneration"] == document["metadata"]["generation"]:
            return dict(each)
    return {}


def is_true(document: Mapping[str, Any], condition: str) -> bool:
    """Whether a condition is true of an object's newest generation."""
    return bool(condition_of(document, condition).get("status") == "True")


class Site:
    """A namespace, as its user sees it."""

    def __init__(self, cluster: OperatorCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def path(self, kind: str, name: str = "") -> str:
        """Return where the API serves a kind, or one object."""
        version, plural = PLURALS[kind]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        return f"{base}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def apply(self, *documents: Document) -> None:
        """Apply as ``kubectl apply --server-side`` does."""
        for document in documents:
            self.cluster.request(
                "PATCH",
                self.path(document["kind"], document["metadata"]["name"]),
                document,
                params={"fieldManager": "kubectl", "force": "true"},
                headers={"Content-Type": "application/apply-patch+yaml"},
            )

    def patch(self, kind: str, name: str, **body: object) -> dict[str, Any]:
        """Patch an object as ``kubectl patch --type merge`` does."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return self.cluster.request("PATCH", self.path(kind, name), body, headers=headers)

    def edit(self, kind: str, name: str, **spec: object) -> None:
        """Change fields of a spec."""
        self.patch(kind, name, spec=spec)

    def annotate(self, kind: str, name: str, **annotations: str | None) -> None:
        """Set annotations of ours, by what comes after ``scanplane.io/``; None removes one."""
        named = {f"scanplane.io/{key}": value for key, value in annotations.items()}
        self.patch(kind, name, metadata={"annotations": named})

    def delete(self, kind: str, name: str) -> None:
        """Delete an object in the background."""
        self.cluster.request("DELETE", self.path(kind, name), params={"propagationPolicy": "Background"})

    def delete_namespace(self) -> None:
        """Delete the namespace."""
        self.cluster.request("DELETE", f"/api/v1/namespaces/{self.namespace}")

    @property
    def is_gone(self) -> bool:
        """Whether the namespace is not there any more."""
        return self.cluster.http.get(f"/api/v1/namespaces/{self.namespace}").status_code == 404

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, None if there is none."""
        response = self.cluster.http.get(self.path(kind, name))
        assert response.is_success or response.status_code == 404, response.text
        found: dict[str, Any] | None = response.json() if response.is_success else None
        return found

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object that is there."""
        found = self.find(kind, name)
        assert found is not None, f"there is no {kind}/{name}"
        return found

    def every(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Return all objects of a kind."""
        items: list[dict[str, Any]] = self.cluster.request(
            "GET", self.path(kind), params={"labelSelector": selector} if selector else None
        )["items"]
        return items

    def names(self, kind: str) -> set[str]:
        """Return the names of the children of a kind."""
        selector = "app.kubernetes.io/managed-by=scanplane-operator"
        return {each["metadata"]["name"] for each in self.every(kind, selector)}

    def condition(self, kind: str, name: str, condition: str) -> dict[str, Any]:
        """Return a condition; an empty one if it is not said yet for the newest generation."""
        return condition_of(self.find(kind, name) or {}, condition)

    def is_true(self, kind: str, name: str, condition: str) -> bool:
        """Whether a condition is true of the newest generation."""
        return bool(self.condition(kind, name, condition).get("status") == "True")

    def wait_ready(self, *keys: tuple[str, str], within_s: float = 90.0) -> None:
        """Wait until resources are Ready; every one of the namespace where none is named."""
        wanted = keys or tuple(self.resources())
        wait_until(lambda: not self.unready(wanted), lambda: self.told(wanted), within_s)

    def unready(self, keys: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return those of the resources that are not Ready."""
        return [key for key in keys if not self.is_true(*key, "Ready")]

    def told(self, keys: Sequence[tuple[str, str]]) -> str:
        """Return what stands in the way of resources that are not Ready: conditions, Deployments and pods."""
        lines = [f"{kind}/{name} Ready: {self.condition(kind, name, 'Ready')}" for kind, name in self.unready(keys)]
        for kind in ("Deployment", "ReplicaSet", "Pod"):
            for each in self.every(kind):
                status = {name: value for name, value in (each.get("status") or {}).items() if value}
                lines.append(
                    f"{kind}/{each['metadata']['name']} generation {each['metadata'].get('generation')}: {status}"
                )
        return "\n".join([f"all of {self.namespace} Ready", *lines])

    def resources(self) -> list[tuple[str, str]]:
        """Return every resource of ours by kind and name."""
        return [(kind, each["metadata"]["name"]) for kind in RESOURCE_KINDS for each in self.every(kind)]

    def revisions(self) -> dict[str, int]:
        """Return how many versions of its pods each Deployment has had."""
        return {
            each["metadata"]["name"].removeprefix("scanplane-"): int(
                (each["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision", 0)
            )
            for each in self.every("Deployment")
        }

    def events(self, **fields: str) -> list[dict[str, Any]]:
        """Return the events whose fields are these."""
        return [
            each
            for each in self.every("Event")
            if all(str(each.get(name)) == value for name, value in fields.items())
            and each.get("reportingController") == "scanplane-operator"
        ]

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace."""
        done = self.cluster.server.kubectl("--namespace", self.namespace, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def writes(self) -> list[Write]:
        """Return what the operator has written here."""
        return self.cluster.writes(self.namespace)


@contextmanager
def running_cluster(controllers: Sequence[str] = CONTROLLERS, *, crds: bool = True) -> Iterator[OperatorCluster]:
    """Start a cluster with our definitions."""
    with contextlib.ExitStack() as stack:
        prepare = install_crds if crds else lambda _server: None
        server = stack.enter_context(running_apiserver(audit=True, controllers=controllers, prepare=prepare))
        http = stack.enter_context(server.client())
        kubelet = stack.enter_context(Kubelet(server))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scanplane-operator-")))
        cluster = OperatorCluster(server, http, kubelet, folder)
        yield cluster


def install_crds(server: ApiServer) -> None:
    """Install our definitions and wait until they are served."""
    done = server.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    assert done.returncode == 0, done.stderr
    done = server.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    assert done.returncode == 0, done.stderr


def values_of(rows: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return every value of the Secrets in a table, and how the API encodes it."""
    plain = [value for values in rows.values() for value in values.values()]
    return plain + [base64.b64encode(value.encode()).decode() for value in plain]
