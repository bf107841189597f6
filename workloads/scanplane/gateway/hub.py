"""Who gets what: topics, their newest version, and the clients that each one goes to.

A version of a topic is encoded once, as a finished frame, and only if somebody wants it; every client gets the same
bytes. Which clients a topic goes to is worked out when a topic or a subscription appears, never per message: the original matched
each message by the channel it came on instead of the pattern that was asked for, and lost every wildcard.
No I/O happens here: a client is told by ``wake`` that something waits for it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from scanplane.gateway.conflation import Outbox
from scanplane.gateway.freshness import Freshness
from scanplane.gateway.protocol import Removed, TopicMessage, encode_frame
from scanplane.gateway.topics import Pattern

__all__ = ["MAX_TOPICS", "Hub", "HubCounts", "Subscriber", "Topic"]

MAX_TOPICS = 20_000
_SNAPSHOT_KEPT_NS = 500_000_000

Judge = Callable[[], Freshness | None]


class HubCounts(Struct, kw_only=True):
    """Totals of what was handed to clients."""

    published: int = 0
    offered: int = 0
    overflows: int = 0
    topics_refused: int = 0


class Subscriber(Protocol):
    """A client as the hub sees it."""

    outbox: Outbox

    def wake(self) -> None:
        """Something waits in the outbox."""
        ...

    def overflow(self) -> None:
        """An event did not fit: disconnect."""
        ...


class Topic:
    """One topic: its newest content, how many versions there were, and who gets it."""

    __slots__ = (
        "_clock_ns",
        "_snapshot",
        "_snapshot_ns",
        "_update",
        "content",
        "judge",
        "name",
        "sequence",
        "subscribers",
    )

    def __init__(self, name: str, clock_ns: Callable[[], int]) -> None:
        self.name = name
        self.sequence = 0
        self.content: Any = None
        self.judge: Judge = _unjudged
        self.subscribers: dict[Subscriber, None] = {}
        self._clock_ns = clock_ns
        self._update = b""
        self._snapshot = b""
        self._snapshot_ns = 0

    def set(self, content: Any, judge: Judge) -> None:  # noqa: ANN401  # any struct that JSON can hold
        """Make *content* the newest version; *judge* says how fresh it is when asked."""
        self.content = content
        self.judge = judge
        self.sequence += 1
        self._update = b""
        self._snapshot = b""

    def message(self, kind: str) -> TopicMessage:
        """Return the newest version as a message."""
        return TopicMessage(
            type=kind, topic=self.name, sequence=self.sequence, freshness=self.judge(), data=self.content
        )

    def update_frame(self) -> bytes:
        """Return the newest version as an update; encoded once."""
        if not self._update:
            self._update = encode_frame(self.message("update"))
        return self._update

    def snapshot_frame(self) -> bytes:
        """Return the newest version as a snapshot; encoded anew when its freshness is older than half a second."""
        now_ns = self._clock_ns()
        if not self._snapshot or now_ns - self._snapshot_ns > _SNAPSHOT_KEPT_NS:
            self._snapshot = encode_frame(self.message("snapshot"))
            self._snapshot_ns = now_ns
        return self._snapshot


def _unjudged() -> None:
    return None


class Hub:
    """All topics and all subscriptions of one gateway."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self.topics: dict[str, Topic] = {}
        self.counts = HubCounts()
        self._clock_ns = clock_ns
        self._event_topics: set[str] = set()
        self._patterns: dict[Subscriber, dict[str, Pattern]] = {}

    @property
    def subscriptions(self) -> int:
        """How many subscriptions all clients have together."""
        return sum(len(patterns) for patterns in self._patterns.values())

    def add(self, client: Subscriber) -> None:
        """Let *client* subscribe from now on."""
        self._patterns[client] = {}

    def remove(self, client: Subscriber) -> None:
        """Forget *client*."""
        self._patterns.pop(client, None)
        for topic in self.topics.values():
            topic.subscribers.pop(client, None)

    def clients(self) -> list[Subscriber]:
        """Return every client."""
        return list(self._patterns)

    def patterns_of(self, client: Subscriber) -> list[str]:
        """Return what *client* asked for, in its order."""
        return list(self._patterns[client])

    def exact_topics(self, prefix: str) -> set[str]:
        """Return the topics below *prefix* that some client named exactly."""
        return {
            text
            for patterns in self._patterns.values()
            for text, pattern in patterns.items()
            if pattern.exact and text.startswith(prefix)
        }

    def match(self, client: Subscriber, patterns: Iterable[Pattern]) -> list[str]:
        """Add *patterns* to what *client* wants; return the topics that it did not get before, sorted.

        The caller answers the client, and then calls :meth:`begin` for each of them.
        """
        added = list(patterns)
        wanted = self._patterns[client]
        wanted.update({pattern.text: pattern for pattern in added})
        return sorted(
            name
            for name, topic in self.topics.items()
            if client not in topic.subscribers and any(pattern.matches(name) for pattern in added)
        )

    def begin(self, client: Subscriber, names: Sequence[str]) -> None:
        """Send *client* the snapshots of the topics *names*, and what follows on them."""
        for name in names:
            topic = self.topics[name]
            topic.subscribers[client] = None
            self._send_snapshot(client, topic)

    def leave(self, client: Subscriber, texts: Iterable[str]) -> None:
        """Take patterns away from *client*, by their texts; one that it does not have is passed over."""
        wanted = self._patterns[client]
        for text in texts:
            wanted.pop(text, None)
        for name, topic in self.topics.items():
            if client in topic.subscribers and not any(pattern.matches(name) for pattern in wanted.values()):
                del topic.subscribers[client]
                client.outbox.forget(topic)

    def publish(self, name: str, content: Any, judge: Judge) -> None:  # noqa: ANN401  # any struct that JSON can hold
        """Make *content* the newest version of the topic *name*, and tell its clients."""
        topic = self._ensure(name)
        if topic is None:
            return
        is_first = topic.sequence == 0
        topic.set(content, judge)
        self.counts.published += 1
        self.counts.offered += len(topic.subscribers)
        for client in topic.subscribers:
            if client.outbox.add_latest(topic, is_first):
                client.wake()

    def publish_event(self, name: str, event: Any, judge: Judge, recent: Callable[[], Sequence[Any]]) -> None:  # noqa: ANN401  # as above
        """Send *event* to every client of the topic *name*; *recent* returns what a new client sees, this event included."""
        is_new = name not in self.topics
        topic = self._ensure(name)
        if topic is None:
            return
        if is_new:
            self._begin_events(topic, recent)
        topic.sequence += 1
        topic.content = recent
        topic.judge = judge
        message = TopicMessage(type="signal", topic=name, sequence=topic.sequence, freshness=judge(), data=event)
        frame = encode_frame(message) if topic.subscribers else b""
        self.counts.published += 1
        self.counts.offered += len(topic.subscribers)
        for client in list(topic.subscribers):
            self._send_event(client, frame)

    def restore_events(self, name: str, judge: Judge, recent: Callable[[], Sequence[Any]]) -> None:
        """Make a topic of events known whose history was read: clients begin with what *recent* returns."""
        topic = self._ensure(name)
        if topic is None:
            return
        topic.content = recent
        topic.judge = judge
        topic.sequence = len(recent())
        self._event_topics.add(name)
        for client in list(topic.subscribers):
            self._send_snapshot(client, topic)

    def broadcast(self, message: Struct) -> None:
        """Send *message* to every client."""
        frame = encode_frame(message)
        for client in self.clients():
            self._send_event(client, frame)

    def drop_topic(self, name: str) -> None:
        """Forget a topic that is gone, and tell its clients."""
        topic = self.topics.pop(name, None)
        self._event_topics.discard(name)
        if topic is None:
            return
        frame = encode_frame(Removed(topic=name))
        for client in list(topic.subscribers):
            client.outbox.forget(topic)
            self._send_event(client, frame)

    def _ensure(self, name: str) -> Topic | None:
        topic = self.topics.get(name)
        if topic is not None:
            return topic
        if len(self.topics) >= MAX_TOPICS:
            self.counts.topics_refused += 1
            return None
        topic = self.topics[name] = Topic(name, self._clock_ns)
        for client, patterns in self._patterns.items():
            if any(pattern.matches(name) for pattern in patterns.values()):
                topic.subscribers[client] = None
        return topic

    def _begin_events(self, topic: Topic, recent: Callable[[], Sequence[Any]]) -> None:
        """Give clients that waited for a topic its empty snapshot, so that every topic begins with one."""
        self._event_topics.add(topic.name)
        topic.content = list
        for client in list(topic.subscribers):
            self._send_snapshot(client, topic)
        topic.content = recent

    def _send_snapshot(self, client: Subscriber, topic: Topic) -> None:
        if topic.name not in self._event_topics:
            if client.outbox.add_latest(topic, True):  # noqa: FBT003  # as above
                client.wake()
            return
        # The newest events are sent as they are now: what comes after them is sent as events, in order.
        message = TopicMessage(
            type="snapshot", topic=topic.name, sequence=topic.sequence, freshness=topic.judge(), data=topic.content()
        )
        self._send_event(client, encode_frame(message))

    def _send_event(self, client: Subscriber, frame: bytes) -> None:
        if client.outbox.add_event(frame):
            client.wake()
        else:
            self.counts.overflows += 1
            client.overflow()
