"""The pod of a role instance: restricted as Pod Security asks, without a token, with its configuration and no other Secret."""

import hashlib
from typing import Any

import msgspec

from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    GatewayConfiguration,
    RoleConfiguration,
    configuration_hash,
    role_of,
    secrets_of,
)
from scanplane.plan.planner import Plan
from scanplane.plan.services import digest
from scanplane.resources.pods import Amounts, Resources, Toleration, Workloads
from scanplane_operator.containment import quantity
from scanplane_operator.names import CONFIGURATION, REVISION, labels_of, selector_of
from scanplane_operator.settings import PodSettings

__all__ = ["GATEWAY_PORT_NAME", "STATUS_PORT", "asked_of_pods", "pod_template", "workload_defaults"]

STATUS_PORT = 8081
STATUS_PORT_NAME = "status"
GATEWAY_PORT_NAME = "http"
USER = 65532
GRACE_SECONDS = 30
"""Longer than a role takes to drain (20 s) and its process to end (5 s)."""

_CONFIGURATION_FOLDER = "/etc/scanplane/configuration"
_SECRETS_FOLDER = "/etc/scanplane/secrets"
_FILES_FOLDER = "/etc/scanplane/files"

_DEFAULT_RESOURCES = {
    "listener": ({"cpu": "100m", "memory": "128Mi"}, {"memory": "512Mi"}),
    "analyzer": ({"cpu": "150m", "memory": "256Mi"}, {"memory": "1Gi"}),
    "gateway": ({"cpu": "50m", "memory": "128Mi"}, {"memory": "512Mi"}),
}
"""Requests and limits. What is requested fits on a node of two cores while it is rolled out too: 100m are a hundred thousand
events a second. Memory is bounded; the processor is not, since a throttled analyzer is a late one.
"""


def workload_defaults(plan: Plan) -> Workloads:
    """Return the pod settings of the DataPlane in use."""
    return (plan.data_plane.spec.workloads if plan.data_plane is not None else None) or Workloads()


def asked_of_pods(configuration: RoleConfiguration, plan: Plan, defaults: Workloads) -> str:
    """Return digests of what the DataPlane and the Market ask of a role's pods, with a dot between them.

    By it a change that a user made is told from one that a new operator renders. The image is left out, since it may wait.
    """
    pods = msgspec.structs.replace(defaults, image=None, listener=None, analyzer=None, gateway=None)
    of_data_plane = (pods, _role_resources(role_of(configuration), defaults))
    return f"{digest(of_data_plane)[:10]}.{digest(_market_resources(configuration, plan))[:10]}"


def pod_template(
    configuration: RoleConfiguration, config_map: str, plan: Plan, defaults: Workloads, settings: PodSettings
) -> dict[str, Any]:
    """Return the pod template, with the hash of all that makes it (annotation ``revision``)."""
    template: dict[str, Any] = {
        "metadata": {
            "labels": labels_of(configuration),
            "annotations": {CONFIGURATION: configuration_hash(configuration)},
        },
        "spec": _pod(configuration, config_map, plan, defaults, settings),
    }
    text = msgspec.json.encode(template, order="sorted")
    template["metadata"]["annotations"][REVISION] = hashlib.sha256(text).hexdigest()[:10]
    return template


def _pod(
    configuration: RoleConfiguration, config_map: str, plan: Plan, defaults: Workloads, settings: PodSettings
) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(configuration, plan, defaults, settings)],
        "volumes": _volumes(configuration, config_map),
        # also where there is one pod: how many there are must be no reason for a restart
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector_of(configuration)},
            }
        ],
    }
    pull_secrets = [each.name for each in defaults.image_pull_secrets or ()] or list(settings.pull_secrets)
    if pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in pull_secrets]
    if defaults.node_selector:
        pod["nodeSelector"] = dict(defaults.node_selector)
    if defaults.tolerations:
        pod["tolerations"] = [_toleration(each) for each in defaults.tolerations]
    if defaults.priority_class_name:
        pod["priorityClassName"] = defaults.priority_class_name
    return pod


def _container(
    configuration: RoleConfiguration, plan: Plan, defaults: Workloads, settings: PodSettings
) -> dict[str, Any]:
    ports: list[dict[str, Any]] = [{"name": STATUS_PORT_NAME, "containerPort": STATUS_PORT, "protocol": "TCP"}]
    if isinstance(configuration, GatewayConfiguration):
        ports.append({"name": GATEWAY_PORT_NAME, "containerPort": configuration.port, "protocol": "TCP"})
    return {
        "name": role_of(configuration),
        "image": defaults.image or settings.image,
        "imagePullPolicy": str(defaults.image_pull_policy or settings.pull_policy),
        "args": [
            "run",
            f"{_CONFIGURATION_FOLDER}/configuration.json",
            "--secrets",
            _SECRETS_FOLDER,
            "--files",
            _FILES_FOLDER,
            "--status-port",
            str(STATUS_PORT),
        ],
        "ports": ports,
        "readinessProbe": {**_probe("/readyz"), "periodSeconds": 1, "failureThreshold": 3},
        "livenessProbe": {**_probe("/healthz"), "initialDelaySeconds": 10, "periodSeconds": 10, "failureThreshold": 3},
        "resources": _resources(configuration, plan, defaults),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",  # its last words are what a condition then says
        "volumeMounts": _mounts(configuration),
    }


def _probe(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": STATUS_PORT_NAME}, "timeoutSeconds": 3}


def _volumes(configuration: RoleConfiguration, config_map: str) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "configuration", "configMap": {"name": config_map}},
        {"name": "temporary", "emptyDir": {"sizeLimit": "16Mi"}},
    ]
    for number, (name, keys) in enumerate(_secrets(configuration).items()):
        secret: dict[str, Any] = {"secretName": name}
        if keys:
            secret["items"] = [{"key": key, "path": key} for key in keys]
        volumes.append({"name": f"secret-{number}", "secret": secret})
    files = _files_config_map(configuration)
    if files is not None:
        volumes.append({"name": "files", "configMap": {"name": files}})
    return volumes


def _mounts(configuration: RoleConfiguration) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "configuration", "mountPath": _CONFIGURATION_FOLDER, "readOnly": True},
        {"name": "temporary", "mountPath": "/tmp"},  # noqa: S108  # the only place that can be written to
    ]
    for number, name in enumerate(_secrets(configuration)):
        mounts.append({"name": f"secret-{number}", "mountPath": f"{_SECRETS_FOLDER}/{name}", "readOnly": True})
    if _files_config_map(configuration) is not None:
        mounts.append({"name": "files", "mountPath": _FILES_FOLDER, "readOnly": True})
    return mounts


def _secrets(configuration: RoleConfiguration) -> dict[str, list[str]]:
    """Return the keys that the role reads, by Secret; no key at all for one that is read as a whole (tokens)."""
    secrets: dict[str, list[str]] = {}
    for secret in secrets_of(configuration):
        keys = secrets.setdefault(secret.name, [])
        if secret.key:
            keys.append(secret.key)
    whole = {secret.name for secret in secrets_of(configuration) if not secret.key}
    return {name: [] if name in whole else keys for name, keys in secrets.items()}


def _files_config_map(configuration: RoleConfiguration) -> str | None:
    return configuration.reference.config_map if isinstance(configuration, AnalyzerConfiguration) else None


def _resources(configuration: RoleConfiguration, plan: Plan, defaults: Workloads) -> dict[str, Any]:
    """Return requests and limits: the role's own defaults, the DataPlane's over them, the Market's over those.

    A default gives way to what was asked for: the API server refuses a request above its limit.
    """
    role = role_of(configuration)
    asked_requests: dict[str, str] = {}
    asked_limits: dict[str, str] = {}
    for layer in (_role_resources(role, defaults), _market_resources(configuration, plan)):
        if layer is not None:
            asked_requests |= _amounts(layer.requests)
            asked_limits |= _amounts(layer.limits)
    requests, limits = (dict(each) for each in _DEFAULT_RESOURCES[role])
    requests |= asked_requests
    limits |= asked_limits
    for name in requests.keys() & limits.keys():
        if (quantity(requests[name]) or 0) <= (quantity(limits[name]) or 0):
            continue
        if name not in asked_limits:
            limits[name] = requests[name]
        elif name not in asked_requests:
            requests[name] = limits[name]
    return {"requests": requests, "limits": limits}


def _role_resources(role: str, defaults: Workloads) -> Resources | None:
    of_role = {"listener": defaults.listener, "analyzer": defaults.analyzer, "gateway": defaults.gateway}[role]
    return None if of_role is None else of_role.resources


def _market_resources(configuration: RoleConfiguration, plan: Plan) -> Resources | None:
    if not isinstance(configuration, AnalyzerConfiguration):
        return None
    analyzer = plan.analyzer_of(configuration.market)
    return None if analyzer is None else analyzer.resources


def _amounts(amounts: Amounts | None) -> dict[str, str]:
    return {} if amounts is None else _without_none({"cpu": amounts.cpu, "memory": amounts.memory})


def _toleration(asked: Toleration) -> dict[str, Any]:
    """Return a toleration as the API server keeps it: without empty texts."""
    return {key: value for key, value in msgspec.to_builtins(asked).items() if value not in {None, ""}}


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
