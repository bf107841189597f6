"""How things stand with one resource: what runs for it, how far its roll-out is, what its pods complain of. Pure."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from scanplane.plan.configuration import AnalyzerConfiguration, ListenerConfiguration
from scanplane.plan.inventory import Inventory, ResourceKey, key_of
from scanplane.plan.planner import Plan
from scanplane.resources.kinds import Kind, Resource
from scanplane.resources.scanner import Scanner
from scanplane.resources.subscription import Subscription
from scanplane.telemetry.status import Phase
from scanplane_operator.names import INSTANCE
from scanplane_operator.observed import Child, Observed
from scanplane_operator.rollouts import Decision, Rollout, available_replicas, is_rolled_out, live_configuration

__all__ = [
    "is_available",
    "is_stuck",
    "kept_for_subscriptions",
    "pod_problems",
    "rollouts_behind",
    "serves_already",
    "settled",
]


def rollouts_behind(key: ResourceKey, version: Resource | None, rollouts: Sequence[Rollout]) -> list[Rollout]:
    """Return the workloads that do what a resource asks for, its own or those that it is part of.

    *version* is the one that is planned, which need not be the newest.
    """
    market = version.spec.market_ref.name if isinstance(version, Subscription | Scanner) else None
    feed = version.spec.feed_ref.name if isinstance(version, Subscription) else None
    found: list[Rollout] = []
    for rollout in rollouts:
        configuration = rollout.workload.configuration
        match configuration:
            case ListenerConfiguration():
                is_part = configuration.feed == feed
            case AnalyzerConfiguration():
                is_part = configuration.market == market
            case _:
                is_part = False
        if rollout.workload.owner == key or is_part:
            found.append(rollout)
    return found


def kept_for_subscriptions(inventory: Inventory, plan: Plan) -> frozenset[ResourceKey]:
    """Return the Feeds and Markets of Subscriptions that were accepted once and, by an edit elsewhere, are in no version now.

    A Feed that turns to delayed data must not end the Quotes that ran: they go on until the Subscription is mended or
    deleted, or one of both is.
    """
    declared = {*map(key_of, inventory.feeds), *map(key_of, inventory.markets)} | inventory.malformed
    found: set[ResourceKey] = set()
    for subscription in inventory.subscriptions:
        key = key_of(subscription)
        version = inventory.last_good.get(key)
        if key not in plan.accepted and isinstance(version, Subscription):
            feed, market = version.spec.feed_ref.name, version.spec.market_ref.name
            ends = {ResourceKey(Kind.FEED, feed), ResourceKey(Kind.MARKET, market)}
            found |= ends if ends <= declared else set()
    return frozenset(found)


def settled(rollout: Rollout) -> bool:
    """Whether a workload is as it was decided to be. One that is paused is left as it is.

    A pod that dies afterwards is no roll-out: whether enough of them serve is told by Available.
    """
    calm = {Decision.KEEP, Decision.PAUSED, Decision.WAIT_FOR_CLOSE}
    live = rollout.live
    return rollout.decision in calm and live is not None and (is_rolled_out(live) or _was_rolled_out(live))


def _was_rolled_out(live: Child) -> bool:
    """Whether Kubernetes has seen the end of the newest roll-out, and waits only for pods to come back."""
    replicas, status = live["spec"].get("replicas", 1), live.get("status") or {}
    return (
        status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
        and status.get("updatedReplicas", 0) == status.get("replicas", 0) == replicas
        and any(each.get("reason") == "NewReplicaSetAvailable" for each in status.get("conditions") or ())
    )


def serves_already(key: ResourceKey, rollout: Rollout, observed: Observed) -> bool:
    """Whether every pod that serves works with *key* as it is now: a roll-out that concerns others is none for it."""
    wanted = rollout.workload.configuration.sources.get(str(key))
    serving = [
        replica_set
        for replica_set in observed.replica_sets
        if replica_set["metadata"]["labels"].get(INSTANCE) == rollout.workload.name and available_replicas(replica_set)
    ]
    configurations = [live_configuration(replica_set, observed) for replica_set in serving]
    return bool(configurations) and all(
        each is not None and wanted is not None and each.sources.get(str(key)) == wanted for each in configurations
    )


def is_available(rollout: Rollout) -> bool:
    """Whether a pod of it serves, whichever version."""
    return available_replicas(rollout.live) > 0


def is_stuck(live: Child | None) -> bool:
    """Whether Kubernetes has given up waiting for the newest pods."""
    for condition in ((live or {}).get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return True
    return False


class _Complaint(Struct, frozen=True):
    reason: str
    message: str


def pod_problems(instance: str, observed: Observed) -> list[str]:
    """Return what keeps pods of a role instance from being ready, a line each, as the kubelet or the role says."""
    lines: list[str] = []
    for pod in observed.pods:
        metadata = pod["metadata"]
        if (metadata.get("labels") or {}).get(INSTANCE) != instance or metadata.get("deletionTimestamp"):
            continue
        complaint = next(iter(_complaints(pod)), None)
        if complaint is not None:
            lines.append(f"pod {metadata['name']}: {complaint.reason}{_detail(complaint.message)}")
        else:
            lines.extend(
                f"pod {metadata['name']}: {line}" for line in _own_problems(metadata["uid"], instance, observed)
            )
    return lines


def _own_problems(uid: str, instance: str, observed: Observed) -> tuple[str, ...]:
    """Return what a pod that is not ready yet says of itself."""
    newest = next((each.status for each in observed.reports.get(instance, ()) if each.pod_uid == uid), None)
    return newest.problems if newest is not None and newest.phase is Phase.STARTING else ()


def _detail(message: str) -> str:
    """Return the last line of a message: a process that ends says why at its end."""
    lines = [" ".join(line.split()) for line in message.split("\n") if line.strip()]
    return f": {lines[-1].removeprefix('scanplane: ')[:300]}" if lines else ""


def _complaints(pod: Child) -> Iterable[_Complaint]:
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        ended = (container.get("lastState") or {}).get("terminated") or state.get("terminated")
        waiting = state.get("waiting")
        if waiting is not None and waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            said = (ended or {}).get("message") or waiting.get("message") or ""
            yield _Complaint(waiting["reason"], said)
        elif state.get("terminated") is not None:
            yield _Complaint((ended or {}).get("reason") or "Terminated", (ended or {}).get("message") or "")
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield _Complaint(condition.get("reason") or "Unschedulable", condition.get("message") or "")
