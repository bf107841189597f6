"""From decisions to writes: what to apply, in which order, and what to remove. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from scanplane.plan.configuration import AnalyzerConfiguration, GatewayConfiguration, ListenerConfiguration
from scanplane.plan.inventory import ResourceKey
from scanplane.resources.common import API_GROUP
from scanplane.resources.kinds import Kind
from scanplane_operator.containment import contains
from scanplane_operator.manifests.workloads import Manifest, Workload, key_of, sealed, with_reason
from scanplane_operator.names import APPLIED, INSTANCE, MARKET, RESTART_REASON
from scanplane_operator.observed import Child, ObjectKey, Observed
from scanplane_operator.rollouts import Decision, Rollout, is_rolled_out, live_config_map, revision_of

__all__ = ["FIRST_START", "Changes", "Removal", "changes_of", "owner_of_child"]

FIRST_START = "Created"
"""The reason on the first pods of a workload."""


class Removal(Struct, frozen=True):
    """A child that nothing asks for any more; the *uid* is that of the very object that was looked at."""

    key: ObjectKey
    uid: str


class Changes(Struct, frozen=True):
    """What to write: ``apply`` in this order, then ``remove``. Nothing at all for a world that is as it should be."""

    apply: tuple[Manifest, ...] = ()
    remove: tuple[Removal, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.apply or self.remove)


def changes_of(rollouts: Sequence[Rollout], observed: Observed, untouched: frozenset[ResourceKey]) -> Changes:
    """Return what makes the namespace as decided. What belongs to a resource of *untouched* is not removed."""
    wanted: list[Manifest] = []
    for rollout in sorted(rollouts, key=_order):
        if rollout.decision in {Decision.PAUSED, Decision.FOREIGN}:
            continue
        surroundings = [each for each in rollout.workload.surroundings if key_of(each) not in observed.foreign]
        wanted.extend(surroundings)
        if rollout.decision.writes:
            wanted += [rollout.workload.config_map, _deployment(rollout, observed)]
    apply = [manifest for manifest in map(sealed, wanted) if not _is_there(manifest, observed)]
    return Changes(tuple(apply), tuple(_removable(rollouts, observed, untouched)))


def _order(rollout: Rollout) -> int:
    """Analyzers first, so that queues have a consumer before a listener fills them."""
    match rollout.workload.configuration:
        case AnalyzerConfiguration():
            return 0
        case GatewayConfiguration():
            return 1
        case _:
            return 2


def _deployment(rollout: Rollout, observed: Observed) -> Manifest:
    """Return the Deployment with the reason of its pods: the new one where it rolls, else the one that is there.

    Pods of the very revision that is wanted may still run, where a bad change is taken back: with their own reason the
    template is theirs again, and Kubernetes keeps them instead of starting others.
    """
    workload = rollout.workload
    if rollout.restart is None:
        holder = rollout.live
    else:
        holder = next((each for each in observed.replica_sets if _still_runs(each, workload)), None)
    annotations: Mapping[str, Any] = {}
    if holder is not None:
        annotations = holder["spec"]["template"]["metadata"].get("annotations") or {}
    fallback = FIRST_START if rollout.restart is None else str(rollout.restart)
    return with_reason(workload.deployment, annotations.get(RESTART_REASON) or fallback)


def _still_runs(replica_set: Child, workload: Workload) -> bool:
    is_of = replica_set["metadata"]["labels"].get(INSTANCE) == workload.name
    has_pods = ((replica_set.get("status") or {}).get("replicas") or 0) > 0
    return is_of and has_pods and revision_of(replica_set) == workload.revision


def _is_there(manifest: Manifest, observed: Observed) -> bool:
    live = observed.children.get(key_of(manifest))
    if live is None:
        return False
    applied = (live["metadata"].get("annotations") or {}).get(APPLIED)
    return applied == manifest["metadata"]["annotations"][APPLIED] and contains(live, manifest)


def _removable(rollouts: Sequence[Rollout], observed: Observed, untouched: frozenset[ResourceKey]) -> Iterable[Removal]:
    """Yield the children that nothing asks for: no workload of the plan, no ReplicaSet that could be rolled back to."""
    kept = set(_needed_still(rollouts, observed))
    for rollout in rollouts:
        workload = rollout.workload
        kept |= {workload.key, key_of(workload.config_map), *(key_of(each) for each in workload.surroundings)}
    for key, child in sorted(observed.children.items()):
        if key in kept or child["metadata"].get("deletionTimestamp") or owner_of_child(child) in untouched:
            continue
        yield Removal(key, child["metadata"]["uid"])


def _needed_still(rollouts: Sequence[Rollout], observed: Observed) -> Iterable[ObjectKey]:
    """Yield configurations that pods or rollbacks read, and partitions that a listener perhaps still publishes to."""
    for holder in (*observed.replica_sets, *_deployments(observed)):
        name = live_config_map(holder)
        if name is not None:
            yield ObjectKey("ConfigMap", name)
    moving = _markets_on_the_move(rollouts)
    for key, child in observed.children.items():
        if key.kind != "ConfigMap" and child["metadata"]["labels"].get(MARKET) in moving:
            yield key


def _markets_on_the_move(rollouts: Sequence[Rollout]) -> frozenset[str]:
    """Return the planned markets whose listeners are not all as planned yet; nothing of a removed Market is needed."""
    planned: set[str] = set()
    unsettled: set[str] = set()
    for rollout in rollouts:
        match rollout.workload.configuration:
            case AnalyzerConfiguration(market=market):
                planned.add(market)
            case ListenerConfiguration(routes=routes):
                if rollout.decision is not Decision.KEEP or rollout.live is None or not is_rolled_out(rollout.live):
                    unsettled |= {route.market for route in routes}
            case _:
                pass
    return frozenset(planned & unsettled)


def _deployments(observed: Observed) -> Iterable[Child]:
    return (child for key, child in observed.children.items() if key.kind == "Deployment")


def owner_of_child(child: Child) -> ResourceKey | None:
    """Return the resource of ours that a child belongs to."""
    for reference in child["metadata"].get("ownerReferences") or ():
        if reference.get("controller") and str(reference["apiVersion"]).startswith(f"{API_GROUP}/"):
            return ResourceKey(Kind(reference["kind"]), reference["name"])
    return None
