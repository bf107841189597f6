"""Trades and bars of one symbol together: the newest says the price, and neither freezes the volume nor counts twice."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from scanplane.engine import Engine
from scanplane.marketdata.batches import Tick
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.events import Bar, Event, Trade
from support.engine_market import MINUTE_NS, SECOND_NS, Step, an_engine, features, new_york, round_the_clock, run

OPEN_NS = new_york("2026-03-10 09:30")
NAN = float("nan")
TRADES, SECONDS, MINUTES = Channel.TRADES, Channel.SECOND_AGGREGATES, Channel.MINUTE_AGGREGATES


def at(second: float) -> int:
    return OPEN_NS + round(second * SECOND_NS)


def tick(second: float) -> Tick:
    return Tick(at(second))


def traded(second: float, price: float = 10.0, size: float = 100.0) -> Step:
    conditions = (12,) if second < 0 else ()
    return TRADES, [Trade("AAA", at(second), price, size, conditions)]


def barred(
    start: float,
    close: float = 10.0,
    volume: float = 100.0,
    accumulated: float = NAN,
    vwap: float = NAN,
    length: int = 1,
) -> Step:
    figures = (close, close, close, close, volume, close, accumulated, NAN, vwap)
    bar = Bar("AAA", at(start + length), at(start), *figures)
    return (SECONDS if length == 1 else MINUTES), [bar]


def crypto() -> Engine:
    return an_engine(asset_class=AssetClass.CRYPTO, calendar=round_the_clock())


def seen(*steps: Step, engine: Engine | None = None) -> Mapping[str, object]:
    engine = engine or an_engine()
    run(engine, steps)
    return features(engine, "AAA")


def volumes(*steps: Step, engine: Engine | None = None, name: str = "volume") -> list[object]:
    """Return the volume at every tick at which the symbol is known."""
    engine = engine or an_engine()
    found = []
    for step in steps:
        run(engine, [step])
        if isinstance(step, Tick):
            found += [row.values.get(name) for row in engine.quotes(["AAA"])]
    return found


@pytest.mark.parametrize(
    ("steps", "price"),
    [
        ([traded(0.5, 10.0), barred(1, 20.0)], 20.0),  # began after the trade
        ([barred(1, 20.0), traded(0.5, 10.0)], 20.0),
        ([traded(1.5, 10.0), barred(1, 20.0)], 10.0),  # of the bar's own second the trade is exact
        ([traded(1.0, 10.0), barred(1, 20.0)], 10.0),
        ([traded(30, 10.0), barred(0, 20.0, length=60)], 10.0),
        (
            [traded(30, 10.0), barred(31, 20.0), barred(0, 21.0, length=60)],
            21.0,
        ),  # a minute that ends after that second
        ([traded(0.5, 10.0), barred(1, 20.0), traded(2.5, 30.0)], 30.0),
    ],
)
def test_the_newest_of_trade_and_bar_says_the_price(steps: list[Step], price: float) -> None:
    assert seen(tick(0), *steps, tick(61))["price"] == price


def test_price_and_volume_go_on_with_bars_after_a_symbol_left_the_trades_subscription() -> None:
    before = an_engine()
    run(before, [tick(0), traded(0.5, 10.0), tick(1)])
    after = an_engine()
    after.restore({name: field for name, field in before.snapshot().items() if field is not None})
    hours = 5 * 3600
    known = seen(barred(hours - 1, 20.0, accumulated=5e5, vwap=19.0), tick(hours), engine=after)
    assert (known["price"], known["high_of_day"], known["volume"], known["vwap"]) == (20.0, 20.0, 5e5, 19.0)


def test_volume_and_vwap_go_on_with_trades_after_the_bars_have_ended() -> None:
    trades = [traded(3600 + number / 10, 20.0, 10_000.0) for number in range(100)]
    steps = (tick(0), barred(0, 10.0, accumulated=5e5, vwap=10.0), tick(2), tick(3500), *trades, tick(3611))
    known = seen(*steps)
    assert (known["price"], known["volume"], known["volume_1m"]) == (20.0, 1.5e6, 1e6)
    assert known["vwap"] == pytest.approx((5e5 * 10 + 1e6 * 20) / 1.5e6)
    assert known["dollar_volume"] == pytest.approx(2.5e7)


def test_a_trade_adds_to_what_bars_without_accumulated_volume_sum_up_to() -> None:
    bars = [barred(60 * minute, 10.0, 1000.0, length=60) for minute in range(5)]
    known = seen(tick(0), *bars, tick(301), traded(302, 16.0, 1.0), tick(303), engine=crypto())
    assert known["volume"] == 5001.0
    assert known["vwap"] == pytest.approx((5000 * 10 + 16) / 5001)


def test_bars_that_began_later_than_trades_take_nothing_away() -> None:
    trades = [traded(second, 10.0, 50.0) for second in range(100)]
    bars = [barred(second, 12.0, 50.0) for second in range(95, 100)]
    steps = (tick(0), *trades, tick(100), *bars, tick(103), traded(104, 12.0, 50.0), tick(105))
    known = seen(*steps, engine=crypto())
    assert (known["volume"], known["vwap"]) == (5050.0, pytest.approx((5000 * 10 + 50 * 12) / 5050))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 2, 1)])
def test_volume_is_that_of_the_newest_bar_and_of_the_trades_from_its_end_on(order: tuple[int, ...]) -> None:
    """A bar comes after trades of the seconds that follow it; that somebody began to listen late changes nothing."""
    arrivals = (traded(1.9, size=7.0), traded(2.0, size=20.0), barred(1, accumulated=9000.0))
    assert seen(tick(1), *(arrivals[place] for place in order), tick(3))["volume"] == 9020.0
    assert volumes(tick(1), *(step for place in order for step in (arrivals[place], tick(4 + place))))[-1] == 9020.0


def test_a_trade_of_before_the_bars_end_that_comes_late_is_not_counted_twice() -> None:
    steps = (tick(1), barred(1, accumulated=9000.0), tick(4), traded(1.5), tick(5), traded(2.5), tick(6))
    assert volumes(*steps) == [9000.0, 9000.0, 9100.0]


def test_a_bar_that_is_sent_again_corrects_what_the_trades_after_it_add_to() -> None:
    steps = (tick(1), barred(1, accumulated=9000.0), traded(2.5), tick(4), barred(1, accumulated=8000.0), tick(5))
    assert volumes(*steps) == [9100.0, 8100.0]


def test_a_correction_of_long_ago_takes_away_what_it_took_away() -> None:
    steps = (
        tick(1),
        barred(1, accumulated=9000.0),
        tick(4),
        traded(300),
        tick(301),
        barred(1, accumulated=8000.0),
        tick(302),
    )
    assert volumes(*steps) == [9000.0, 9100.0, 8100.0]


def test_the_providers_figure_takes_over_again_when_bars_come_back() -> None:
    trades = [traded(second, size=10.0) for second in range(2, 100)]  # some were lost: the provider saw more
    steps = (tick(1), barred(1, accumulated=9000.0), tick(4), *trades, tick(100), traded(100.5, size=10.0))
    assert volumes(*steps, barred(99, accumulated=9990.0), tick(101)) == [9000.0, 9980.0, 10_000.0]


def test_where_trades_say_more_than_the_provider_counts_the_provider_is_right() -> None:
    steps = (tick(1), barred(0, accumulated=9000.0), tick(3), traded(3.5, size=100.0), tick(4))
    assert volumes(*steps, barred(3, accumulated=9060.0), tick(6)) == [9000.0, 9100.0, 9060.0]


def test_bars_of_a_delayed_feed_never_take_away_what_real_time_trades_know() -> None:
    """The bars are a minute behind: nobody can tell what the trades of that minute add to which of them."""
    steps: list[Step] = [tick(0)]
    for second in range(200):
        steps += [traded(second + 0.5, size=10.0), tick(second + 1)]
        if second >= 60:
            steps.append(barred(second - 60, volume=10.0, accumulated=10.0 * (second - 59)))
    assert volumes(*steps) == [10.0 * (second + 1) for second in range(200)]


def test_premarket_volume_goes_on_with_trades_and_ends_with_the_session() -> None:
    steps = (
        tick(-60), barred(-50, accumulated=700.0), tick(-47), traded(-20, size=5.0), tick(-10), traded(-0.5, size=6.0),
        traded(0.5, size=1000.0), tick(1), barred(-1, accumulated=711.0), tick(3),
    )  # fmt: skip
    assert volumes(*steps, name="premarket_volume") == [700.0, 705.0, 711.0, 711.0]
    assert volumes(*steps)[-2:] == [1711.0, 1711.0]


@pytest.mark.parametrize("older_first", [True, False])
def test_states_of_different_ticks_are_joined_without_mixing_up_their_seconds(*, older_first: bool) -> None:
    """The second of a trade that only the older state remembers has its place taken by a later one."""
    older, newer = an_engine(), an_engine()
    run(older, [tick(0), traded(1, size=50.0), tick(2)])
    run(newer, [tick(0), (TRADES, [Trade("BBB", at(1), 10.0, 70.0)]), tick(17)])
    joined = an_engine()
    for engine in (older, newer) if older_first else (newer, older):
        joined.restore({name: field for name, field in engine.snapshot().items() if field is not None})
    assert volumes(barred(16, accumulated=9000.0), tick(18), engine=joined) == [9000.0]


class Tape(Struct, frozen=True):
    """Trades of one symbol in their order, and the bars that a provider makes of them."""

    trades: tuple[Trade, ...]
    bars: Mapping[Channel, Sequence[Bar]]

    @property
    def volume(self) -> float:
        return sum(trade.size for trade in self.trades)


def bars_of(trades: Sequence[Trade], length_ns: int, *, accumulates: bool) -> list[Bar]:
    bars, accumulated, notional = [], 0.0, 0.0
    for start in sorted({trade.exchange_ns // length_ns * length_ns for trade in trades}):
        inside = [trade for trade in trades if 0 <= trade.exchange_ns - start < length_ns]
        prices, volume = [trade.price for trade in inside], sum(trade.size for trade in inside)
        accumulated += volume
        notional += sum(trade.price * trade.size for trade in inside)
        figures = (prices[0], max(prices), min(prices), prices[-1], volume, prices[-1])
        of_day = (accumulated, NAN, notional / accumulated) if accumulates else (NAN, NAN, NAN)
        bars.append(Bar("AAA", start + length_ns, start, *figures, *of_day))
    return bars


@st.composite
def tapes(draw: st.DrawFn) -> Tape:
    trades, now_ns = [], OPEN_NS
    for _ in range(draw(st.integers(1, 25))):
        now_ns += draw(st.sampled_from([1, SECOND_NS // 3, SECOND_NS, 3 * SECOND_NS, 25 * SECOND_NS]))
        price = draw(st.sampled_from([9.5, 10.0, 10.25, 11.0]))
        trades.append(Trade("AAA", now_ns, price, float(draw(st.integers(1, 500)))))
    accumulates = draw(st.booleans())
    kinds = draw(st.sampled_from([(SECONDS,), (MINUTES,), (SECONDS, MINUTES)]))
    lengths = {SECONDS: SECOND_NS, MINUTES: MINUTE_NS}
    return Tape(tuple(trades), {kind: bars_of(trades, lengths[kind], accumulates=accumulates) for kind in kinds})


@st.composite
def plays(draw: st.DrawFn) -> tuple[Tape, list[Step]]:
    """A tape with its channels interleaved in any way, each in its own order, with ticks anywhere between."""
    tape = draw(tapes())
    first = draw(st.sampled_from([0, 0, len(tape.trades) // 2]))  # somebody may listen to trades from the middle on
    queues: dict[Channel, list[Event]] = {TRADES: list(tape.trades[first:])}
    queues |= {kind: list(bars) for kind, bars in tape.bars.items()}
    steps: list[Step] = []
    now_ns = OPEN_NS
    while waiting := [channel for channel, queue in queues.items() if queue]:
        channel = draw(st.sampled_from(waiting))
        count = draw(st.integers(1, 4))
        steps.append((channel, queues[channel][:count]))
        del queues[channel][:count]
        if draw(st.booleans()):
            now_ns += draw(st.sampled_from([SECOND_NS // 4, SECOND_NS, 4 * SECOND_NS, 30 * SECOND_NS]))
            steps.append(Tick(now_ns))
    return tape, [*steps, Tick(now_ns + 3600 * SECOND_NS)]


@settings(max_examples=150, deadline=None)
@given(play=plays())
def test_any_interleaving_of_one_tape_ends_at_its_price_and_volume_and_no_volume_ever_falls(
    play: tuple[Tape, list[Step]],
) -> None:
    tape, steps = play
    engine = an_engine() if any(bar.accumulated_volume > 0 for bars in tape.bars.values() for bar in bars) else crypto()
    seen_volumes = [volume for volume in volumes(*steps, engine=engine) if isinstance(volume, float)]
    assert seen_volumes == sorted(seen_volumes)
    assert seen_volumes[-1] == tape.volume
    assert features(engine, "AAA")["price"] == tape.trades[-1].price


@settings(max_examples=60, deadline=None)
@given(tape=tapes(), lag=st.integers(0, 6), first=st.integers(0, 24), data=st.data())
def test_where_bars_come_a_few_seconds_late_volume_is_always_the_newest_bar_and_the_trades_from_its_end_on(
    tape: Tape, lag: int, first: int, data: st.DataObject
) -> None:
    bars = [bar for bar in tape.bars.get(SECONDS, ()) if bar.accumulated_volume > 0]
    arrivals: list[tuple[int, Channel, Event]] = [(trade.exchange_ns, TRADES, trade) for trade in tape.trades[first:]]
    arrivals += [(bar.exchange_ns + lag * SECOND_NS, SECONDS, bar) for bar in bars]
    arrivals.sort(key=lambda arrival: arrival[0])
    engine = an_engine()
    engine.tick(Tick(OPEN_NS))
    until_ns = OPEN_NS
    while arrivals:
        until_ns += data.draw(st.sampled_from([1, 4, 8])) * SECOND_NS // 4
        now = [arrival for arrival in arrivals if arrival[0] < until_ns]
        arrivals = arrivals[len(now) :]
        run(engine, [(channel, [event]) for _, channel, event in now])
        run(engine, [Tick(until_ns)])
        known = [bar for bar in bars if bar.exchange_ns + lag * SECOND_NS < until_ns]
        heard = [trade for trade in tape.trades[first:] if trade.exchange_ns < until_ns]
        base, end_ns = (known[-1].accumulated_volume, known[-1].exchange_ns) if known else (0.0, 0)
        expected = base + sum(trade.size for trade in heard if trade.exchange_ns >= end_ns)
        rows = engine.quotes(["AAA"])
        assert (rows[0].values.get("volume", 0.0) if rows else 0.0) == expected
