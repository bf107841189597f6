"""From decoded events to numbered batches."""

from collections import defaultdict

import msgspec
import pytest

from scanplane.listener import routing
from scanplane.listener.routing import MAX_BATCH_EVENTS, Router
from scanplane.marketdata.batches import Batch, decode_events, decode_tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Event, Trade
from scanplane.marketdata.partitions import partition_of
from support.routes import ROUTE

SECOND = 10**9
START = 1_381_219_200 * SECOND
RECEIVED = START + 3600 * SECOND


def trades(*pairs: tuple[str, int]) -> list[Event]:
    return [Trade(symbol, at, 1.0, 100) for symbol, at in pairs]


def shown(batch: Batch) -> tuple[object, ...]:
    header = batch.header
    if header.channel is None:
        return ("tick", header.partition.index, decode_tick(batch.body).tick_ns)
    return (
        header.channel,
        header.partition.index,
        [event.symbol for event in decode_events(header.channel, batch.body)],
    )


def test_events_are_held_until_a_flush_and_a_tick_flushes_them_first() -> None:
    sent: list[Batch] = []
    router = Router("massive", ROUTE, 7, sent.append)
    router.take(Channel.TRADES, trades(("A", START), ("B", START + 1)), RECEIVED)
    assert [shown(batch) for batch in sent] == [("tick", 0, START)]
    router.take(Channel.TRADES, trades(("C", START + SECOND)), RECEIVED + 1)
    assert [shown(batch) for batch in sent[1:]] == [(Channel.TRADES, 0, ["A", "B"]), ("tick", 0, START + SECOND)]
    router.flush()
    assert shown(sent[-1]) == (Channel.TRADES, 0, ["C"])
    assert not router.holds_events


def test_every_batch_of_a_partition_is_numbered_without_a_gap_and_carries_epoch_and_times() -> None:
    sent: list[Batch] = []
    router = Router("massive", msgspec.structs.replace(ROUTE, partitions=4), 7, sent.append)
    for step in range(20):
        router.take(
            Channel.TRADES, trades(*((f"S{index}", START + step * SECOND) for index in range(9))), RECEIVED + step
        )
    router.flush()
    by_partition: dict[int, list[Batch]] = defaultdict(list)
    for batch in sent:
        by_partition[batch.header.partition.index].append(batch)
    assert sorted(by_partition) == [0, 1, 2, 3]
    for index, batches in by_partition.items():
        assert [batch.header.sequence for batch in batches] == list(range(len(batches)))
        assert {batch.header.epoch for batch in batches} == {7}
        for batch in batches:
            if batch.header.channel is not None:
                events = decode_events(batch.header.channel, batch.body)
                assert {partition_of(event.symbol, 4) for event in events} == {index}
                assert batch.header.first_received_ns <= batch.header.last_received_ns


def test_the_next_router_counts_on_where_the_last_one_stopped() -> None:
    sent: list[Batch] = []
    first = Router("massive", msgspec.structs.replace(ROUTE, partitions=2), 7, sent.append)
    for step in range(3):
        first.take(Channel.TRADES, trades(("A", START + step * SECOND), ("B", START + step * SECOND)), RECEIVED)
    first.flush()
    second = Router("massive", first.route, 8, sent.append, state=first.state)
    second.take(Channel.TRADES, trades(("A", START + 3 * SECOND)), RECEIVED)
    second.flush()
    for index in (0, 1):
        headers = [batch.header for batch in sent if batch.header.partition.index == index]
        assert [header.sequence for header in headers] == list(range(len(headers)))
        assert {header.numbered_since for header in headers} == {7}
        started = next(header.sequence for header in headers if header.epoch == 8)
        assert {header.first_sequence for header in headers if header.epoch == 8} == {started}


def test_a_router_of_another_number_of_partitions_begins_to_count_anew() -> None:
    sent: list[Batch] = []
    first = Router("massive", msgspec.structs.replace(ROUTE, partitions=2), 7, sent.append)
    first.take(Channel.TRADES, trades(("A", START)), RECEIVED)
    second = Router("massive", ROUTE, 8, sent.append, state=first.state)
    second.take(Channel.TRADES, trades(("A", START + SECOND)), RECEIVED)
    header = sent[-1].header
    assert (header.sequence, header.numbered_since, header.first_sequence) == (0, 8, 0)


def test_all_partitions_get_the_same_ticks() -> None:
    sent: list[Batch] = []
    router = Router("massive", msgspec.structs.replace(ROUTE, partitions=3), 1, sent.append)
    for step in range(5):
        router.take(Channel.TRADES, trades(("A", START + step * SECOND)), RECEIVED)
    ticks = defaultdict(list)
    for batch in sent:
        if batch.header.channel is None:
            ticks[batch.header.partition.index].append(decode_tick(batch.body))
    assert len(ticks) == 3
    assert ticks[0] == ticks[1] == ticks[2]
    assert len(ticks[0]) == 5


def test_what_no_subscription_asked_for_is_counted_and_left_out() -> None:
    sent: list[Batch] = []
    route = msgspec.structs.replace(ROUTE, channels={Channel.TRADES: ("A",)}, stamps_ticks=False)
    router = Router("massive", route, 1, sent.append)
    router.take(Channel.TRADES, trades(("A", START), ("B", START)), RECEIVED)
    router.take(Channel.QUOTES, trades(("A", START)), RECEIVED)
    router.flush()
    assert [shown(batch) for batch in sent] == [(Channel.TRADES, 0, ["A"])]
    assert router.counts.not_subscribed == 2


@pytest.mark.parametrize("count", [MAX_BATCH_EVENTS - 1, MAX_BATCH_EVENTS, 3 * MAX_BATCH_EVENTS + 5])
def test_a_batch_is_bounded_and_loses_no_event(count: int) -> None:
    sent: list[Batch] = []
    router = Router("massive", msgspec.structs.replace(ROUTE, stamps_ticks=False), 1, sent.append)
    router.take(Channel.TRADES, trades(*((f"S{index}", START) for index in range(count))), RECEIVED)
    router.flush()
    assert max(batch.header.count for batch in sent) <= MAX_BATCH_EVENTS
    received = [event.symbol for batch in sent for event in decode_events(Channel.TRADES, batch.body)]
    assert received == [f"S{index}" for index in range(count)]


def test_the_trace_of_a_batch_is_asked_for_by_the_receipt_of_its_first_event() -> None:
    sent: list[Batch] = []
    router = Router("massive", ROUTE, 7, sent.append, traceparent=lambda received_ns: f"since {received_ns - RECEIVED}")
    router.take(Channel.TRADES, trades(("A", START)), RECEIVED + 1)
    router.take(Channel.TRADES, trades(("A", START + 1)), RECEIVED + 2)
    router.take(Channel.TRADES, trades(("A", START + SECOND)), RECEIVED + 3)
    assert [(batch.header.channel, batch.header.traceparent) for batch in sent] == [
        (None, "since 1"),
        (Channel.TRADES, "since 1"),
        (None, "since 3"),
    ]


def test_partitions_of_symbols_are_remembered_up_to_a_bound_and_stay_the_same_beyond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routing, "MAX_REMEMBERED_SYMBOLS", 5)
    sent: list[Batch] = []
    router = Router("massive", msgspec.structs.replace(ROUTE, partitions=4), 7, sent.append)
    for number in range(30):
        router.take(Channel.TRADES, trades((f"O:{number}", START), ("A", START)), RECEIVED)
        assert len(router._partition_of) <= 5
    router.flush()
    found = {
        event.symbol: batch.header.partition.index
        for batch in sent
        if batch.header.channel is not None
        for event in decode_events(batch.header.channel, batch.body)
    }
    assert found == {symbol: partition_of(symbol, 4) for symbol in [*(f"O:{number}" for number in range(30)), "A"]}
