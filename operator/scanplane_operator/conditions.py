"""Conditions as Kubernetes knows them: one of each type, a transition time that moves only when the status does. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from scanplane.resources.status import Condition, ConditionStatus, ConditionType

__all__ = ["Verdict", "merge_conditions", "transitions"]

_MAX_MESSAGE = 1000


class Verdict(Struct, frozen=True):
    """What is to be said of one condition now."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str


def merge_conditions(
    before: Sequence[Mapping[str, Any]], verdicts: Iterable[Verdict], generation: int, now: str
) -> list[Condition]:
    """Return the conditions to write: *before* are those of the live status, *now* is RFC 3339."""
    known = {condition.get("type"): condition for condition in before}
    return [
        Condition(
            type=verdict.type,
            status=verdict.status,
            observed_generation=generation,
            last_transition_time=_since(known.get(str(verdict.type)), verdict, now),
            reason=verdict.reason,
            message=" ".join(verdict.message.split())[:_MAX_MESSAGE],
        )
        for verdict in verdicts
    ]


def _since(before: Mapping[str, Any] | None, verdict: Verdict, now: str) -> str:
    if before is not None and before.get("status") == str(verdict.status):
        return str(before.get("lastTransitionTime") or now)
    return now


def transitions(before: Sequence[Mapping[str, Any]], after: Iterable[Condition]) -> list[Condition]:
    """Return the conditions whose status or reason changed: what an event is worth."""
    known = {condition.get("type"): condition for condition in before}
    changed: list[Condition] = []
    for condition in after:
        old = known.get(str(condition.type)) or {}
        if (old.get("status"), old.get("reason")) != (str(condition.status), condition.reason):
            changed.append(condition)
    return changed
