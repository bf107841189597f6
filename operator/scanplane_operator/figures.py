"""Live figures for status, from what pods say of themselves. Pure.

A figure that cannot be told now (no report, or a first one where a rate takes two) keeps what the status says already. The
status is written when a figure is noticeably different, or a minute after the last time if it is different at all: an idle
cluster is not written to, and a busy one not for every blink.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scanplane.telemetry.status import Phase
from scanplane_operator.observed import PodReport

__all__ = [
    "Figures",
    "current",
    "feed_figures",
    "gateway_figures",
    "is_noticeable",
    "market_figures",
    "scanner_figures",
    "subscription_figures",
]

Figures = dict[str, Any]
"""Fields of a status by their JSON names."""

Reports = Mapping[str, tuple[PodReport, ...]]

_SESSIONS = {0.0: "closed", 1.0: "premarket", 2.0: "regular", 3.0: "postmarket"}
_TROUBLES = frozenset(
    {"reconnectsTotal", "rejectedEventsTotal", "droppedEventsTotal", "lostBatchesTotal", "unacknowledgedTopics"}
)
"""Counts of what went wrong: a change is written at once."""
_TEXTS_AT_ONCE = frozenset({"connection", "session"})
_NOTICEABLE = 0.2


def current(reports: Sequence[PodReport]) -> PodReport | None:
    """Return the newest report of the pod that works now: the active one of the greatest generation."""
    active = [each for each in reports if each.status.phase is Phase.ACTIVE]
    return max(active, key=lambda each: (each.status.generation, each.taken_ns), default=None)


def _rate(reports: Sequence[PodReport], figure: str) -> int | None:
    """Return by how much a total grew each second between the last two reports of the pod that works now."""
    now = current(reports)
    if now is None:
        return None
    before = next((each for each in reports if each.pod_uid == now.pod_uid and each.taken_ns < now.taken_ns), None)
    new, old = now.status.figures.get(figure), None if before is None else before.status.figures.get(figure)
    if before is None or new is None or old is None or new < old:
        return None
    return round((new - old) * 1e9 / (now.taken_ns - before.taken_ns))


def _total(reports: Sequence[PodReport], figure: str) -> int | None:
    now = current(reports)
    value = None if now is None else now.status.figures.get(figure)
    return None if value is None else max(0, round(value))


def _known(figures: Figures) -> Figures:
    return {name: value for name, value in figures.items() if value is not None}


def _time(seconds: float | None) -> str | None:
    if not seconds or seconds <= 0:
        return None
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def feed_figures(reports: Sequence[PodReport]) -> Figures:
    """Return the figures of a Feed from its listener's reports."""
    now = current(reports)
    connects = _total(reports, "connects_total")
    streaming = _total(reports, "streaming")
    connection = None if now is None else "Streaming" if streaming else "Connecting"
    return _known(
        {
            "connection": "Standby" if now is None and reports else connection,
            "eventsPerSecond": _rate(reports, "events_total"),
            "lagP99Milliseconds": _total(reports, "receipt_to_publish_p99_ms"),
            "reconnectsTotal": None if connects is None else max(0, connects - 1),
            "rejectedEventsTotal": _total(reports, "rejected_total"),
            "droppedEventsTotal": _total(reports, "dropped_events_total"),
            "lastEventTime": None if now is None else _time(now.status.figures.get("event_time_unix_seconds")),
        }
    )


def market_figures(by_partition: Sequence[Sequence[PodReport]]) -> Figures:
    """Return the figures of a Market from the reports of its analyzers, one sequence for each."""
    figures = (now.status.figures for reports in by_partition if (now := current(reports)) is not None)
    session = next((_SESSIONS.get(each["session"]) for each in figures if "session" in each), None)
    return _known(
        {
            "session": session,
            "symbolCount": _sum(_total(reports, "symbols") for reports in by_partition),
            "eventsPerSecond": _sum(_rate(reports, "events_total") for reports in by_partition),
            "lagP99Milliseconds": _most(_total(reports, "tick_to_board_p99_ms") for reports in by_partition),
            "lostBatchesTotal": _sum(_total(reports, "missing_batches_total") for reports in by_partition),
        }
    )


def scanner_figures(name: str, by_partition: Sequence[Sequence[PodReport]]) -> Figures:
    """Return the figures of a Scanner from the reports of its market's analyzers."""

    def total(figure: str) -> int | None:
        found = [current(reports) for reports in by_partition]
        values = [None if now is None else now.status.scanners.get(name, {}).get(figure) for now in found]
        return _sum(None if value is None else round(value) for value in values)

    seen = [now.status.scanners.get(name, {}) for reports in by_partition if (now := current(reports)) is not None]
    last = max((figures.get("last_signal_unix_seconds", 0.0) for figures in seen), default=0.0)
    return _known({"matches": total("matches"), "signalsTotal": total("signals_total"), "lastSignalTime": _time(last)})


def subscription_figures(listener: Sequence[PodReport], by_partition: Sequence[Sequence[PodReport]]) -> Figures:
    """Return the figures of a Subscription that is the only one of its Feed and of its Market.

    Where several share a listener or the analyzers, none of them can say what is whose: a share would be a guess.
    """
    return _known(
        {
            "eventsPerSecond": _rate(listener, "published_events_total"),
            "symbolCount": _sum(_total(reports, "symbols") for reports in by_partition),
            "unacknowledgedTopics": _total(listener, "unacknowledged_topics"),
            "droppedEventsTotal": _total(listener, "dropped_events_total"),
        }
    )


def gateway_figures(reports: Sequence[PodReport]) -> Figures:
    """Return the figures of a DataPlane from its gateways' reports; every gateway works at the same time."""
    newest: dict[str, PodReport] = {}
    for report in reports:
        newest.setdefault(report.pod_uid, report)

    def total(figure: str) -> int | None:
        return _sum(
            None if (value := each.status.figures.get(figure)) is None else round(value) for each in newest.values()
        )

    return _known({"clientCount": total("clients"), "deliveriesPerSecond": total("deliveries_per_second")})


def _sum(values: Iterable[int | None]) -> int | None:
    """Return the sum; None if one of them is not known, since a part of a sum is a wrong number."""
    return _over(values, sum)


def _most(values: Iterable[int | None]) -> int | None:
    return _over(values, max)


def _over(values: Iterable[int | None], combine: Callable[[list[int]], int]) -> int | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return combine(known) if found and len(known) == len(found) else None


def is_noticeable(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a figure changed so much that somebody who looks should see it at once."""
    return any(_differs_noticeably(name, before.get(name), value) for name, value in after.items())


def _differs_noticeably(name: str, old: object, new: object) -> bool:
    if old == new:
        return False
    if old is None or name in _TROUBLES or name in _TEXTS_AT_ONCE:
        return True
    if isinstance(old, int) and isinstance(new, int):
        return abs(new - old) > max(1.0, _NOTICEABLE * max(old, new))
    return False  # instants move all the time
