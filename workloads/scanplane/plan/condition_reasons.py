"""What each condition says, and every reason that it can have: the operator says them, ``docs/resources.md`` lists them."""

from msgspec import Struct

from scanplane.plan.inventory import Reason
from scanplane.resources.kinds import Kind
from scanplane.resources.status import ConditionStatus, ConditionType

__all__ = ["CONDITIONS", "REASONS", "ConditionReason", "conditions_of"]

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


class ConditionReason(Struct, frozen=True):
    """One reason with the status that it goes with; *meaning* says what is the matter and what to do, as Markdown."""

    status: ConditionStatus
    reason: str
    meaning: str


CONDITIONS: dict[ConditionType, str] = {
    ConditionType.ACCEPTED: "The spec is valid and all it refers to is there. If not, the message has the place and what to "
    "write instead, and the version that was accepted last goes on.",
    ConditionType.AVAILABLE: "Pods of its workloads serve, of whichever version.",
    ConditionType.PROGRESSING: "Something is being rolled out or waits. If not, all is rolled out or something is in the way.",
    ConditionType.DATA_FLOWING: "Events come; if not, the message is what the workloads complain of.",
    ConditionType.PAUSED: "The operator leaves it alone.",
    ConditionType.READY: "Accepted and rolled out, of the generation that `observedGeneration` names. A closed market or a "
    "broker's hiccup does not touch it.",
}

_WITHOUT_DATA_FLOWING = frozenset({Kind.DATA_PLANE, Kind.SCANNER})


def conditions_of(kind: Kind) -> list[ConditionType]:
    """Return the conditions of a kind, in the order of its status."""
    return [each for each in CONDITIONS if each is not ConditionType.DATA_FLOWING or kind not in _WITHOUT_DATA_FLOWING]


_NO_DATA_PLANE = ConditionReason(
    UNKNOWN, "NoDataPlane", "Nothing is decided and nothing is touched before a DataPlane named `default` is accepted."
)
_NOT_USED = ConditionReason(
    FALSE, "NotUsed", "Nothing runs for it: no accepted Subscription refers to it, or it is not accepted itself."
)
_KEPT = "A Subscription of it is not accepted any more; what ran for it goes on as before. Mend the Subscription."
_NAME_TAKEN = ConditionReason(
    FALSE, "NameTaken", "An object of that name is there and not the operator's: rename or remove it."
)

_ACCEPTED = (
    ConditionReason(TRUE, Reason.ACCEPTED, "Nothing is wrong."),
    ConditionReason(
        TRUE,
        Reason.FEATURE_WITHOUT_DATA,
        "A Scanner asks for a feature that stays unknown: no Subscription of its Market takes the channel, or the Market has no "
        "such reference data. It runs all the same; `scanplane validate` prints a note.",
    ),
    ConditionReason(
        TRUE,
        Reason.REFERENCE_WITHOUT_PROVIDER,
        "Reference data of source `Provider` stays unknown: no Subscription brings data of provider Massive to the Market.",
    ),
    ConditionReason(TRUE, Reason.CHANNEL_WITHOUT_FEATURE, "A channel is taken of which no feature is made."),
    ConditionReason(TRUE, "Paused", "The version that was accepted last goes on while it is paused."),
    ConditionReason(UNKNOWN, "Paused", "It was paused before it was looked at."),
    ConditionReason(FALSE, "InvalidSpec", "A field is unknown, missing, or has a value that it cannot have."),
    ConditionReason(
        FALSE,
        Reason.INVALID_EXPRESSION,
        "A Scanner's expression cannot be read: `where:1:34 unknown feature 'gapp_percent'; did you mean gap_percent?`",
    ),
    ConditionReason(FALSE, Reason.UNKNOWN_FEATURE, "A board has a column that is no feature."),
    ConditionReason(
        FALSE, Reason.REFERENCE_NOT_FOUND, "There is no such Feed, Market, ConfigMap or key in it: make it."
    ),
    ConditionReason(FALSE, Reason.REFERENCE_NOT_ACCEPTED, "What it refers to is not accepted itself: mend that first."),
    ConditionReason(FALSE, Reason.SECRET_NOT_FOUND, "There is no such Secret, or no such key in it: make it."),
    ConditionReason(
        FALSE,
        Reason.REFERENCE_WITHOUT_PROVIDER,
        "`freeFloat` or `volumeCurve` is `Provider`, whose bulk data does not hold it: write `File` or `None`.",
    ),
    ConditionReason(
        FALSE, Reason.UNKNOWN_CALENDAR, "There is no such calendar: write an exchange's MIC such as XNYS, or 24/7."
    ),
    ConditionReason(
        FALSE,
        Reason.CONFLICTING_SESSIONS,
        "`sessions` begin after the calendar's open or end before its close, on some day: the message says what fits.",
    ),
    ConditionReason(
        FALSE, Reason.UNSUPPORTED_CHANNEL, "The Feed does not carry that channel for the Market's asset class."
    ),
    ConditionReason(
        FALSE, Reason.TOO_MANY_SYMBOLS, "The provider takes fewer symbols for that channel: name those that you need."
    ),
    ConditionReason(
        FALSE, Reason.CONFLICTING_DELIVERY, "Two Subscriptions to one Market contradict each other under `delivery`."
    ),
    ConditionReason(
        FALSE,
        Reason.CONFLICTING_ASSET_CLASS,
        "Two Subscriptions take different asset classes from one Feed: make a Feed for each.",
    ),
    ConditionReason(
        FALSE,
        Reason.OVERLAPPING_FEEDS,
        "Two Feeds would bring the same events to one Market, which would count them twice.",
    ),
    ConditionReason(
        FALSE,
        Reason.TOO_MANY_CONNECTIONS,
        "The account of the API key allows fewer connections for that asset class than there are Feeds.",
    ),
    ConditionReason(
        FALSE, Reason.SERVICE_REQUIRED, "A cluster needs a DataPlane named `default` with a broker and a cache."
    ),
    ConditionReason(FALSE, Reason.NOT_USED, "A DataPlane of another name than `default` is not used."),
)

_AVAILABLE = (
    ConditionReason(TRUE, "Serving", "At least one pod of each of its workloads is ready."),
    ConditionReason(FALSE, "NotAvailable", "No pod is ready; the message holds what the pods complain of."),
    ConditionReason(FALSE, "NoReplicas", "It was asked for no replicas."),
    _NAME_TAKEN,
    _NOT_USED,
    ConditionReason(UNKNOWN, "SubscriptionNotAccepted", _KEPT),
    _NO_DATA_PLANE,
)

_PROGRESSING = (
    ConditionReason(FALSE, "RolledOut", "Everything runs as asked."),
    ConditionReason(TRUE, "RollingOut", "Wait; the old pods serve meanwhile."),
    ConditionReason(
        TRUE, "WaitsForAnalyzers", "A new number of partitions: the listener moves once all new analyzers stand by."
    ),
    ConditionReason(
        TRUE, "WaitsForMarketClose", "`updatePolicy: MarketClosed`: a new image is rolled out after the close."
    ),
    ConditionReason(
        FALSE,
        "DeadlineExceeded",
        "The new pods do not get ready within two minutes; the message holds what they complain of. The old ones serve on.",
    ),
    ConditionReason(FALSE, "RolledBack", "Somebody ran `kubectl rollout undo`; the next change goes forward."),
    ConditionReason(FALSE, "WriteRefused", "The API server refused: a quota, a policy. The message is its own."),
    _NAME_TAKEN,
    ConditionReason(
        FALSE,
        "InputMissing",
        "A Secret or a file that the workload reads is gone; what runs goes on with what it has read, and is "
        "not restarted before it is back.",
    ),
    ConditionReason(FALSE, "WorkloadPaused", "The change needs a workload whose Feed or Market is paused."),
    ConditionReason(FALSE, "SubscriptionNotAccepted", _KEPT),
    _NO_DATA_PLANE,
)

_DATA_FLOWING = (
    ConditionReason(TRUE, "Flowing", "Events come."),
    ConditionReason(FALSE, "NoEvents", "No event has come yet."),
    ConditionReason(FALSE, "Connecting", "The connection to the provider is being made."),
    ConditionReason(FALSE, "Trouble", "The message is what the workloads complain of."),
    _NOT_USED,
    ConditionReason(UNKNOWN, "Standby", "The workload stands by; another one works, or will."),
    ConditionReason(UNKNOWN, "NoReport", "No workload has reported yet."),
    ConditionReason(UNKNOWN, "SubscriptionNotAccepted", _KEPT),
    _NO_DATA_PLANE,
)

_PAUSED = (
    ConditionReason(TRUE, "Paused", "The annotation `scanplane.io/paused` is `true`."),
    ConditionReason(FALSE, "NotPaused", "The operator reconciles it."),
    ConditionReason(
        FALSE,
        "UnknownValue",
        "The annotation is neither `true` nor `false` and pauses nothing: write `true`, or remove it.",
    ),
)

_READY = (
    ConditionReason(TRUE, "RolledOut", "Accepted, and its workloads are rolled out."),
    ConditionReason(TRUE, "NotUsed", "Accepted, and nothing runs for it, since no accepted Subscription refers to it."),
    ConditionReason(FALSE, "Paused", "A newer generation waits until it is paused no more."),
    ConditionReason(FALSE, "SubscriptionNotAccepted", _KEPT),
)

REASONS: dict[ConditionType, tuple[ConditionReason, ...]] = {
    ConditionType.ACCEPTED: _ACCEPTED,
    ConditionType.AVAILABLE: _AVAILABLE,
    ConditionType.PROGRESSING: _PROGRESSING,
    ConditionType.DATA_FLOWING: _DATA_FLOWING,
    ConditionType.PAUSED: _PAUSED,
    ConditionType.READY: _READY,
}
"""Ready has the reason of Accepted or Progressing besides, where one of those is what keeps it from being true."""
