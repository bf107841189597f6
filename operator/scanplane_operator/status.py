"""The status of every resource, whole, as it should be written; and which of them are worth a write. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.plan.inventory import Finding, ResourceKey
from scanplane.plan.planner import Plan
from scanplane.resources.kinds import Kind
from scanplane.resources.status import Condition, ConditionStatus, ConditionType
from scanplane_operator.changes import FIRST_START
from scanplane_operator.conditions import Verdict, merge_conditions, transitions
from scanplane_operator.figures import (
    Figures,
    feed_figures,
    gateway_figures,
    is_noticeable,
    market_figures,
    scanner_figures,
    subscription_figures,
)
from scanplane_operator.names import MARKET, RESTART_REASON, selector_text
from scanplane_operator.observed import ObjectKey, Observed, PodReport
from scanplane_operator.reading import Reading, pause_asked
from scanplane_operator.rollouts import Decision, Rollout, available_replicas, combined_revision
from scanplane_operator.situation import (
    is_available,
    kept_for_subscriptions,
    rollouts_behind,
    serves_already,
    settled,
)
from scanplane_operator.verdicts import TOLD_BY_WORKLOADS, Case, verdicts

__all__ = ["StatusChange", "status_changes"]

_FIGURES_AT_LEAST_EVERY_NS = 60_000_000_000


class StatusChange(Struct, frozen=True, kw_only=True):
    """A status to write: the whole of it, the conditions that turned, and a restart that is news."""

    key: ResourceKey
    document: Mapping[str, Any]
    status: Mapping[str, Any]
    transitions: tuple[Condition, ...]
    restart: tuple[str, str] | None


def status_changes(
    observed: Observed,
    reading: Reading,
    plan: Plan,
    rollouts: Sequence[Rollout],
    *,
    now: str,
    now_ns: int,
    figures_written_ns: Mapping[ResourceKey, int],
) -> list[StatusChange]:
    """Return the statuses to write. *now* is RFC 3339, *now_ns* the same on the host's clock."""
    found: list[StatusChange] = []
    findings: dict[ResourceKey, list[Finding]] = {}
    for finding in plan.findings:
        findings.setdefault(finding.key, []).append(finding)
    kept = kept_for_subscriptions(reading.inventory, plan)
    for key, document in sorted(observed.resources.items()):
        if document["metadata"].get("deletionTimestamp"):
            continue
        before: Mapping[str, Any] = document.get("status") or {}
        behind = rollouts_behind(key, plan.accepted.get(key), rollouts)
        case = _case(key, document, observed, reading, plan, findings.get(key, ()), behind, is_kept=key in kept)
        generation = document["metadata"].get("generation", 0)
        conditions = merge_conditions(before.get("conditions") or (), verdicts(case, observed), generation, now)
        lasting = _lasting(key, document, before, case, conditions, rollouts, observed.refused, now)
        figures = _figures(key, document, observed, rollouts)
        runs_no_more = case.is_planned and not behind and not case.is_kept
        status = {**({} if runs_no_more else _figures_before(before, lasting)), **lasting, **figures}
        if status == before:
            continue
        only_figures = all(before.get(name) == value for name, value in lasting.items())
        is_due = now_ns - figures_written_ns.get(key, 0) >= _FIGURES_AT_LEAST_EVERY_NS
        if only_figures and not is_due and not is_noticeable(before, figures):
            continue
        found.append(
            StatusChange(
                key=key,
                document=document,
                status=status,
                transitions=tuple(transitions(before.get("conditions") or (), conditions)),
                restart=_news(before, lasting),
            )
        )
    return found


def _case(
    key: ResourceKey,
    document: Mapping[str, Any],
    observed: Observed,
    reading: Reading,
    plan: Plan,
    findings: Sequence[Finding],
    behind: Sequence[Rollout],
    *,
    is_kept: bool,
) -> Case:
    accepted = (document.get("status") or {}).get("accepted") or {}
    flowing = [each for each in behind if _tells_of_data(key, each)]
    return Case(
        kind=key.kind,
        findings=findings,
        problems=reading.problems.get(key, ()),
        is_planned=plan.data_plane is not None,
        is_paused=key in reading.paused,
        pause_asked=pause_asked(document),
        goes_on=key in plan.accepted,
        is_kept=is_kept and not behind,
        accepted_generation=accepted.get("generation"),
        generation=document["metadata"].get("generation", 0),
        rollouts=behind,
        moving=[each for each in behind if not _is_done(key, each, observed)],
        reports=[observed.reports.get(each.workload.name, ()) for each in flowing],
        flow_before=_flow_before(document),
    )


def _flow_before(document: Mapping[str, Any]) -> Verdict | None:
    """Return what workloads told of the data when they were asked last; None if they did not."""
    for condition in (document.get("status") or {}).get("conditions") or ():
        if condition.get("type") == str(ConditionType.DATA_FLOWING) and condition.get("reason") in TOLD_BY_WORKLOADS:
            status = ConditionStatus(condition["status"])
            return Verdict(ConditionType.DATA_FLOWING, status, condition["reason"], condition["message"])
    return None


def _is_done(key: ResourceKey, rollout: Rollout, observed: Observed) -> bool:
    """Whether a resource has nothing to wait for: a Scanner is not concerned when another one is edited."""
    if key.kind in {Kind.SCANNER, Kind.SUBSCRIPTION}:
        is_as_planned = settled(rollout) and rollout.decision is not Decision.PAUSED
        return is_as_planned or serves_already(key, rollout, observed)
    troubled = observed.refused.keys() | observed.foreign
    return settled(rollout) and not any(each in troubled for each in rollout.workload.keys)


def _tells_of_data(key: ResourceKey, rollout: Rollout) -> bool:
    return rollout.workload.owner.kind is (Kind.FEED if key.kind is Kind.SUBSCRIPTION else key.kind)


def _lasting(
    key: ResourceKey,
    document: Mapping[str, Any],
    before: Mapping[str, Any],
    case: Case,
    conditions: Sequence[Condition],
    rollouts: Sequence[Rollout],
    refused: Collection[ObjectKey],
    now: str,
) -> dict[str, Any]:
    """Return all of a status but its figures."""
    status: dict[str, Any] = {
        "observedGeneration": case.generation,
        "conditions": [msgspec.to_builtins(condition) for condition in conditions],
    }
    accepted = next(each for each in conditions if each.type is ConditionType.ACCEPTED)
    if accepted.status is ConditionStatus.TRUE and not case.is_paused:
        spec = msgspec.json.encode(document["spec"], order="sorted").decode()
        status["accepted"] = {"generation": case.generation, "spec": spec}
    elif before.get("accepted") is not None:
        status["accepted"] = before["accepted"]
    own = [each for each in rollouts if each.workload.owner == key]
    status |= _rolled(before, own, refused, now)
    if key.kind is Kind.MARKET and case.is_planned:
        status |= _partitions(key, own)
    if key.kind is Kind.DATA_PLANE and own:
        status["readyGateways"] = sum(available_replicas(each.live) for each in own)
        status["workloadCount"] = len(rollouts)
        status["readyWorkloads"] = sum(settled(each) and is_available(each) for each in rollouts)
    return status


def _rolled(
    before: Mapping[str, Any], own: Sequence[Rollout], refused: Collection[ObjectKey], now: str
) -> dict[str, Any]:
    """Return what was rolled out last, and why. While something waits or is refused, the record stays what it was."""
    status: dict[str, Any] = {name: before[name] for name in ("configuration", "lastRestart") if name in before}
    written = [each for each in own if each.workload.key not in refused]
    if own and written == own and all(each.decision.writes for each in own):
        status["configuration"] = combined_revision([each.workload for each in own])
    restarts = [str(each.restart) for each in written if each.decision is Decision.ROLL and each.restart is not None]
    if not restarts and "configuration" in before and status.get("configuration") != before["configuration"]:
        told = (before.get("lastRestart") or {}).get("message")
        restarts = [each for each in _untold(written) if each[:1024] != told]
    if restarts:
        newest = restarts[0]
        reason = newest.partition(" (")[0].replace(", ", ",")[:256]
        status["lastRestart"] = {"time": now, "reason": reason, "message": newest[:1024]}
    return status


def _untold(written: Sequence[Rollout]) -> list[str]:
    """Return the reasons of roll-outs that an operator began and did not live to tell: their pods bear them."""
    templates = (each.live["spec"]["template"]["metadata"] for each in written if each.live is not None)
    reasons = ((template.get("annotations") or {}).get(RESTART_REASON) for template in templates)
    return [reason for reason in reasons if reason and reason != FIRST_START]


def _partitions(key: ResourceKey, own: Sequence[Rollout]) -> dict[str, Any]:
    configurations = (each.workload.configuration for each in own)
    scanners = [len(each.scanners) for each in configurations if isinstance(each, AnalyzerConfiguration)]
    return {
        "scannerCount": max(scanners, default=0),
        "partitions": len(own),
        "readyPartitions": sum(settled(each) and is_available(each) for each in own),
        "selector": selector_text({MARKET: key.name}),
    }


def _figures(key: ResourceKey, document: Mapping[str, Any], observed: Observed, rollouts: Sequence[Rollout]) -> Figures:
    def reports(owner: ResourceKey) -> list[Sequence[PodReport]]:
        return [observed.reports.get(each.workload.name, ()) for each in rollouts if each.workload.owner == owner]

    match key.kind:
        case Kind.FEED:
            return next((feed_figures(each) for each in reports(key)), {})
        case Kind.MARKET:
            return market_figures(reports(key))
        case Kind.SCANNER:
            market = ResourceKey(Kind.MARKET, ((document.get("spec") or {}).get("marketRef") or {}).get("name", ""))
            return scanner_figures(key.name, reports(market))
        case Kind.DATA_PLANE:
            return next((gateway_figures(each) for each in reports(key)), {})
        case Kind.SUBSCRIPTION:
            feed, of_market = _ends(document)
            if [_shares(other, feed, of_market) for other in _subscriptions(observed)].count(True) > 1:
                return {}
            listener = next(iter(reports(ResourceKey(Kind.FEED, feed))), ())
            return subscription_figures(listener, reports(ResourceKey(Kind.MARKET, of_market)))


def _subscriptions(observed: Observed) -> list[Mapping[str, Any]]:
    return [document for key, document in observed.resources.items() if key.kind is Kind.SUBSCRIPTION]


def _ends(subscription: Mapping[str, Any]) -> tuple[str, str]:
    """Return the names of a Subscription's Feed and Market."""
    spec = subscription.get("spec") or {}
    return (spec.get("feedRef") or {}).get("name", ""), (spec.get("marketRef") or {}).get("name", "")


def _shares(subscription: Mapping[str, Any], feed: str, market: str) -> bool:
    its_feed, its_market = _ends(subscription)
    return its_feed == feed or its_market == market


def _figures_before(before: Mapping[str, Any], lasting: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures that the status holds already."""
    names = {"observedGeneration", "conditions", "accepted", "configuration", "lastRestart", *lasting}
    return {name: value for name, value in before.items() if name not in names}


def _news(before: Mapping[str, Any], lasting: Mapping[str, Any]) -> tuple[str, str] | None:
    restart = lasting.get("lastRestart")
    if restart is None or restart == before.get("lastRestart"):
        return None
    return restart["reason"], restart["message"]
