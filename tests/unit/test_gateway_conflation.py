from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scanplane.gateway.conflation import Outbox


class Source:
    """A topic whose frames say what they are."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = 0

    def update_frame(self) -> bytes:
        return f"update {self.name} {self.version}".encode()

    def snapshot_frame(self) -> bytes:
        return f"snapshot {self.name} {self.version}".encode()


def test_a_newer_version_replaces_the_one_that_waits() -> None:
    outbox, topic = Outbox(1000), Source("a")
    for version in range(1, 6):
        topic.version = version
        outbox.add_latest(topic)
    assert outbox.take(1000) == [b"update a 5"]
    assert outbox.conflated == 4
    assert not outbox


def test_a_snapshot_that_waits_stays_a_snapshot_and_becomes_newer() -> None:
    outbox, topic = Outbox(1000), Source("a")
    outbox.add_latest(topic, snapshot=True)
    topic.version = 7
    outbox.add_latest(topic)
    assert outbox.take(1000) == [b"snapshot a 7"]


def test_events_come_before_what_can_be_replaced_and_in_their_order() -> None:
    outbox = Outbox(1000)
    outbox.add_latest(Source("a"))
    outbox.add_event(b"first")
    outbox.add_event(b"second")
    assert outbox.take(1000) == [b"first", b"second", b"update a 0"]


def test_an_event_that_does_not_fit_is_refused_and_not_queued() -> None:
    outbox = Outbox(10)
    assert outbox.add_event(b"123456")
    assert not outbox.add_event(b"12345")
    assert outbox.add_event(b"1234")
    assert outbox.take(100) == [b"123456", b"1234"]


def test_a_topic_that_is_not_wanted_any_more_is_not_sent() -> None:
    outbox, topic = Outbox(1000), Source("a")
    outbox.add_latest(topic)
    outbox.forget(topic)
    assert outbox.take(1000) == []


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1), st.integers(1, 50))
def test_pieces_are_bounded_and_nothing_is_lost(frames: list[bytes], piece: int) -> None:
    outbox = Outbox(10_000)
    for frame in frames:
        assert outbox.add_event(frame)
    taken: list[bytes] = []
    while outbox:
        some = outbox.take(piece)
        assert some
        assert sum(map(len, some[:-1])) < piece
        taken += some
    assert taken == frames
    assert outbox.waiting_bytes == 0


class StalledClient(RuleBasedStateMachine):
    """However the market moves, what a stalled client costs is bounded, and when it reads it gets the newest of everything."""

    @initialize()
    def begin(self) -> None:
        self.outbox = Outbox(100)
        self.topics = [Source(str(number)) for number in range(5)]
        self.events: list[bytes] = []
        self.due: set[str] = set()

    @rule(number=st.integers(0, 4))
    def publish(self, number: int) -> None:
        self.topics[number].version += 1
        self.due.add(self.topics[number].name)
        self.outbox.add_latest(self.topics[number])

    @rule(size=st.integers(1, 60))
    def send_event(self, size: int) -> None:
        frame = bytes([len(self.events) % 256]) * size
        fits = sum(map(len, self.events)) + size <= 100
        assert self.outbox.add_event(frame) == fits
        if fits:
            self.events.append(frame)

    @precondition(lambda self: self.events or self.due)
    @rule(piece=st.integers(1, 200))
    def read(self, piece: int) -> None:
        for frame in self.outbox.take(piece):
            if self.events:
                assert frame == self.events.pop(0)
            else:
                _, name, version = frame.decode().split()
                assert int(version) == self.topics[int(name)].version
                self.due.remove(name)

    @invariant()
    def costs_are_bounded(self) -> None:
        assert self.outbox.waiting_bytes == sum(map(len, self.events)) <= 100
        assert self.outbox.waiting_topics == len(self.due) <= 5


TestStalledClient = StalledClient.TestCase
