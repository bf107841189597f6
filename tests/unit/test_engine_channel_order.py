"""Between two ticks a listener keeps the order within a channel, not between channels: no result may depend on that."""

from collections.abc import Sequence
from itertools import groupby

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Bar, Event, Quote, Trade
from support.engine_market import MINUTE_NS, SECOND_NS, a_board, a_signal, an_engine, features, new_york, run

OPEN_NS = new_york("2026-03-10 09:30")
NAN = float("nan")
CHANNELS = (Channel.TRADES, Channel.QUOTES, Channel.SECOND_AGGREGATES, Channel.MINUTE_AGGREGATES)
COLUMNS = ("price", "open", "high", "low", "high_of_day", "volume", "vwap", "volume_1m", "change_1m_percent", "bid")
SCANNERS = (
    a_board("volume", *COLUMNS, name="volume"),
    a_signal("new_high_of_day", name="highs"),
    a_signal("crossed_above_vwap || crossed_below_vwap", name="crosses"),
)
LENGTHS = {Channel.SECOND_AGGREGATES: SECOND_NS, Channel.MINUTE_AGGREGATES: MINUTE_NS}
PRICES = st.sampled_from([9.5, 10.0, 10.25, 11.0])
VOLUMES = st.sampled_from([100.0, 250.0, 700.0])

Item = tuple[Channel, Event] | Tick


def a_bar(length_ns: int, end_ns: int, price: float, volume: float, accumulated: float) -> Bar:
    return Bar(
        symbol="BAC",
        exchange_ns=end_ns,
        start_ns=end_ns - length_ns,
        open=price,
        high=price + 0.25,
        low=price - 0.25,
        close=price,
        volume=volume,
        vwap=price,
        accumulated_volume=accumulated,
        official_open=NAN,
        session_vwap=price if accumulated > 0 else NAN,
    )


@st.composite
def streams(draw: st.DrawFn) -> list[Item]:
    """Some minutes after the open, with bars of both kinds that end together, late ones and corrected ones."""
    stream: list[Item] = []
    now_ns = OPEN_NS
    for _ in range(draw(st.integers(1, 5))):
        for channel in draw(st.lists(st.sampled_from(CHANNELS), max_size=6)):
            at_ns = now_ns - draw(st.sampled_from([0, 0, SECOND_NS, MINUTE_NS]))
            price, volume = draw(PRICES), draw(VOLUMES)
            event: Event
            if channel is Channel.TRADES:
                event = Trade("BAC", at_ns, price, volume)
            elif channel is Channel.QUOTES:
                event = Quote("BAC", at_ns, price, 100.0, price + 0.25, 100.0)
            else:
                accumulated = draw(st.sampled_from([NAN, 1000.0, 1100.0, 1700.0]))
                event = a_bar(LENGTHS[channel], at_ns, price, volume, accumulated)
            stream.append((channel, event))
        now_ns += draw(st.sampled_from([SECOND_NS, 31 * SECOND_NS, MINUTE_NS]))
        stream.append(Tick(now_ns))
    return stream


def results(stream: Sequence[Item], order: Sequence[Channel]) -> bytes:
    """Play *stream* with the channels between two ticks in *order*."""
    engine = an_engine(*SCANNERS)
    seen = []
    for is_tick, items in groupby(stream, key=lambda item: isinstance(item, Tick)):
        for item in sorted(items, key=lambda item: 0 if isinstance(item, Tick) else order.index(item[0])):
            if isinstance(item, Tick):
                evaluation = engine.tick(item)
                seen.append((evaluation.boards, evaluation.signals, engine.quotes()))
            else:
                assert not is_tick
                engine.apply(item[0], encode_events([item[1]]))
    return msgspec.json.encode(seen)


@settings(max_examples=300, deadline=None)
@given(stream=streams(), order=st.permutations(CHANNELS))
def test_the_order_of_channels_between_two_ticks_changes_nothing(stream: list[Item], order: list[Channel]) -> None:
    assert results(stream, order) == results(stream, CHANNELS)


def test_of_bars_that_end_together_the_minute_says_the_volume_and_a_second_that_is_corrected_later_does_not() -> None:
    end_ns = OPEN_NS + MINUTE_NS
    minute = (Channel.MINUTE_AGGREGATES, [a_bar(MINUTE_NS, end_ns, 10.0, 700.0, 1700.0)])
    incomplete_second = (Channel.SECOND_AGGREGATES, [a_bar(SECOND_NS, end_ns, 10.0, 50.0, 1650.0)])
    for steps in ([minute, incomplete_second], [incomplete_second, minute]):
        engine = an_engine()
        run(engine, [Tick(OPEN_NS), *steps, Tick(end_ns + SECOND_NS)])
        assert features(engine, "BAC")["volume"] == 1700.0


def test_a_window_that_begins_with_bars_of_both_kinds_counts_from_before_the_earlier_of_them() -> None:
    end_ns = OPEN_NS + MINUTE_NS
    minute = (Channel.MINUTE_AGGREGATES, [a_bar(MINUTE_NS, end_ns, 10.0, 700.0, 1700.0)])
    second = (Channel.SECOND_AGGREGATES, [a_bar(SECOND_NS, end_ns, 10.0, 100.0, 1700.0)])
    for steps in ([minute, second], [second, minute]):
        engine = an_engine()
        run(engine, [Tick(OPEN_NS), *steps, Tick(end_ns + SECOND_NS)])
        assert features(engine, "BAC")["volume_1m"] == 700.0
