"""The whole decision of a pass: from what was observed to what to write. Pure, so that it is tested as YAML in, YAML out."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.plan.inventory import ResourceKey, key_of
from scanplane.plan.planner import Plan, plan
from scanplane.resources.common import API_VERSION
from scanplane.resources.data_plane import UpdatePolicy
from scanplane.resources.kinds import Kind, Resource
from scanplane_operator.changes import Changes, changes_of
from scanplane_operator.figures import current
from scanplane_operator.manifests.workloads import Workload, workloads_of
from scanplane_operator.observed import Observed
from scanplane_operator.reading import Reading, read_inventory
from scanplane_operator.rollouts import Rollout, available_replicas, decide
from scanplane_operator.settings import PodSettings
from scanplane_operator.situation import kept_for_subscriptions

__all__ = ["Decisions", "decisions_of"]


class Decisions(Struct, frozen=True, kw_only=True):
    """What a pass decided."""

    reading: Reading
    plan: Plan
    rollouts: tuple[Rollout, ...]
    changes: Changes


def decisions_of(observed: Observed, settings: PodSettings) -> Decisions:
    """Decide everything about a namespace.

    Without a DataPlane nothing can be planned, and what runs is left alone: its owner may only have been deleted to be
    made anew.
    """
    reading = read_inventory(observed)
    planned = plan(reading.inventory)
    if planned.data_plane is None:
        return Decisions(reading=reading, plan=planned, rollouts=(), changes=Changes())
    workloads = workloads_of(planned, observed.namespace, _owners(observed), settings)
    policy = planned.data_plane.spec.update_policy or UpdatePolicy.IMMEDIATE
    kept = kept_for_subscriptions(reading.inventory, planned)
    rollouts = decide(workloads, observed, reading.paused, policy, _open_markets(workloads, observed))
    return Decisions(
        reading=reading,
        plan=planned,
        rollouts=rollouts,
        changes=changes_of(rollouts, observed, reading.paused | _not_accepted(reading, planned) | kept),
    )


def _not_accepted(reading: Reading, planned: Plan) -> frozenset[ResourceKey]:
    """Return the resources that are there, but in no version that could be planned: what ran for them goes on."""
    inventory = reading.inventory
    declared: tuple[Resource, ...] = (*inventory.data_planes, *inventory.feeds, *inventory.markets)
    return frozenset({key_of(each) for each in declared} | inventory.malformed) - planned.accepted.keys()


def _open_markets(workloads: Sequence[Workload], observed: Observed) -> frozenset[str]:
    """Return the markets that trade now, as an analyzer says.

    An operator that has just begun has no report yet, and an analyzer that waits for its first tick says nothing of it:
    neither must be taken for a closed market. Where an analyzer serves, what was said last counts until then.
    """
    found: set[str] = set()
    for workload in workloads:
        if not isinstance(workload.configuration, AnalyzerConfiguration) or _never_closes(workload.configuration):
            continue
        market = workload.configuration.market
        report = current(observed.reports.get(workload.name, ()))
        session = None if report is None else report.status.figures.get("session")
        if session is not None:
            is_open = session > 0
        else:
            said = (observed.resources[workload.owner].get("status") or {}).get("session")
            is_open = (
                said in {"premarket", "regular", "postmarket"}
                and available_replicas(observed.children.get(workload.key)) > 0
            )
        if is_open:
            found.add(market)
    return frozenset(found)


def _never_closes(configuration: AnalyzerConfiguration) -> bool:
    """Whether a market trades round the clock: whoever waited for its close would wait for ever."""
    return configuration.hours.calendar == "24/7"


def _owners(observed: Observed) -> dict[ResourceKey, dict[str, Any]]:
    """Return an owner reference for every resource that children may belong to and that is not being deleted."""
    owners = {Kind.DATA_PLANE, Kind.FEED, Kind.MARKET}
    return {
        key: _owner_reference(key, document)
        for key, document in observed.resources.items()
        if key.kind in owners and not document["metadata"].get("deletionTimestamp")
    }


def _owner_reference(key: ResourceKey, document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": str(key.kind),
        "name": key.name,
        "uid": document["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }
