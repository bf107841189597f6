"""What a listener counts, over all its terms under the baton.

Pipeline, routers and publishers are made anew for each term. A loss that was counted in one of them must not vanish with it: that
is just what a lost baton leaves behind.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from scanplane.broker.interface import Publisher
from scanplane.listener.pipeline import Pipeline
from scanplane.listener.routing import Router

__all__ = ["StreamTotals"]


class StreamTotals:
    """The figures of the term that runs, and the totals of those before it."""

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None
        self._routers: Sequence[Router] = ()
        self._publishers: Mapping[str, Publisher] = {}
        self._before: Counter[str] = Counter()
        self._newest_ns = 0

    def begin(self, pipeline: Pipeline, routers: Sequence[Router], publishers: Mapping[str, Publisher]) -> None:
        """Count a new term."""
        self._pipeline, self._routers, self._publishers = pipeline, routers, publishers

    def end(self) -> None:
        """The term is over, its publishers are closed: what its routers still hold will not be sent."""
        if self._pipeline is None:
            return
        self._before.update(self._totals(self._pipeline))
        self._before["dropped_events_total"] += sum(router.held_events for router in self._routers)
        self._newest_ns = self._event_time_ns()
        self._pipeline, self._routers, self._publishers = None, (), {}

    def figures(self) -> dict[str, float]:
        """Return totals, and how things are at this moment; nothing before the first term."""
        if self._pipeline is None and not self._before:
            return {}
        totals = Counter(self._before)
        if self._pipeline is not None:
            totals.update(self._totals(self._pipeline))
        publishers = [publisher.counts for publisher in self._publishers.values()]
        return {
            **totals,
            "unconfirmed_batches": sum(counts.unconfirmed_batches for counts in publishers),
            "waiting_batches": sum(counts.waiting_batches for counts in publishers),
            "event_time_unix_seconds": self._event_time_ns() / 1e9,
        }

    def _event_time_ns(self) -> int:
        clocks = [router.clock for router in self._routers if router.clock is not None]
        return max((clock.newest_ns for clock in clocks), default=self._newest_ns)

    def _totals(self, pipeline: Pipeline) -> dict[str, int]:
        publishers = [publisher.counts for publisher in self._publishers.values()]
        clocks = [router.clock.counts for router in self._routers if router.clock is not None]
        return {
            "events_total": pipeline.events,
            "rejected_total": pipeline.rejected.total(),
            **{f"rejected_{_snake(reason)}_total": count for reason, count in pipeline.rejected.items()},
            "published_batches_total": sum(counts.published_batches for counts in publishers),
            "published_events_total": sum(counts.published_events for counts in publishers),
            "dropped_batches_total": sum(counts.dropped_batches for counts in publishers),
            "dropped_events_total": sum(counts.dropped_events for counts in publishers),
            "broker_reconnects_total": sum(counts.reconnects for counts in publishers),
            "not_subscribed_total": sum(router.counts.not_subscribed for router in self._routers),
            "ticks_total": sum(counts.ticks for counts in clocks),
            "late_events_total": sum(counts.late_events for counts in clocks),
            "refused_clock_jumps_total": sum(counts.refused_jumps for counts in clocks),
            "rewinds_total": sum(counts.rewinds for counts in clocks),
        }


def _snake(reason: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in reason).lstrip("_")
