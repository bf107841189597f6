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
from scanplane_operator.conditions import Verdict
from scanplane_operator.figures import current
from scanplane_operator.observed import ObjectKey, Observed, PodReport
from scanplane_operator.rollouts import Decision, Rollout, missing_inputs
from scanplane_operator.situation import is_available, is_stuck, pod_problems

__all__ = ["Case", "verdicts"]

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
_MOST_LINES = 5


class Case(Struct, frozen=True, kw_only=True):
    """All that is known of one resource: what was found wrong with it, and the workloads behind it.

    ``moving`` are those of the workloads that do not work with it as it is now. ``reports`` are those of the workloads that
    tell whether data flows for it.
    """

    kind: Kind
    findings: Sequence[Finding]
    problems: Sequence[Problem]
    is_paused: bool
    accepted_generation: int | None
    generation: int
    rollouts: Sequence[Rollout]
    moving: Sequence[Rollout]
    reports: Sequence[Sequence[PodReport]]


def verdicts(case: Case, observed: Observed) -> list[Verdict]:
    """Return the verdicts on a resource, in the order in which its status lists them."""
    accepted = _accepted(case)
    available, progressing = _available(case, observed), _progressing(case, observed)
    found = [accepted, available, progressing]
    if case.kind not in {Kind.DATA_PLANE, Kind.SCANNER}:
        found.append(_data_flowing(case))
    found += [_paused(case), _ready(case, accepted, progressing)]
    return found


def _accepted(case: Case) -> Verdict:
    kind = ConditionType.ACCEPTED
    if case.is_paused:
        if case.accepted_generation is None:
            return Verdict(kind, UNKNOWN, "Paused", "paused before it was looked at")
        return Verdict(kind, TRUE, "Paused", f"generation {case.accepted_generation} goes on while it is paused")
    keeps = "" if case.accepted_generation is None else f"; generation {case.accepted_generation} goes on"
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
    if not case.rollouts:
        return Verdict(kind, FALSE, "NotUsed", _unused(case.kind))
    missing = [rollout for rollout in case.rollouts if not is_available(rollout)]
    if not missing:
        return Verdict(
            kind, TRUE, "Serving", f"{_names(case.rollouts)} serve" + ("s" if len(case.rollouts) == 1 else "")
        )
    foreign = [rollout for rollout in missing if rollout.decision is Decision.FOREIGN]
    if foreign:
        key = foreign[0].workload.key
        return Verdict(kind, FALSE, "NameTaken", f"{_taken(key)}: rename or remove it")
    return Verdict(kind, FALSE, "NotAvailable", f"no pod of {_names(missing)} is ready{_complaints(missing, observed)}")


def _taken(key: ObjectKey) -> str:
    return f"{key} is there already and not the operator's"


def _progressing(case: Case, observed: Observed) -> Verdict:
    kind = ConditionType.PROGRESSING
    if not case.moving:
        waiting = [rollout for rollout in case.rollouts if rollout.decision is Decision.WAIT_FOR_CLOSE]
        if waiting:
            message = f"{waiting[0].workload.name} waits for the close: {waiting[0].restart}"
            return Verdict(kind, TRUE, "WaitsForMarketClose", message)
        return Verdict(kind, FALSE, "RolledOut", "everything runs as asked" if case.rollouts else _unused(case.kind))
    return _halted(case, observed) or _moving(case, observed)


def _halted(case: Case, observed: Observed) -> Verdict | None:
    """Return what stands in the way of a roll-out for good, until somebody changes something."""
    kind = ConditionType.PROGRESSING
    refused = [observed.refused[key] for each in case.moving for key in each.workload.keys if key in observed.refused]
    if refused:
        return Verdict(kind, FALSE, "WriteRefused", f"the API server refused: {_joined(refused)}")
    lacking = [rollout for rollout in case.moving if rollout.decision is Decision.WAIT_FOR_INPUT]
    if lacking:
        inputs = sorted({name for each in lacking for name in missing_inputs(each.workload.configuration, observed)})
        message = f"{_names(lacking)} {_goes(lacking)} on as before and can't be restarted without {', '.join(inputs)}"
        return Verdict(kind, FALSE, "InputMissing", message)
    rolled_back = [rollout for rollout in case.moving if rollout.decision is Decision.ROLLED_BACK]
    if rolled_back:
        message = f"{_names(rolled_back)} {_was(rolled_back)} rolled back by somebody; the next change goes forward"
        return Verdict(kind, FALSE, "RolledBack", message)
    stuck = [rollout for rollout in case.moving if rollout.decision is Decision.KEEP and is_stuck(rollout.live)]
    if stuck:
        message = f"the new {_names(stuck)} does not become ready{_complaints(stuck, observed)}"
        return Verdict(kind, FALSE, "DeadlineExceeded", message)
    return None


def _moving(case: Case, observed: Observed) -> Verdict:
    kind, moving = ConditionType.PROGRESSING, case.moving
    waiting = [rollout for rollout in moving if rollout.decision is Decision.WAIT_FOR_ANALYZERS]
    if waiting and len(waiting) == len(moving):
        message = f"{_names(waiting)} goes on until the analyzers stand by"
        return Verdict(kind, TRUE, "WaitsForAnalyzers", message)
    reasons = sorted({str(rollout.restart) for rollout in moving if rollout.restart is not None})
    said = f" because of {'; '.join(reasons)}" if reasons else _complaints(moving, observed)
    return Verdict(kind, TRUE, "RollingOut", f"{_names(moving)} {_is(moving)} being rolled out{said}")


def _complaints(rollouts: Sequence[Rollout], observed: Observed) -> str:
    problems = [line for rollout in rollouts for line in pod_problems(rollout.workload.name, observed)]
    return f": {_joined(problems)}" if problems else ""


def _goes(rollouts: Sequence[Rollout]) -> str:
    return "goes" if len(rollouts) == 1 else "go"


def _was(rollouts: Sequence[Rollout]) -> str:
    return "was" if len(rollouts) == 1 else "were"


def _is(rollouts: Sequence[Rollout]) -> str:
    return "is" if len(rollouts) == 1 else "are"


def _names(rollouts: Sequence[Rollout]) -> str:
    names = [rollout.workload.name for rollout in rollouts]
    return ", ".join(names[:_MOST_LINES]) + (
        f" and {len(names) - _MOST_LINES} more" if len(names) > _MOST_LINES else ""
    )


def _unused(kind: Kind) -> str:
    match kind:
        case Kind.FEED | Kind.MARKET:
            return f"no accepted Subscription refers to this {kind}, so nothing runs for it"
        case Kind.DATA_PLANE:
            return "it is not the DataPlane in use"
        case _:
            return "nothing runs for it"


def _data_flowing(case: Case) -> Verdict:
    kind = ConditionType.DATA_FLOWING
    if not case.rollouts:
        return Verdict(kind, FALSE, "NotUsed", _unused(case.kind))
    found = [current(reports) for reports in case.reports]
    reports = [report for report in found if report is not None]
    if not reports:
        standby = any(each.status.phase is Phase.STANDBY for several in case.reports for each in several)
        reason, message = (
            ("Standby", "the workload stands by") if standby else ("NoReport", "no workload has reported yet")
        )
        return Verdict(kind, UNKNOWN, reason, message)
    problems = [problem for report in reports for problem in report.status.problems]
    if problems:
        return Verdict(kind, FALSE, "Trouble", _joined(problems))
    streaming = [report.status.figures.get("streaming") for report in reports]
    if any(value == 0 for value in streaming if value is not None):
        return Verdict(kind, FALSE, "Connecting", "the connection to the provider is being made")
    if not any((report.status.figures.get("events_total") or 0) > 0 for report in reports):
        return Verdict(kind, FALSE, "NoEvents", "no event has come yet")
    return Verdict(kind, TRUE, "Flowing", "events come")


def _paused(case: Case) -> Verdict:
    if case.is_paused:
        return Verdict(
            ConditionType.PAUSED, TRUE, "Paused", "the operator leaves it alone: scanplane.io/paused is true"
        )
    return Verdict(ConditionType.PAUSED, FALSE, "NotPaused", "the operator reconciles it")


def _ready(case: Case, accepted: Verdict, progressing: Verdict) -> Verdict:
    """Ready is about the newest generation: one that is not accepted is not ready, whatever goes on in its place."""
    kind = ConditionType.READY
    if accepted.status is not TRUE:
        return Verdict(kind, FALSE, accepted.reason, accepted.message)
    if not case.rollouts:
        return Verdict(kind, TRUE, "NotUsed", _unused(case.kind))
    if not case.moving:
        return Verdict(kind, TRUE, "RolledOut", f"accepted, and {_names(case.rollouts)} {_runs(case.rollouts)} it")
    return Verdict(kind, FALSE, progressing.reason, progressing.message)


def _runs(rollouts: Sequence[Rollout]) -> str:
    return "runs" if len(rollouts) == 1 else "run"
