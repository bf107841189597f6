"""What waits for one client, and how a slow one is kept from costing anybody else.

There are two kinds of message. A *latest* (board, quote, status) replaces the one before it, so the outbox remembers only
that the topic is due: the bytes are looked up when the socket takes them, newest version first, and are shared by all clients. A
stalled client therefore costs one entry per topic, whatever the market does. An *event* (a signal, an answer to the
client) must not be left out: events wait in order, in bounded bytes, and a client for whom they no longer fit is
disconnected and counted, since a silent loss would look like a quiet market.
"""

from collections import deque
from typing import Protocol

__all__ = ["LatestSource", "Outbox"]


class LatestSource(Protocol):
    """A topic that knows its newest version as a finished frame."""

    def update_frame(self) -> bytes:
        """Return the newest version as an update."""
        ...

    def snapshot_frame(self) -> bytes:
        """Return the newest version as the first that a client sees."""
        ...


class Outbox:
    """Frames and due topics of one client. Not thread-safe: one event loop uses it."""

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._events: deque[bytes] = deque()
        self._event_bytes = 0
        self._due: dict[LatestSource, bool] = {}
        self.conflated = 0

    def __bool__(self) -> bool:
        return bool(self._events or self._due)

    @property
    def waiting_events(self) -> int:
        """How many events wait."""
        return len(self._events)

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait that are this client's own cost: its events."""
        return self._event_bytes

    @property
    def waiting_topics(self) -> int:
        """How many topics have a version that the client has not seen."""
        return len(self._due)

    def add_event(self, frame: bytes) -> bool:
        """Queue an event; return False, queueing nothing, if it does not fit: disconnect the client then."""
        if self._event_bytes + len(frame) > self._max_event_bytes:
            return False
        self._events.append(frame)
        self._event_bytes += len(frame)
        return True

    def add_latest(self, topic: LatestSource, snapshot: bool = False) -> bool:  # noqa: FBT001, FBT002  # the hot path: a keyword costs
        """Say that *topic* has a new version; the first one that a client sees is its snapshot.

        Return whether nothing waited before: whoever writes to the client has to be woken only then.
        """
        due = self._due
        if topic in due:
            self.conflated += 1
            return False
        was_empty = not due and not self._events
        due[topic] = snapshot
        return was_empty

    def forget(self, topic: LatestSource) -> None:
        """Leave out *topic*: the client no longer wants it."""
        self._due.pop(topic, None)

    def clear(self) -> None:
        """Drop everything, when the client is gone."""
        self._events.clear()
        self._due.clear()
        self._event_bytes = 0

    def take(self, max_bytes: int) -> list[bytes]:
        """Take the next frames, events first, until they are *max_bytes* or nothing waits. The last one may exceed it."""
        if not self._events and len(self._due) == 1:
            topic, snapshot = self._due.popitem()
            return [topic.snapshot_frame() if snapshot else topic.update_frame()]
        frames: list[bytes] = []
        taken = 0
        while self._events and taken < max_bytes:
            frame = self._events.popleft()
            self._event_bytes -= len(frame)
            taken += len(frame)
            frames.append(frame)
        while self._due and taken < max_bytes:
            topic = next(iter(self._due))
            frame = topic.snapshot_frame() if self._due.pop(topic) else topic.update_frame()
            taken += len(frame)
            frames.append(frame)
        return frames
