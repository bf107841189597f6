"""The bookkeeping of a publisher loses nothing, repeats only what may have been lost, and counts the rest."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scanplane.broker.rabbitmq.window import SendWindow
from support.broker_contract import batch

WINDOW = 4
MAX_WAITING = 6


class WindowAgainstBroker(RuleBasedStateMachine):
    """A broker that takes, refuses, returns or vanishes; what it has must be in order and complete."""

    def __init__(self) -> None:
        super().__init__()
        self.window = SendWindow(WINDOW, MAX_WAITING)
        self.put = 0
        self.tag = 0
        self.on_the_way: dict[int, int] = {}
        self.delivered: list[int] = []
        self.queue_is_there = True

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.window.put(batch(self.put))
            self.put += 1

    @rule()
    def send_all(self) -> None:
        while (sent := self.window.take()) is not None:
            self.tag += 1
            self.window.sent(self.tag, sent)
            self.on_the_way[self.tag] = sent.batch.header.sequence

    @precondition(lambda self: self.on_the_way)
    @rule(answer=st.sampled_from(["confirm", "confirm", "refuse"]))
    def answer_the_oldest(self, answer: str) -> None:
        tag = min(self.on_the_way)
        sequence = self.on_the_way.pop(tag)
        if not self.queue_is_there:
            self.window.give_back(tag)
        elif answer == "confirm":
            self.delivered.append(sequence)
            self.window.confirm(tag)
        else:
            self.window.refuse(tag)

    @rule(had=st.integers(0, WINDOW))
    def lose_the_connection(self, had: int) -> None:
        """The broker had the first few of what was on its way, but its confirms are lost."""
        if self.queue_is_there:
            self.delivered += [self.on_the_way[tag] for tag in sorted(self.on_the_way)[:had]]
        self.on_the_way.clear()
        self.window.take_back()
        self.queue_is_there = True

    @rule()
    def delete_the_queue(self) -> None:
        if not self.on_the_way:
            self.queue_is_there = False

    @precondition(lambda self: self.window.must_declare)
    @rule()
    def declare_again(self) -> None:
        self.queue_is_there = True
        self.window.take_back()

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        counts = self.window.counts
        assert counts.unconfirmed_batches <= WINDOW + len(self.on_the_way)
        assert counts.waiting_batches <= MAX_WAITING
        assert len(self.on_the_way) <= WINDOW
        assert (
            counts.confirmed_batches + counts.dropped_batches + counts.unconfirmed_batches + counts.waiting_batches
            == self.put
        )
        assert counts.dropped_events == 100 * counts.dropped_batches
        assert counts.published_events == 100 * counts.published_batches

    @invariant()
    def first_deliveries_are_in_order(self) -> None:
        firsts = list(dict.fromkeys(self.delivered))
        assert firsts == sorted(firsts)

    @invariant()
    def settled_means_that_nothing_is_left(self) -> None:
        counts = self.window.counts
        assert self.window.settled == (counts.unconfirmed_batches + counts.waiting_batches == 0)


TestWindowAgainstBroker = WindowAgainstBroker.TestCase
TestWindowAgainstBroker.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_oldest_that_waits_is_dropped_and_what_is_on_its_way_is_kept() -> None:
    window = SendWindow(2, 3)
    for number in range(2):
        window.put(batch(number))
        sent = window.take()
        assert sent is not None
        window.sent(number + 1, sent)
    for number in range(2, 7):
        window.put(batch(number))
    assert window.take() is None
    assert window.counts.dropped_batches == 2
    window.take_back()
    order = []
    tag = 10
    while (again := window.take()) is not None:
        order.append(again.batch.header.sequence)
        tag += 1
        window.sent(tag, again)
        window.confirm(tag)
    assert order == [0, 1, 4, 5, 6]
    assert window.counts.resent_batches == 2


def test_what_is_abandoned_is_counted() -> None:
    window = SendWindow(1, 10)
    for number in range(3):
        window.put(batch(number))
    sent = window.take()
    assert sent is not None
    window.sent(1, sent)
    assert window.abandon() == 3
    assert window.counts.dropped_batches == 3
    assert window.settled
