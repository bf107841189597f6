"""A role instance as Kubernetes objects: its immutable configuration, its Deployment, and what stands around it."""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    GatewayConfiguration,
    RoleConfiguration,
    configuration_hash,
    encode_configuration,
)
from scanplane.plan.inventory import ResourceKey
from scanplane.plan.planner import Plan
from scanplane.resources.pods import Workloads
from scanplane_operator.manifests.pods import asked_of_pods, pod_template, workload_defaults
from scanplane_operator.manifests.surroundings import disruption_budget, gateway_service, network_policy
from scanplane_operator.names import (
    APPLIED,
    CHANGE_CAUSE,
    POD_SETTINGS,
    RESTART_REASON,
    REVISION,
    metadata_of,
    object_name,
    owner_of,
    selector_of,
)
from scanplane_operator.observed import ObjectKey
from scanplane_operator.settings import PodSettings

__all__ = ["CONFIGURATION_KEY", "Manifest", "Workload", "key_of", "sealed", "with_reason", "workloads_of"]

Manifest = dict[str, Any]

CONFIGURATION_KEY = "configuration.json"
PROGRESS_DEADLINE_S = 120
REVISION_HISTORY = 3


class Workload(Struct, frozen=True, kw_only=True):
    """One role instance. ``surroundings`` are its Service, PodDisruptionBudget and NetworkPolicy, as far as there are any."""

    configuration: RoleConfiguration
    owner: ResourceKey
    config_map: Manifest
    deployment: Manifest
    surroundings: tuple[Manifest, ...]

    @property
    def name(self) -> str:
        """The role instance's name."""
        return self.configuration.name

    @property
    def key(self) -> ObjectKey:
        """The Deployment's key."""
        return key_of(self.deployment)

    @property
    def keys(self) -> tuple[ObjectKey, ...]:
        """The keys of all its objects."""
        return (key_of(self.config_map), self.key, *(key_of(each) for each in self.surroundings))

    @property
    def revision(self) -> str:
        """Hash of all that a process starts with."""
        return str(self.deployment["spec"]["template"]["metadata"]["annotations"][REVISION])


def key_of(manifest: Manifest) -> ObjectKey:
    """Return the key of an object."""
    return ObjectKey(manifest["kind"], manifest["metadata"]["name"])


def sealed(manifest: Manifest) -> Manifest:
    """Return the manifest with the digest of itself, by which a later pass knows that it was written."""
    digest = hashlib.sha256(msgspec.json.encode(manifest, order="sorted")).hexdigest()[:16]
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED: digest}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def workloads_of(
    plan: Plan, namespace: str, owners: dict[ResourceKey, dict[str, Any]], settings: PodSettings
) -> tuple[Workload, ...]:
    """Return every workload of a plan whose owner is there; *owners* are owner references."""
    defaults = workload_defaults(plan)
    return tuple(
        _workload(configuration, plan, namespace, owners[owner_of(configuration)], defaults, settings)
        for _, configuration in sorted(plan.configurations.items())
        if owner_of(configuration) in owners
    )


def _workload(
    configuration: RoleConfiguration,
    plan: Plan,
    namespace: str,
    owner: dict[str, Any],
    defaults: Workloads,
    settings: PodSettings,
) -> Workload:
    name = object_name(configuration)
    config_map: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata_of(configuration, f"{name}-{configuration_hash(configuration)}", namespace, owner),
        "immutable": True,
        "data": {CONFIGURATION_KEY: encode_configuration(configuration).decode()},
    }
    asked = {POD_SETTINGS: asked_of_pods(configuration, plan, defaults)}
    deployment: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**metadata_of(configuration, name, namespace, owner), "annotations": asked},
        "spec": {
            "replicas": _replicas(configuration, plan),
            "revisionHistoryLimit": REVISION_HISTORY,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_S,
            "selector": {"matchLabels": selector_of(configuration)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": pod_template(configuration, config_map["metadata"]["name"], plan, defaults, settings),
        },
    }
    surroundings: list[Manifest] = []
    if isinstance(configuration, GatewayConfiguration):
        surroundings.append(gateway_service(configuration, plan, namespace, owner))
    if settings.disruption_budgets:
        surroundings.append(disruption_budget(configuration, namespace, owner))
    if settings.network_policies:
        surroundings.append(network_policy(configuration, namespace, owner, settings))
    return Workload(
        configuration=configuration,
        owner=owner_of(configuration),
        config_map=config_map,
        deployment=deployment,
        surroundings=tuple(surroundings),
    )


def _replicas(configuration: RoleConfiguration, plan: Plan) -> int:
    match configuration:
        case GatewayConfiguration():
            gateway = plan.data_plane.spec.gateway if plan.data_plane is not None else None
            return 1 if gateway is None or gateway.replicas is None else gateway.replicas
        case AnalyzerConfiguration(market=market):
            analyzer = plan.analyzer_of(market)
            return 2 if analyzer is not None and analyzer.standby else 1
        case _:
            return 1


def with_reason(deployment: Manifest, reason: str) -> Manifest:
    """Return the Deployment with the reason of its newest pods, where people look for it."""
    template = deployment["spec"]["template"]
    annotations = {**template["metadata"]["annotations"], RESTART_REASON: reason}
    labelled = {**template, "metadata": {**template["metadata"], "annotations": annotations}}
    of_deployment = {**deployment["metadata"]["annotations"], CHANGE_CAUSE: reason}
    metadata = {**deployment["metadata"], "annotations": of_deployment}
    return {**deployment, "metadata": metadata, "spec": {**deployment["spec"], "template": labelled}}
