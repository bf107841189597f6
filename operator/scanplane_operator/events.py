"""Kubernetes events: said when something turns, never when it only goes on. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from scanplane.resources.common import API_VERSION
from scanplane.resources.status import Condition, ConditionStatus, ConditionType
from scanplane_operator.names import FIELD_MANAGER
from scanplane_operator.status import StatusChange

__all__ = ["events_of"]

_MAX_NOTE_BYTES = 1024
_TROUBLE = frozenset({"DeadlineExceeded", "RolledBack", "NameTaken", "WriteRefused", "InputMissing", "UnknownValue"})
_NEWS_OF_PROGRESS = _TROUBLE | {"WaitsForMarketClose", "WaitsForAnalyzers", "WorkloadPaused"}


def events_of(change: StatusChange, now: str, instance: str) -> list[dict[str, Any]]:
    """Return the events of one status change. *now* is RFC 3339 with microseconds, *instance* this operator's pod."""
    notes = [*_restarts(change), *_conditions(change)]
    return [
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "generateName": f"{change.key.name}-",
                "namespace": change.document["metadata"]["namespace"],
            },
            "eventTime": now,
            "reportingController": FIELD_MANAGER,
            "reportingInstance": instance,
            "action": "Reconcile",
            "reason": reason[:128],
            "regarding": _reference(change.document, change),
            "note": note.encode()[:_MAX_NOTE_BYTES].decode(errors="ignore"),
            "type": kind,
        }
        for kind, reason, note in notes
    ]


def _reference(document: Mapping[str, Any], change: StatusChange) -> dict[str, Any]:
    metadata = document["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": str(change.key.kind),
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }


def _restarts(change: StatusChange) -> Iterable[tuple[str, str, str]]:
    if change.restart is not None:
        reasons, message = change.restart
        yield "Normal", reasons.partition(",")[0], f"restarting: {message}"


def _conditions(change: StatusChange) -> Iterable[tuple[str, str, str]]:
    for condition in change.transitions:
        if _is_news(condition, change):
            yield "Warning" if _is_trouble(condition) else "Normal", condition.reason, condition.message


def _is_trouble(condition: Condition) -> bool:
    match condition.type:
        case ConditionType.ACCEPTED:
            return condition.reason not in {"Accepted", "Paused"}  # accepted with a remark is worth a look too
        case ConditionType.DATA_FLOWING:
            return condition.status is ConditionStatus.FALSE
        case _:
            return condition.reason in _TROUBLE


def _is_news(condition: Condition, change: StatusChange) -> bool:
    is_first = not (change.document.get("status") or {}).get("conditions")
    match condition.type:
        case ConditionType.ACCEPTED:
            return condition.reason != "Paused"  # condition Paused tells of it
        case ConditionType.PAUSED:
            return condition.status is ConditionStatus.TRUE or not is_first or condition.reason == "UnknownValue"
        case ConditionType.PROGRESSING:
            return condition.reason in _NEWS_OF_PROGRESS
        case ConditionType.READY:
            return condition.status is ConditionStatus.TRUE and condition.reason == "RolledOut"
        case ConditionType.DATA_FLOWING:
            return condition.status is not ConditionStatus.UNKNOWN and condition.reason not in {"NotUsed", "Connecting"}
        case _:
            return False
