"""What is true of a resource now: the verdict on each condition. Pure.

Ready is accepted and rolled out. Whether data flows is another question with a condition of its own, so a closed market or
a broker's hiccup never makes anything unready.
"""

from collections.abc import Sequence

from msgspec import Struct

from scanplane.plan.inventory import Finding, Reason, Severity
from scanplane.resources.kinds import Kind
from scanplane.resources.problems import Problem
from scanplane.resources.status import ConditionStatus, ConditionType
from scanplane.telemetry.status import Phase
from scanplane_operator.changes import FIRST_START
from scanplane_operator.conditions import Verdict
from scanplane_operator.figures import current
from scanplane_operator.names import RESTART_REASON
from scanplane_operator.observed import ObjectKey, Observed, PodReport
from scanplane_operator.rollouts import Decision, Rollout, missing_inputs, revision_of
from scanplane_operator.situation import is_available, is_stuck, pod_problems

__all__ = ["TOLD_BY_WORKLOADS", "Case", "verdicts"]

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
TOLD_BY_WORKLOADS = frozenset({"Flowing", "Trouble", "Connecting", "NoEvents", "Standby"})
"""Reasons of DataFlowing that are what a workload reported."""
_MOST_LINES = 5
_PARTS = frozenset({Kind.SUBSCRIPTION, Kind.SCANNER})
"""Kinds that have no workload of their own."""
_UNPLANNED = (
    "NoDataPlane",
    "nothing is decided without an accepted DataPlane named 'default'; what runs is left alone",
)
_KEPT = (
    "SubscriptionNotAccepted",
    "a Subscription of it is not accepted any more; what ran for it goes on as before",
)


class Case(Struct, frozen=True, kw_only=True):
    """All that is known of one resource: what was found wrong with it, and the workloads behind it.

    ``is_planned`` is false where no DataPlane is accepted, so that nothing at all was decided. ``goes_on`` says whether a
    version of it is planned, be it the newest or the one that was accepted before. ``is_kept`` says that nothing is planned for
    it because a Subscription is not accepted any more, and that what ran for it goes on. ``moving`` are those of the workloads
    that do not work with it as it is now. ``reports`` are those of the workloads that tell whether data flows for it, and
    ``flow_before`` is what they told the last time.
    """

    kind: Kind
    findings: Sequence[Finding]
    problems: Sequence[Problem]
    is_planned: bool
    is_paused: bool
    pause_asked: str
    goes_on: bool
    is_kept: bool
    accepted_generation: int | None
    generation: int
    rollouts: Sequence[Rollout]
    moving: Sequence[Rollout]
    reports: Sequence[Sequence[PodReport]]
    flow_before: Verdict | None


def verdicts(case: Case, observed: Observed) -> list[Verdict]:
    """Return the verdicts on a resource, in the order in which its status lists them."""
    accepted = _accepted(case)
    available, progressing = _available(case, observed), _progressing(case, observed)
    found = [accepted, available, progressing]
    if case.kind not in {Kind.DATA_PLANE, Kind.SCANNER}:
        found.append(_data_flowing(case))
    if not case.is_planned:
        found[1:] = [Verdict(each.type, UNKNOWN, *_UNPLANNED) for each in found[1:]]
    found += [_paused(case), _ready(case, accepted, progressing)]
    return found


def _accepted(case: Case) -> Verdict:
    kind = ConditionType.ACCEPTED
    if case.is_paused and case.accepted_generation is None:
        return Verdict(kind, UNKNOWN, "Paused", "paused before it was looked at")
    if case.is_paused and case.goes_on:
        return Verdict(kind, TRUE, "Paused", f"generation {case.accepted_generation} goes on while it is paused")
    keeps = f"; generation {case.accepted_generation} goes on" if case.goes_on else ""
    if case.problems:
        lines = [f"{problem.path} {problem.message}{_hint(problem)}".strip() for problem in case.problems]
        return Verdict(kind, FALSE, "InvalidSpec", _joined(lines) + keeps)
    errors = [finding for finding in case.findings if finding.severity is Severity.ERROR]
    if errors:
        return Verdict(kind, FALSE, str(errors[0].reason), _joined([str(error) for error in errors]) + keeps)
    if case.findings:
        return Verdict(kind, TRUE, str(case.findings[0].reason), _joined([str(finding) for finding in case.findings]))
    return Verdict(kind, TRUE, str(Reason.ACCEPTED), "the spec is valid and all it refers to is there")


def _hint(problem: Problem) -> str:
    return f"; {problem.suggestion}" if problem.suggestion else ""


def _joined(lines: Sequence[str]) -> str:
    more = f" (and {len(lines) - _MOST_LINES} more)" if len(lines) > _MOST_LINES else ""
    return "; ".join(lines[:_MOST_LINES]) + more


def _available(case: Case, observed: Observed) -> Verdict:
    kind = ConditionType.AVAILABLE
    if case.is_kept:
        return Verdict(kind, UNKNOWN, *_KEPT)
    if not case.rollouts:
        return Verdict(kind, FALSE, "NotUsed", _unused(case))
    missing = [rollout for rollout in case.rollouts if not is_available(rollout)]
    if not missing:
        return Verdict(
            kind, TRUE, "Serving", f"{_names(case.rollouts)} serve" + ("s" if len(case.rollouts) == 1 else "")
        )
    if all(rollout.workload.deployment["spec"]["replicas"] == 0 for rollout in missing):
        return Verdict(kind, FALSE, "NoReplicas", f"{_names(missing)} {_has(missing)} no replicas, as asked")
    foreign = _foreign(missing, observed)
    if foreign:
        return Verdict(kind, FALSE, "NameTaken", _taken(foreign))
    return Verdict(kind, FALSE, "NotAvailable", f"no pod of {_names(missing)} is ready{_complaints(missing, observed)}")


def _foreign(rollouts: Sequence[Rollout], observed: Observed) -> list[ObjectKey]:
    return sorted({key for rollout in rollouts for key in rollout.workload.keys if key in observed.foreign})


def _taken(keys: Sequence[ObjectKey]) -> str:
    return f"{_joined([str(key) for key in keys])} is there already and not the operator's: rename or remove it"


def _progressing(case: Case, observed: Observed) -> Verdict:
    kind = ConditionType.PROGRESSING
    if case.is_kept:
        return Verdict(kind, FALSE, *_KEPT)
    if not case.moving:
        is_part = case.kind in _PARTS  # what waits is no news for each of a thousand Scanners
        waiting = [] if is_part else [each for each in case.rollouts if each.decision is Decision.WAIT_FOR_CLOSE]
        if waiting:
            message = f"{waiting[0].workload.name} waits for the close: {waiting[0].restart}"
            return Verdict(kind, TRUE, "WaitsForMarketClose", message)
        return Verdict(kind, FALSE, "RolledOut", "everything runs as asked" if case.rollouts else _unused(case))
    return _halted(case, observed) or _moving(case, observed)


def _halted(case: Case, observed: Observed) -> Verdict | None:
    """Return what stands in the way of a roll-out for good, until somebody changes something."""
    kind = ConditionType.PROGRESSING
    foreign = _foreign(case.moving, observed)
    if foreign:
        return Verdict(kind, FALSE, "NameTaken", _taken(foreign))
    refused = [observed.refused[key] for each in case.moving for key in each.workload.keys if key in observed.refused]
    if refused:
        return Verdict(kind, FALSE, "WriteRefused", f"the API server refused: {_joined(refused)}")
    lacking = [rollout for rollout in case.moving if rollout.decision is Decision.WAIT_FOR_INPUT]
    if lacking:
        inputs = sorted({name for each in lacking for name in missing_inputs(each.workload.configuration, observed)})
        message = f"{_names(lacking)} {_goes(lacking)} on as before and can't be restarted without {', '.join(inputs)}"
        return Verdict(kind, FALSE, "InputMissing", message)
    return _left_alone(case) or _stuck(case, observed)


def _left_alone(case: Case) -> Verdict | None:
    """Return what somebody has decided beside the spec."""
    kind = ConditionType.PROGRESSING
    paused = [rollout for rollout in case.moving if _is_held(case, rollout)]
    if paused:
        owners = sorted({str(rollout.workload.owner) for rollout in paused})
        message = f"{_names(paused)} {_goes(paused)} on as before: {', '.join(owners)} {_is(owners)} paused"
        return Verdict(kind, FALSE, "WorkloadPaused", message)
    rolled_back = [rollout for rollout in case.moving if rollout.decision is Decision.ROLLED_BACK]
    if rolled_back:
        message = f"{_names(rolled_back)} {_was(rolled_back)} rolled back by somebody; the next change goes forward"
        return Verdict(kind, FALSE, "RolledBack", message)
    return None


def _stuck(case: Case, observed: Observed) -> Verdict | None:
    kind = ConditionType.PROGRESSING
    stuck = [rollout for rollout in case.moving if rollout.decision is Decision.KEEP and is_stuck(rollout.live)]
    if stuck:
        message = f"the new {_names(stuck)} does not become ready{_complaints(stuck, observed)}"
        return Verdict(kind, FALSE, "DeadlineExceeded", message)
    return None


def _is_held(case: Case, rollout: Rollout) -> bool:
    """Whether a workload would have to change for a resource, and is left alone because its owner is paused."""
    if case.kind not in _PARTS or rollout.decision is not Decision.PAUSED:
        return False
    return rollout.live is None or revision_of(rollout.live) != rollout.workload.revision


def _moving(case: Case, observed: Observed) -> Verdict:
    kind, moving = ConditionType.PROGRESSING, case.moving
    waiting = [rollout for rollout in moving if rollout.decision is Decision.WAIT_FOR_ANALYZERS]
    if waiting and len(waiting) == len(moving):
        message = f"{_names(waiting)} goes on until the analyzers stand by"
        return Verdict(kind, TRUE, "WaitsForAnalyzers", message)
    reasons = sorted({_reason(rollout) for rollout in moving} - {""})
    said = f" because of {'; '.join(reasons)}" if reasons else ""
    complaints = _complaints(moving, observed)
    return Verdict(kind, TRUE, "RollingOut", f"{_names(moving)} {_is(moving)} being rolled out{said}{complaints}")


def _reason(rollout: Rollout) -> str:
    """Return why the newest pods are started: as just decided, or as was written down when it was."""
    if rollout.restart is not None or rollout.live is None:
        return str(rollout.restart or "")
    annotations = rollout.live["spec"]["template"]["metadata"].get("annotations") or {}
    reason = str(annotations.get(RESTART_REASON, ""))
    return "" if reason == FIRST_START else reason


def _complaints(rollouts: Sequence[Rollout], observed: Observed) -> str:
    problems = [line for rollout in rollouts for line in pod_problems(rollout.workload.name, observed)]
    return f": {_joined(problems)}" if problems else ""


def _goes(rollouts: Sequence[Rollout]) -> str:
    return "goes" if len(rollouts) == 1 else "go"


def _has(rollouts: Sequence[Rollout]) -> str:
    return "has" if len(rollouts) == 1 else "have"


def _was(rollouts: Sequence[Rollout]) -> str:
    return "was" if len(rollouts) == 1 else "were"


def _is(several: Sequence[object]) -> str:
    return "is" if len(several) == 1 else "are"


def _names(rollouts: Sequence[Rollout]) -> str:
    names = [rollout.workload.name for rollout in rollouts]
    return ", ".join(names[:_MOST_LINES]) + (
        f" and {len(names) - _MOST_LINES} more" if len(names) > _MOST_LINES else ""
    )


def _unused(case: Case) -> str:
    if not case.goes_on:
        return "it is not accepted, so nothing runs for it"
    if case.kind is Kind.SCANNER:
        return "no accepted Subscription brings data to its Market, so nothing runs for it"
    return f"no accepted Subscription refers to this {case.kind}, so nothing runs for it"


def _data_flowing(case: Case) -> Verdict:
    kind = ConditionType.DATA_FLOWING
    if case.is_kept or not case.rollouts:
        return Verdict(kind, UNKNOWN, *_KEPT) if case.is_kept else Verdict(kind, FALSE, "NotUsed", _unused(case))
    found = [current(reports) for reports in case.reports]
    reports = [report for report in found if report is not None]
    if not reports:
        return _without_report(case)
    problems = [problem for report in reports for problem in report.status.problems]
    if problems:
        return Verdict(kind, FALSE, "Trouble", _joined(problems))
    streaming = [report.status.figures.get("streaming") for report in reports]
    if any(value == 0 for value in streaming if value is not None):
        return Verdict(kind, FALSE, "Connecting", "the connection to the provider is being made")
    if not any((report.status.figures.get("events_total") or 0) > 0 for report in reports):
        return Verdict(kind, FALSE, "NoEvents", "no event has come yet")
    return Verdict(kind, TRUE, "Flowing", "events come")


def _without_report(case: Case) -> Verdict:
    """Return what is told while no pod that works has reported; pods that serve are believed to do as they told before."""
    kind = ConditionType.DATA_FLOWING
    if any(each.status.phase is Phase.STANDBY for several in case.reports for each in several):
        return Verdict(kind, UNKNOWN, "Standby", "the workload stands by")
    if case.flow_before is not None and not any(case.reports) and all(map(is_available, case.rollouts)):
        return case.flow_before
    return Verdict(kind, UNKNOWN, "NoReport", "no workload has reported yet")


def _paused(case: Case) -> Verdict:
    if case.is_paused:
        return Verdict(
            ConditionType.PAUSED, TRUE, "Paused", "the operator leaves it alone: scanplane.io/paused is true"
        )
    if case.pause_asked not in {"false", ""}:
        message = f"scanplane.io/paused is '{case.pause_asked[:40]}' and pauses nothing: write 'true', or remove it"
        return Verdict(ConditionType.PAUSED, FALSE, "UnknownValue", message)
    return Verdict(ConditionType.PAUSED, FALSE, "NotPaused", "the operator reconciles it")


def _ready(case: Case, accepted: Verdict, progressing: Verdict) -> Verdict:
    """Ready is about the newest generation: one that is not accepted is not ready, whatever goes on in its place."""
    kind = ConditionType.READY
    if accepted.status is not TRUE:
        return Verdict(kind, FALSE, accepted.reason, accepted.message)
    if case.is_paused and case.accepted_generation != case.generation:
        message = f"generation {case.generation} waits until it is paused no more; {accepted.message}"
        return Verdict(kind, FALSE, "Paused", message)
    if case.is_kept:
        return Verdict(kind, FALSE, *_KEPT)
    if not case.rollouts:
        return Verdict(kind, TRUE, "NotUsed", _unused(case))
    if not case.moving:
        return Verdict(
            kind, TRUE, "RolledOut", f"accepted, and {_names(case.rollouts)} {_is(case.rollouts)} rolled out"
        )
    return Verdict(kind, FALSE, progressing.reason, progressing.message)
