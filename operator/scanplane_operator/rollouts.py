"""What to do with each workload, and why: create, leave alone, roll, or wait. Pure."""

import enum
import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    ListenerConfiguration,
    RoleConfiguration,
    config_map_keys,
    configuration_hash,
    decode_configuration,
    secrets_of,
)
from scanplane.plan.inventory import ResourceKey
from scanplane.plan.restarts import Restart, RestartReason, explain_restart
from scanplane.plan.services import DEFAULT_NAME
from scanplane.resources.data_plane import UpdatePolicy
from scanplane.resources.kinds import Kind
from scanplane_operator.manifests.workloads import CONFIGURATION_KEY, Workload, key_of
from scanplane_operator.names import COMPONENT, CONFIGURATION, POD_SETTINGS, REVISION
from scanplane_operator.observed import Child, ObjectKey, Observed

__all__ = [
    "Decision",
    "Rollout",
    "available_replicas",
    "combined_revision",
    "decide",
    "is_rolled_out",
    "live_config_map",
    "live_configuration",
    "missing_inputs",
    "recorded_revision",
    "revision_of",
]

_OF_AN_UPGRADE = {RestartReason.IMAGE_CHANGED, RestartReason.CONFIGURATION_CHANGED}
"""What changes when the operator or its image does, and nothing that a user wrote."""


class Decision(enum.StrEnum):
    """What happens to a workload in this pass."""

    CREATE = "Create"
    KEEP = "Keep"
    ROLL = "Roll"
    WAIT_FOR_CLOSE = "WaitForClose"
    WAIT_FOR_ANALYZERS = "WaitForAnalyzers"
    WAIT_FOR_INPUT = "WaitForInput"
    ROLLED_BACK = "RolledBack"
    PAUSED = "Paused"
    FOREIGN = "Foreign"

    @property
    def writes(self) -> bool:
        """Whether the Deployment may be written in this pass."""
        return self in {Decision.CREATE, Decision.KEEP, Decision.ROLL}


class Rollout(Struct, frozen=True, kw_only=True):
    """The decision about one workload; ``restart`` says why it rolls or would roll, None where it does neither."""

    workload: Workload
    decision: Decision
    restart: Restart | None = None
    live: Child | None = None


def decide(
    workloads: Sequence[Workload],
    observed: Observed,
    paused: frozenset[ResourceKey],
    policy: UpdatePolicy,
    open_markets: frozenset[str],
) -> tuple[Rollout, ...]:
    """Decide about every workload. *open_markets* are those known to trade now."""
    recorded = {owner: recorded_revision(observed, owner) for owner in {each.owner for each in workloads}}
    wanted = {owner: combined_revision([each for each in workloads if each.owner == owner]) for owner in recorded}
    found: list[Rollout] = []
    for workload in workloads:
        live = observed.children.get(workload.key)
        if observed.foreign & {workload.key, key_of(workload.config_map)}:
            found.append(Rollout(workload=workload, decision=Decision.FOREIGN))
        elif workload.owner in paused:
            found.append(Rollout(workload=workload, decision=Decision.PAUSED, live=live))
        elif live is None:
            found.append(Rollout(workload=workload, decision=Decision.CREATE))
        elif missing_inputs(workload.configuration, observed):
            found.append(Rollout(workload=workload, decision=Decision.WAIT_FOR_INPUT, live=live))
        elif revision_of(live) == workload.revision:
            found.append(Rollout(workload=workload, decision=Decision.KEEP, live=live))
        elif _is_rolled_back(workload, live, observed) and recorded[workload.owner] == wanted[workload.owner]:
            found.append(Rollout(workload=workload, decision=Decision.ROLLED_BACK, live=live))
        else:
            found.append(_roll(workload, live, workloads, observed, policy, open_markets))
    return tuple(found)


def _is_rolled_back(workload: Workload, live: Child, observed: Observed) -> bool:
    """Whether somebody gave the pods another version. One that the operator itself wrote is only older than the resources:
    it may have died after an edit that was taken back since.
    """
    return revision_of(live) is not None and workload.key in observed.taken_back


def missing_inputs(configuration: RoleConfiguration, observed: Observed) -> tuple[str, ...]:
    """Return the Secrets and ConfigMaps that a role reads and that are gone: what runs has them still, a new pod could not."""
    missing = [
        f"Secret '{secret.name}'"
        for secret in secrets_of(configuration)
        if secret.name not in observed.secrets or (secret.key and secret.key not in observed.secrets[secret.name])
    ]
    if isinstance(configuration, AnalyzerConfiguration):
        name = configuration.reference.config_map
        held = observed.config_maps.get(name or "", {})
        if name is not None and name not in observed.config_maps:
            missing.append(f"ConfigMap '{name}'")
        elif name is not None:
            files = (configuration.reference.symbols_file, configuration.reference.volume_curve_file)
            missing += [f"key '{key}' of ConfigMap '{name}'" for key in config_map_keys(*files) if key not in held]
    return tuple(missing)


def _roll(
    workload: Workload,
    live: Child,
    workloads: Sequence[Workload],
    observed: Observed,
    policy: UpdatePolicy,
    open_markets: frozenset[str],
) -> Rollout:
    restart = _explain(workload, live, observed)
    decision = Decision.ROLL
    if _must_wait_for_analyzers(workload, live, workloads, observed):
        decision = Decision.WAIT_FOR_ANALYZERS
    elif (
        policy is UpdatePolicy.MARKET_CLOSED
        and _comes_with_an_upgrade(restart, live, observed)
        and _markets_behind(workload.configuration, workloads) & open_markets
    ):
        decision = Decision.WAIT_FOR_CLOSE
    return Rollout(workload=workload, decision=decision, restart=restart, live=live)


def _comes_with_an_upgrade(restart: Restart, live: Child, observed: Observed) -> bool:
    """Whether nobody asked for it. Where nothing tells what ran before, and no image is new, it is taken for a user's edit."""
    if not set(restart.reasons) <= _OF_AN_UPGRADE:
        return False
    return RestartReason.IMAGE_CHANGED in restart.reasons or live_configuration(live, observed) is not None


def _explain(workload: Workload, live: Child, observed: Observed) -> Restart:
    """Say why the new pods take the place of the old: configuration, image, or the rest of the pod."""
    old = live_configuration(live, observed)
    reasons: list[RestartReason] = []
    causes: tuple[str, ...] = ()
    if old is None:
        reasons.append(RestartReason.CONFIGURATION_CHANGED)
    elif configuration_hash(old) != configuration_hash(workload.configuration):
        explained = explain_restart(old, workload.configuration)
        reasons.extend(explained.reasons)
        causes = explained.causes
    changed = _changed_pod_settings(workload, live)
    reasons += [reason for reason, _ in changed if reason not in reasons]
    causes += tuple(cause for _, cause in changed if cause not in causes)
    before, now = _image(live), _image(workload.deployment)
    if before != now:
        reasons.append(RestartReason.IMAGE_CHANGED)
        causes += (f"image {before} became {now}",)
    return Restart(tuple(reasons) or (RestartReason.CONFIGURATION_CHANGED,), causes)


def _changed_pod_settings(workload: Workload, live: Child) -> list[tuple[RestartReason, str]]:
    """Return whose wishes for the pods are others than when the Deployment was written last."""
    old = (live["metadata"].get("annotations") or {}).get(POD_SETTINGS)
    if old is None:
        return []
    of_data_plane, _, of_market = old.partition(".")
    now_of_data_plane, _, now_of_market = workload.deployment["metadata"]["annotations"][POD_SETTINGS].partition(".")
    data_plane = ResourceKey(Kind.DATA_PLANE, DEFAULT_NAME)
    found: list[tuple[RestartReason, str]] = []
    if of_data_plane != now_of_data_plane:
        found.append((RestartReason.DATA_PLANE_CHANGED, f"{data_plane} edited"))
    if of_market != now_of_market:
        found.append((RestartReason.MARKET_CHANGED, f"{workload.owner} edited"))
    return found


def _must_wait_for_analyzers(
    workload: Workload, live: Child, workloads: Sequence[Workload], observed: Observed
) -> bool:
    """Whether a listener would publish for a number of partitions whose analyzers do not stand by yet."""
    new, old = workload.configuration, live_configuration(live, observed)
    if not isinstance(new, ListenerConfiguration) or not isinstance(old, ListenerConfiguration):
        return False
    before = {route.market: route.partitions for route in old.routes}
    moving = {route.market for route in new.routes if before.get(route.market, route.partitions) != route.partitions}
    return any(
        not _stands_by(each, observed)
        for each in workloads
        if isinstance(each.configuration, AnalyzerConfiguration) and each.configuration.market in moving
    )


def _stands_by(workload: Workload, observed: Observed) -> bool:
    live = observed.children.get(workload.key)
    return live is not None and revision_of(live) == workload.revision and is_rolled_out(live)


def _markets_behind(configuration: RoleConfiguration, workloads: Sequence[Workload]) -> frozenset[str]:
    match configuration:
        case ListenerConfiguration(routes=routes):
            return frozenset(route.market for route in routes)
        case AnalyzerConfiguration(market=market):
            return frozenset({market})
        case _:
            configurations = (each.configuration for each in workloads)
            return frozenset(each.market for each in configurations if isinstance(each, AnalyzerConfiguration))


def combined_revision(workloads: Sequence[Workload]) -> str:
    """Return what ``status.configuration`` of their owner says once they are all written."""
    if len(workloads) == 1:
        return workloads[0].revision
    return hashlib.sha256(" ".join(each.revision for each in workloads).encode()).hexdigest()[:10]


def recorded_revision(observed: Observed, owner: ResourceKey) -> str | None:
    """Return what the operator rolled out last for *owner*, as its status says."""
    document = observed.resources.get(owner) or {}
    configuration = (document.get("status") or {}).get("configuration")
    return configuration if isinstance(configuration, str) else None


def revision_of(deployment: Child) -> str | None:
    """Return the revision that a Deployment's template asks for now."""
    return _template_annotation(deployment, REVISION)


def live_config_map(deployment: Child) -> str | None:
    """Return the name of the ConfigMap that a Deployment's (or ReplicaSet's) pods read."""
    volumes = deployment["spec"]["template"]["spec"].get("volumes") or []
    return next(
        ((each.get("configMap") or {}).get("name") for each in volumes if each["name"] == "configuration"), None
    )


def live_configuration(deployment: Child, observed: Observed) -> RoleConfiguration | None:
    """Return the configuration that a Deployment asks for now; None if it can't be read (any more)."""
    config_map = observed.children.get(ObjectKey("ConfigMap", live_config_map(deployment) or ""))
    text = ((config_map or {}).get("data") or {}).get(CONFIGURATION_KEY)
    if text is None or _template_annotation(deployment, CONFIGURATION) is None:
        return None
    return _decoded(text)


@functools.lru_cache(maxsize=64)
def _decoded(text: str) -> RoleConfiguration | None:
    """Decode once what a thousand Scanners ask the same ReplicaSet for; None for the text of another version."""
    try:
        return decode_configuration(text.encode())
    except msgspec.DecodeError:
        return None


def available_replicas(holder: Child | None) -> int:
    """Return how many pods of a Deployment or a ReplicaSet serve, whichever version; none of one that is not there."""
    return int(((holder or {}).get("status") or {}).get("availableReplicas") or 0)


def is_rolled_out(deployment: Child) -> bool:
    """Whether every pod is of the newest template and available, and none of before is left."""
    spec, status = deployment["spec"], deployment.get("status") or {}
    replicas = spec.get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
        and status.get("updatedReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
        and status.get("availableReplicas", 0) == replicas
    )


def _template_annotation(deployment: Child, name: str) -> str | None:
    annotations: Mapping[str, Any] = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    value = annotations.get(name)
    return value if isinstance(value, str) else None


def _image(deployment: Child) -> str:
    """Return the image of the role's container, wherever others put theirs."""
    template = deployment["spec"]["template"]
    role = (template["metadata"].get("labels") or {}).get(COMPONENT)
    return next((str(each.get("image")) for each in template["spec"]["containers"] if each["name"] == role), "none")
