"""Which events of a resource are worth a pass: those of its spec, its annotations and its end, not those of its status.

The operator writes statuses itself, a thousand of them after one edit of a DataPlane; each comes back as an event. Passes
over nothing but one's own echo would keep the next edit waiting. Pure.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["ResourceNews"]

MAX_REMEMBERED = 100_000
"""A resource that is deleted while a watch is away is never said to be; what is forgotten costs one more pass."""


class ResourceNews:
    """Remembers what was last seen of each resource that is there: a few numbers for each."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many resources are remembered."""
        return len(self._seen)

    def is_news(self, event: str | None, body: Mapping[str, Any]) -> bool:
        """Whether an event says something new; *event* is ADDED, MODIFIED, DELETED, or None for a listing."""
        metadata = body["metadata"]
        uid = str(metadata.get("uid"))
        if event == "DELETED":
            self._seen.pop(uid, None)
            return True
        annotations = metadata.get("annotations") or {}
        seen = hash((metadata.get("generation"), metadata.get("deletionTimestamp"), tuple(sorted(annotations.items()))))
        before = self._seen.pop(uid, None)
        self._seen[uid] = seen
        while len(self._seen) > MAX_REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
        return before != seen
