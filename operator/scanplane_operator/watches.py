"""Whether kopf's watches are all there.

kopf does not begin a watch again whose task has ended by a mistake; it only logs it. Passes go on by resyncs, so that nothing
else would show it, but changes would come minutes late, and a new namespace never. The way back is a new process.
"""

import asyncio

__all__ = ["Watches"]

_PREFIX = "watcher for "
"""How kopf 1.45 names the task of each watch; a test holds it against the operator as it runs."""


class Watches:
    """Remembers which watches there were. ``look`` is called on the event loop now and then."""

    def __init__(self) -> None:
        self._seen: frozenset[str] = frozenset()
        self.ended: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return how many there have been."""
        return len(self._seen)

    def look(self) -> None:
        """Look which watches run now."""
        names = (task.get_name() for task in asyncio.all_tasks())
        running = frozenset(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
        self._seen |= running
        self.ended = tuple(sorted(self._seen - running))
