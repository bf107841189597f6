import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.streams import StreamReader

from scanplane.gateway import hub as hub_module
from scanplane.gateway.conflation import Outbox
from scanplane.gateway.hub import Hub
from scanplane.gateway.topics import parse_pattern


def messages_in(data: bytes) -> list[dict[str, Any]]:
    """Read the text frames of a server."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    messages = []
    while True:
        parser = Frame.parse(reader.read_exact, mask=False)
        try:
            next(parser)
        except StopIteration as done:
            messages.append(json.loads(bytes(done.value.data)))
        except EOFError:
            return messages


class Client:
    """A subscriber that reads when it is told to."""

    def __init__(self, hub: Hub, *patterns: str, max_bytes: int = 100_000) -> None:
        self.outbox = Outbox(max_bytes)
        self.woken = 0
        self.dropped = False
        self.messages: list[dict[str, Any]] = []
        self._hub = hub
        hub.add(self)
        self.subscribe(*patterns)

    def subscribe(self, *patterns: str) -> list[str]:
        topics = self._hub.match(self, [parse_pattern(text) for text in patterns])
        self._hub.begin(self, topics)
        return topics

    def wake(self) -> None:
        self.woken += 1

    def overflow(self) -> None:
        self.dropped = True

    def read(self) -> list[dict[str, Any]]:
        new = messages_in(b"".join(self.outbox.take(1_000_000)))
        self.messages += new
        return new

    def seen(self, topic: str) -> list[tuple[str, int]]:
        self.read()
        return [(message["type"], message["sequence"]) for message in self.messages if message["topic"] == topic]


def no_freshness() -> None:
    return None


def new_hub() -> Hub:
    return Hub(lambda: 0)


def test_a_wildcard_subscriber_receives_everything_that_matches_and_nothing_else() -> None:
    hub = new_hub()
    everything, market, exact, other = (
        Client(hub, "*"),
        Client(hub, "boards/us-stocks/*"),
        Client(hub, "boards/us-stocks/a"),
        Client(hub, "boards/crypto/*"),
    )
    for topic in ("boards/us-stocks/a", "boards/us-stocks/b", "boards/crypto/a", "status/gateway"):
        hub.publish(topic, {"of": topic}, no_freshness)
    assert [message["topic"] for message in everything.read()] == [
        "boards/us-stocks/a",
        "boards/us-stocks/b",
        "boards/crypto/a",
        "status/gateway",
    ]
    assert [message["topic"] for message in market.read()] == ["boards/us-stocks/a", "boards/us-stocks/b"]
    assert [message["topic"] for message in exact.read()] == ["boards/us-stocks/a"]
    assert [message["topic"] for message in other.read()] == ["boards/crypto/a"]


def test_overlapping_patterns_deliver_a_message_once() -> None:
    hub = new_hub()
    client = Client(hub, "*", "boards/*", "boards/m/*", "boards/m/a")
    hub.publish("boards/m/a", 1, no_freshness)
    assert len(client.read()) == 1


def test_a_topic_begins_with_a_snapshot_whether_it_was_there_before_the_client_or_not() -> None:
    hub = new_hub()
    early = Client(hub, "boards/*")
    hub.publish("boards/m/a", 1, no_freshness)
    early.read()
    hub.publish("boards/m/a", 2, no_freshness)
    early.read()
    late = Client(hub, "boards/*")
    late.read()
    hub.publish("boards/m/a", 3, no_freshness)
    assert early.seen("boards/m/a") == [("snapshot", 1), ("update", 2), ("update", 3)]
    assert late.seen("boards/m/a") == [("snapshot", 2), ("update", 3)]


def test_clients_share_the_bytes_of_a_version() -> None:
    hub = new_hub()
    one, other = Client(hub, "*"), Client(hub, "*")
    hub.publish("boards/m/a", 1, no_freshness)
    for client in (one, other):
        client.read()
    hub.publish("boards/m/a", 2, no_freshness)
    assert one.outbox.take(1)[0] is other.outbox.take(1)[0]


def test_a_signal_reaches_everybody_after_a_snapshot_of_the_earlier_ones() -> None:
    hub = new_hub()
    signals: list[int] = []

    def fire(number: int) -> None:
        signals.append(number)
        hub.publish_event("signals/m/a", number, no_freshness, lambda: list(signals))

    early = Client(hub, "signals/*")
    fire(1)
    fire(2)
    late = Client(hub, "signals/m/a")
    fire(3)
    assert early.seen("signals/m/a") == [("snapshot", 0), ("signal", 1), ("signal", 2), ("signal", 3)]
    assert late.seen("signals/m/a") == [("snapshot", 2), ("signal", 3)]
    assert late.messages[0]["data"] == [1, 2]


def test_a_history_that_was_read_is_the_first_that_a_client_sees() -> None:
    hub = new_hub()
    waiting = Client(hub, "signals/*")
    hub.restore_events("signals/m/a", no_freshness, lambda: [1, 2, 3])
    late = Client(hub, "signals/*")
    for client in (waiting, late):
        assert client.seen("signals/m/a") == [("snapshot", 3)]
        assert client.messages[0]["data"] == [1, 2, 3]


def test_a_client_for_whom_a_signal_does_not_fit_is_dropped_and_counted_and_the_others_get_it() -> None:
    hub = new_hub()
    slow, quick = Client(hub, "*", max_bytes=600), Client(hub, "*")
    for number in range(20):
        hub.publish_event("signals/m/a", number, no_freshness, list)
        quick.read()
    assert slow.dropped
    assert hub.counts.overflows > 0
    assert [number for kind, number in quick.seen("signals/m/a") if kind == "signal"] == list(range(1, 21))


def test_unsubscribing_ends_what_no_other_pattern_asks_for() -> None:
    hub = new_hub()
    client = Client(hub, "boards/m/*", "boards/m/a")
    hub.publish("boards/m/a", 1, no_freshness)
    hub.publish("boards/m/b", 1, no_freshness)
    hub.leave(client, ["boards/m/*", "never/asked"])
    hub.publish("boards/m/b", 2, no_freshness)
    assert [message["topic"] for message in client.read()] == ["boards/m/a"]


def test_a_client_that_left_is_forgotten() -> None:
    hub = new_hub()
    client = Client(hub, "*")
    hub.publish("boards/m/a", 1, no_freshness)
    hub.remove(client)
    client.outbox.clear()
    hub.publish("boards/m/a", 2, no_freshness)
    assert not client.outbox
    assert hub.subscriptions == 0


def test_a_topic_that_is_gone_is_told_and_begins_with_a_snapshot_when_it_comes_back() -> None:
    hub = new_hub()
    client = Client(hub, "*")
    hub.publish("boards/m/a", 1, no_freshness)
    client.read()
    hub.drop_topic("boards/m/a")
    hub.publish("boards/m/a", 2, no_freshness)
    assert [message["type"] for message in client.read()] == ["removed", "snapshot"]


def test_topics_are_bounded_and_what_does_not_fit_is_counted(monkeypatch: Any) -> None:
    monkeypatch.setattr(hub_module, "MAX_TOPICS", 2)
    hub = new_hub()
    for name in "abc":
        hub.publish(f"boards/m/{name}", 1, no_freshness)
    assert len(hub.topics) == 2
    assert hub.counts.topics_refused == 1


@given(st.lists(st.sampled_from(["publish", "signal", "read", "join"]), max_size=60))
def test_sequences_never_repeat_nor_go_back_and_signals_never_jump(steps: Sequence[str]) -> None:
    hub = new_hub()
    fired: list[int] = []
    clients = [Client(hub, "*")]
    for step in steps:
        if step == "publish":
            hub.publish("boards/m/a", len(fired), no_freshness)
        elif step == "signal":
            fired.append(len(fired) + 1)
            hub.publish_event("signals/m/a", fired[-1], no_freshness, lambda: list(fired))
        elif step == "read":
            clients[0].read()
        else:
            clients.append(Client(hub, "*"))
    for client in clients:
        boards, signals = client.seen("boards/m/a"), client.seen("signals/m/a")
        for seen in (boards, signals):
            assert [kind for kind, _ in seen[:1]] in ([], ["snapshot"])
            assert all(kind != "snapshot" for kind, _ in seen[1:])
            numbers = [number for _, number in seen]
            assert numbers == sorted(set(numbers))
        numbers = [number for _, number in signals]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
        if "publish" in steps:
            assert boards[-1][1] == hub.topics["boards/m/a"].sequence
