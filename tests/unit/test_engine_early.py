"""No share of a trading day is lost because its first tick came after it."""

import msgspec
import pytest

from scanplane.engine.early import EARLY, MAX_EARLY_EVENTS
from scanplane.engine.engine import Engine
from scanplane.listener.clock import EventClock
from scanplane.marketdata.batches import Tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Bar, Event, Quote, Trade
from scanplane.marketdata.partitions import Partition
from support.engine_market import MINUTE_NS, SECOND_NS, Step, an_engine, features, new_york, run

EVENING_NS = new_york("2013-10-08 19:00")
BEGIN_NS = new_york("2013-10-09 04:00")
NAN = float("nan")
EXTENDED = (12,)


def a_trade(at_ns: int, price: float = 10.0, size: float = 100.0, symbol: str = "X") -> Trade:
    return Trade(symbol, at_ns, price, size, EXTENDED)


def stored(engine: Engine) -> dict[str, bytes]:
    return {name: value for name, value in engine.snapshot().items() if value is not None}


def restored(fields: dict[str, bytes], partition: Partition = Partition(0, 1)) -> Engine:  # noqa: B008 # immutable
    engine = an_engine(partition=partition)
    engine.restore(fields)
    return engine


def test_what_another_feed_delivers_before_the_clocks_first_tick_of_the_day_counts() -> None:
    engine = an_engine()
    run(engine, [Tick(EVENING_NS), (Channel.TRADES, [a_trade(EVENING_NS + 1, 8.0)]), Tick(EVENING_NS + SECOND_NS)])
    run(engine, [(Channel.TRADES, [a_trade(BEGIN_NS + 1, 10.0, 50_000.0)]), Tick(BEGIN_NS - SECOND_NS)])
    assert features(engine, "X")["price"] == 8.0
    assert (engine.counts.waiting_early_events, engine.counts.early_events) == (1, 0)
    run(engine, [Tick(BEGIN_NS + 2 * SECOND_NS), (Channel.TRADES, [a_trade(BEGIN_NS + 3 * SECOND_NS, 9.0)])])
    run(engine, [Tick(BEGIN_NS + 4 * SECOND_NS)])
    known = features(engine, "X")
    assert (known["premarket_volume"], known["premarket_high"], known["price"]) == (50_100.0, 10.0, 9.0)
    assert (engine.counts.waiting_early_events, engine.counts.events[Channel.TRADES]) == (0, 3)


def test_every_channel_that_features_read_waits() -> None:
    steps: list[Step] = [
        (Channel.TRADES, [a_trade(BEGIN_NS + 1)]),
        (Channel.QUOTES, [Quote("X", BEGIN_NS + 1, 9.9, 1.0, 10.1, 1.0)]),
        (
            Channel.SECOND_AGGREGATES,
            [Bar("X", BEGIN_NS + SECOND_NS, BEGIN_NS, 10, 12, 9, 11, 500, 10, 700, NAN, 10.5)],
        ),
        (Channel.MINUTE_AGGREGATES, [Bar("X", BEGIN_NS + MINUTE_NS, BEGIN_NS, 10, 13, 9, 11, 500, 10, NAN, NAN, NAN)]),
        (Channel.INDEX_VALUES, []),
        (Channel.LIMIT_UP_LIMIT_DOWN, []),
    ]
    early, timely = an_engine(), an_engine()
    run(early, [Tick(EVENING_NS), *steps, Tick(BEGIN_NS), Tick(BEGIN_NS + SECOND_NS)])
    run(timely, [Tick(EVENING_NS), Tick(BEGIN_NS), *steps, Tick(BEGIN_NS + SECOND_NS)])
    assert features(early, "X") == features(timely, "X")
    assert {"price", "bid", "vwap", "premarket_high"} < features(early, "X").keys()


def test_a_bar_belongs_to_the_day_in_which_it_starts() -> None:
    engine = an_engine()
    starts = [BEGIN_NS - SECOND_NS, BEGIN_NS]
    bars = [Bar("X", at + SECOND_NS, at, 10, 10, 10, 10, 1, 10, 1, NAN, NAN) for at in starts]
    run(engine, [Tick(EVENING_NS), (Channel.SECOND_AGGREGATES, bars), Tick(BEGIN_NS - 1)])
    assert features(engine, "X")["price"] == 10
    assert engine.counts.waiting_early_events == 1


@pytest.mark.parametrize("interval_ns", [SECOND_NS // 4, 5 * SECOND_NS, 7 * SECOND_NS, 50 * MINUTE_NS])
@pytest.mark.parametrize("is_fresh", ["has a day before", "is fresh"])
def test_no_share_is_lost_whatever_the_interval_is(interval_ns: int, is_fresh: str) -> None:
    clock, engine = EventClock(interval_ns), an_engine()
    if is_fresh != "is fresh":
        run(engine, clock.place(Channel.TRADES, [a_trade(EVENING_NS)], EVENING_NS))
    for number in range(40):
        at_ns = BEGIN_NS + number * SECOND_NS + SECOND_NS // 2
        run(engine, clock.place(Channel.TRADES, [a_trade(at_ns)], at_ns + SECOND_NS))
    run(engine, [*clock.silence(BEGIN_NS + 7200 * SECOND_NS), Tick(BEGIN_NS + 7200 * SECOND_NS)])
    assert features(engine, "X")["premarket_volume"] == 4000.0
    assert engine.counts.early_events == 0


def test_what_comes_before_the_first_tick_of_all_belongs_to_its_own_day() -> None:
    engine = an_engine()
    run(engine, [(Channel.TRADES, [a_trade(BEGIN_NS + 1)]), Tick(BEGIN_NS - SECOND_NS)])
    assert features(engine, "X") == {"session": "closed"}
    run(engine, [Tick(BEGIN_NS + SECOND_NS)])
    assert features(engine, "X")["premarket_volume"] == 100.0
    assert engine.counts.day_resets == 1


def test_a_bad_time_is_refused_before_the_first_tick_as_after_it() -> None:
    engine = an_engine()
    with pytest.raises(msgspec.DecodeError):
        engine.apply(Channel.TRADES, msgspec.msgpack.encode([("X", 2**63, 10.0, 1.0)]))
    run(engine, [Tick(BEGIN_NS)])
    assert engine.counts.events[Channel.TRADES] == 0


def test_an_event_of_a_day_after_the_next_is_left_out_and_counted() -> None:
    engine = an_engine()
    late = new_york("2013-10-10 04:00")
    run(engine, [Tick(EVENING_NS), (Channel.TRADES, [a_trade(late), a_trade(late - 1)]), Tick(EVENING_NS + 1)])
    assert (engine.counts.early_events, engine.counts.waiting_early_events) == (1, 1)


def bodies(count: int, at_ns: int) -> list[list[Event]]:
    return [[a_trade(at_ns, size=1.0)] * 1000 for _ in range(count // 1000)]


def test_what_is_too_much_to_wait_is_left_out_and_counted_by_channel() -> None:
    engine = an_engine()
    run(engine, [Tick(EVENING_NS), *((Channel.TRADES, each) for each in bodies(MAX_EARLY_EVENTS + 2000, BEGIN_NS))])
    run(engine, [(Channel.QUOTES, [Quote("X", BEGIN_NS, 9.0, 1.0, 10.0, 1.0)])])
    assert (engine.counts.early_events, engine.counts.waiting_early_events) == (2000, MAX_EARLY_EVENTS + 1)
    run(engine, [Tick(BEGIN_NS)])
    assert (features(engine, "X")["volume"], features(engine, "X")["bid"]) == (MAX_EARLY_EVENTS, 9.0)


def test_a_first_tick_that_is_long_in_coming_costs_no_event() -> None:
    engine = an_engine()
    run(engine, [*((Channel.TRADES, each) for each in bodies(MAX_EARLY_EVENTS + 2000, EVENING_NS)), Tick(EVENING_NS)])
    assert features(engine, "X")["volume"] == MAX_EARLY_EVENTS + 2000
    assert (engine.counts.early_events, engine.counts.waiting_early_events) == (0, 0)


def test_a_restart_keeps_what_waits_and_the_saved_state_lets_go_of_it_with_the_day() -> None:
    engine = an_engine()
    run(engine, [Tick(EVENING_NS), *((Channel.TRADES, each) for each in bodies(3000, BEGIN_NS))])
    fields = stored(engine)
    assert len([name for name in fields if name.startswith(EARLY)]) == 3
    run(engine, [(Channel.TRADES, [a_trade(BEGIN_NS)])])
    changed = stored(engine)
    assert [name for name in changed if name.startswith(EARLY)] == [f"{EARLY}Trades:003"]
    again = restored(fields | changed)
    run(again, [Tick(BEGIN_NS)])
    assert features(again, "X")["volume"] == 3100.0
    run(engine, [Tick(BEGIN_NS)])
    for each in (engine, again):
        assert len([name for name, value in each.snapshot().items() if value is None and name.startswith(EARLY)]) == 4


def test_partitions_share_what_waits() -> None:
    engine = an_engine()
    symbols = [f"S{number}" for number in range(20)]
    run(engine, [Tick(EVENING_NS), (Channel.TRADES, [a_trade(BEGIN_NS, symbol=symbol) for symbol in symbols])])
    fields = stored(engine)
    found = []
    for index in range(3):
        part = restored(fields, Partition(index, 3))
        run(part, [Tick(BEGIN_NS)])
        found += [row.symbol for row in part.quotes() if row.values.get("volume") == 100.0]
    assert sorted(found) == sorted(symbols)


def test_a_recording_that_begins_again_forgets_what_waits() -> None:
    engine = an_engine()
    run(engine, [Tick(EVENING_NS), (Channel.TRADES, [a_trade(BEGIN_NS)])])
    run(engine, [Tick(EVENING_NS - SECOND_NS, rewound=True), Tick(BEGIN_NS)])
    assert engine.quotes() == []
    assert engine.counts.waiting_early_events == 0
