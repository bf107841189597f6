"""When a board that changed is published: at once if it is whole, soon if partitions are missing, never too often.

The parts of one tick arrive within milliseconds of each other. Publishing each of them would show every client a torn
board first; so an incomplete board waits a moment for its other partitions, and a topic is published at most so often
a second, the newest version then standing for those before it. Both bounds are the same for every client, which is
what lets them share bytes.
"""

__all__ = ["INCOMPLETE_GRACE_NS", "PublishSchedule"]

INCOMPLETE_GRACE_NS = 100_000_000


class PublishSchedule:
    """Due times by topic name, on any monotonic clock in nanoseconds."""

    def __init__(self, max_per_second: float, grace_ns: int = INCOMPLETE_GRACE_NS) -> None:
        self._interval_ns = round(1_000_000_000 / max_per_second)
        self._grace_ns = grace_ns
        self._due_ns: dict[str, int] = {}
        self._changed_ns: dict[str, int] = {}
        self._published_ns: dict[str, int] = {}
        self._whole: set[str] = set()
        self.replaced = 0

    def mark(self, topic: str, *, whole: bool, now_ns: int) -> None:
        """Note that *topic* changed; *whole* says that nothing of this version is outstanding."""
        if topic in self._whole:
            self.replaced += 1
        if whole:
            self._whole.add(topic)
        else:
            self._whole.discard(topic)
        changed_ns = self._changed_ns.setdefault(topic, now_ns)
        wanted_ns = now_ns if whole else changed_ns + self._grace_ns
        allowed_ns = self._published_ns.get(topic, now_ns - self._interval_ns) + self._interval_ns
        self._due_ns[topic] = max(wanted_ns, allowed_ns)

    def take_due(self, now_ns: int) -> list[str]:
        """Return what is due, in the order of its first change, and note it as published now."""
        due = [topic for topic in self._changed_ns if self._due_ns[topic] <= now_ns]
        for topic in due:
            del self._due_ns[topic], self._changed_ns[topic]
            self._whole.discard(topic)
            self._published_ns[topic] = now_ns
        return due

    def next_due_ns(self) -> int | None:
        """Return when something is due next; None if nothing waits."""
        return min(self._due_ns.values(), default=None)

    def forget(self, topic: str) -> None:
        """Forget *topic*: it is gone."""
        for times in (self._due_ns, self._changed_ns, self._published_ns):
            times.pop(topic, None)
        self._whole.discard(topic)
