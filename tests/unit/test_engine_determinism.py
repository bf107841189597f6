"""The same events give the same bytes: in other batches, in partitions, and across restarts at any point."""

import functools
import math
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.engine import Engine, ReferenceData, StateMismatchError, SymbolReference
from scanplane.engine.state import LAYOUT_VERSION
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Bar, Event, Quote, Trade
from scanplane.marketdata.partitions import Partition, partition_of
from scanplane.marketdata.results import BoardPart, BoardRow, Signal
from scanplane.plan.configuration import ScannerConfiguration
from support.engine_market import (
    MINUTE_NS,
    SECOND_NS,
    a_board,
    a_signal,
    an_engine,
    new_york,
    real_trades,
    with_ticks,
)

OPEN_NS = new_york("2026-03-10 09:30")
NAN = float("nan")
SYMBOLS = [f"S{number}" for number in range(7)]
PRICES = st.sampled_from([9.5, 9.99, 10.0, 10.003, 10.5, 11.0, 12.25])
SIZES = st.sampled_from([0.1, 1.0, 100.0, 250.7, 1e6])
Item = tuple[Channel, Event] | Tick
Fields = dict[str, bytes]

SCANNERS = (
    a_board("volume", "price", "vwap", "change_1m_percent", "volume_1m", where="price > 9.9", limit=3, name="volume"),
    a_board("price", "high", "low", "open", "premarket_high", "bid", "spread_percent", descending=False, name="price"),
    a_signal("new_high_of_day", cooldown_ns=20 * SECOND_NS, name="highs"),
    a_signal("crossed_above_vwap || crossed_below_vwap", name="crosses"),
    a_signal(where="change_percent > 1.0 && volume > 200.0", cooldown_ns=30 * SECOND_NS, name="gainers"),
)
REFERENCE = ReferenceData(symbols={symbol: SymbolReference(previous_close=10.0) for symbol in SYMBOLS[:5]})


def an_event(draw: st.DrawFn, now_ns: int) -> tuple[Channel, Event]:
    symbol = draw(st.sampled_from(SYMBOLS))
    at = now_ns - draw(
        st.sampled_from([0, 0, 1, SECOND_NS, 90 * SECOND_NS, 20 * 3600 * SECOND_NS, -19 * 3600 * SECOND_NS])
    )
    price, size = draw(PRICES), draw(SIZES)
    kind = draw(st.sampled_from(["trade", "trade", "trade", "second", "minute", "quote"]))
    if kind == "trade":
        return Channel.TRADES, Trade(symbol, at, price, size, draw(st.sampled_from([(), (14,), (37,), (12,), (32,)])))
    if kind == "quote":
        return Channel.QUOTES, Quote(
            symbol, at, draw(st.sampled_from([NAN, price - 0.01])), 1.0, draw(st.sampled_from([NAN, price])), 1.0
        )
    length = SECOND_NS if kind == "second" else MINUTE_NS
    start = (at // length - draw(st.integers(0, 3))) * length
    accumulated = draw(st.sampled_from([NAN, 5e5, 1e6 + (start - OPEN_NS) / SECOND_NS]))
    vwap = draw(st.sampled_from([NAN, 10.0]))
    bar = Bar(
        symbol, start + length, start, price, price + 0.5, price - 0.5, price, size, price, accumulated, NAN, vwap
    )
    return Channel.SECOND_AGGREGATES if kind == "second" else Channel.MINUTE_AGGREGATES, bar


@st.composite
def streams(draw: st.DrawFn) -> list[Item]:
    """Half an hour around the open, with late, corrected, stale and early events, and sometimes the morning after."""
    now_ns = OPEN_NS - 60 * SECOND_NS
    stream: list[Item] = []
    for _ in range(draw(st.integers(1, 25))):
        stream += [an_event(draw, now_ns) for _ in range(draw(st.integers(0, 6)))]
        now_ns += draw(
            st.sampled_from([SECOND_NS // 4, 7 * SECOND_NS, 31 * SECOND_NS, 31 * SECOND_NS, 19 * 3600 * SECOND_NS])
        )
        stream.append(Tick(now_ns))
    return stream


def play(engine: Engine, stream: Sequence[Item], size: Callable[[], int]) -> bytes:
    """Feed the stream in batches of at most *size* events; return boards and signals as JSON."""
    results = bytearray()
    pending: list[Event] = []
    channel = Channel.TRADES

    def flush() -> None:
        if pending:
            engine.apply(channel, encode_events(pending))
            pending.clear()

    for item in stream:
        if isinstance(item, Tick):
            flush()
            evaluation = engine.tick(item)
            results += msgspec.json.encode([evaluation.boards, evaluation.signals, evaluation.changed]) + b"\n"
            continue
        if item[0] is not channel or len(pending) >= size():
            flush()
        channel = item[0]
        pending.append(item[1])
    flush()
    return bytes(results)


def fresh(*scanners: ScannerConfiguration, partition: Partition = Partition(0, 1)) -> Engine:  # noqa: B008 # immutable
    return an_engine(*(scanners or SCANNERS), reference=REFERENCE, partition=partition)


@settings(max_examples=150, deadline=None)
@given(stream=streams(), data=st.data())
def test_results_do_not_depend_on_how_events_are_grouped_into_batches(stream: list[Item], data: st.DataObject) -> None:
    one_by_one = play(fresh(), stream, lambda: 1)
    assert play(fresh(), stream, lambda: 1000) == one_by_one
    sizes = st.integers(1, 5)
    assert play(fresh(), stream, lambda: data.draw(sizes)) == one_by_one


def merged(parts: Sequence[bytes]) -> list[tuple[object, ...]]:
    """Merge the results of partitions line by line, as a gateway does."""
    lines = []
    for line in zip(*(part.splitlines() for part in parts), strict=True):
        ticks = [msgspec.json.decode(piece, type=tuple[list[BoardPart], list[Signal], list[str]]) for piece in line]
        boards = []
        for of_scanner in zip(*(boards for boards, _, _ in ticks), strict=True):
            first = of_scanner[0]
            rows: list[BoardRow] = sorted(
                (row for part in of_scanner for row in part.rows),
                key=lambda row: (-row.rank_value if first.descending else row.rank_value, row.symbol),  # used at once
            )
            boards.append((first.scanner, rows[: first.limit], sum(part.matches for part in of_scanner)))
        order = [scanner.name for scanner in SCANNERS]
        signals = [signal for _, signals, _ in ticks for signal in signals]
        signals.sort(key=lambda signal: (order.index(signal.scanner), signal.symbol))
        lines.append((boards, signals, sorted(name for _, _, changed in ticks for name in changed)))
    return lines


def routed(stream: Sequence[Item], partition: Partition) -> list[Item]:
    return [
        item
        for item in stream
        if isinstance(item, Tick) or partition_of(item[1].symbol, partition.count) == partition.index
    ]


@settings(max_examples=60, deadline=None)
@given(stream=streams())
def test_four_partitions_together_show_what_one_shows(stream: list[Item]) -> None:
    stream = [Tick(OPEN_NS - 61 * SECOND_NS), *stream]
    whole = merged([play(fresh(), stream, lambda: 100)])
    partitions = [Partition(index, 4) for index in range(4)]
    parts = [play(fresh(partition=partition), routed(stream, partition), lambda: 100) for partition in partitions]
    assert merged(parts) == whole


def store(engine: Engine, fields: Fields) -> None:
    """Do with a snapshot what the cache does."""
    for name, value in engine.snapshot().items():
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = value


@settings(max_examples=120, deadline=None)
@given(stream=streams(), data=st.data())
def test_a_restart_at_any_point_changes_nothing(stream: list[Item], data: st.DataObject) -> None:
    uninterrupted = play(fresh(), stream, lambda: 3)
    engine, fields, results = fresh(), Fields(), b""
    position = 0
    while position < len(stream):
        end = data.draw(st.integers(position + 1, len(stream)))
        results += play(engine, stream[position:end], lambda: 3)
        store(engine, fields)
        if data.draw(st.booleans()):
            engine = fresh()
            engine.restore(fields)
        position = end
    assert results == uninterrupted
    assert play_quotes(engine) == play_quotes(complete(stream))


def complete(stream: Sequence[Item]) -> Engine:
    engine = fresh()
    play(engine, stream, lambda: 3)
    return engine


def play_quotes(engine: Engine) -> bytes:
    return msgspec.json.encode(engine.quotes())


@settings(max_examples=40, deadline=None)
@given(stream=streams(), cut=st.floats(0, 1), before=st.sampled_from([1, 2, 3]), after=st.sampled_from([1, 2, 4]))
def test_another_number_of_partitions_goes_on_from_the_saved_states(
    stream: list[Item], cut: float, before: int, after: int
) -> None:
    stream = [Tick(OPEN_NS - 61 * SECOND_NS), *stream]
    ticks = [place for place, item in enumerate(stream) if isinstance(item, Tick)]
    middle = ticks[math.floor(cut * (len(ticks) - 1))] + 1
    states = []
    for index in range(before):
        partition = Partition(index, before)
        engine, fields = fresh(partition=partition), Fields()
        play(engine, routed(stream[:middle], partition), lambda: 3)
        store(engine, fields)
        states.append(fields)
    parts = []
    for index in range(after):
        partition = Partition(index, after)
        engine = fresh(partition=partition)
        for fields in states:
            engine.restore(fields)
        parts.append(play(engine, routed(stream[middle:], partition), lambda: 3))
    uninterrupted = fresh()
    play(uninterrupted, stream[:middle], lambda: 3)
    assert merged(parts) == merged([play(uninterrupted, stream[middle:], lambda: 3)])


def a_morning() -> list[Item]:
    trades: list[Item] = []
    for second in range(0, 100, 2):
        for place, symbol in enumerate(SYMBOLS):
            price = 10.0 + place * 0.1 + (second % 14) * 0.05
            at = OPEN_NS + second * SECOND_NS
            trades.append((Channel.TRADES, Trade(symbol, at, round(price, 2), 100.0)))
        trades.append(Tick(OPEN_NS + (second + 1) * SECOND_NS))
    return trades


def test_other_scanners_go_on_from_a_saved_state_and_only_new_ones_begin_anew() -> None:
    stream = a_morning()
    first, second = stream[: len(stream) // 2], stream[len(stream) // 2 :]
    engine, fields = fresh(), Fields()
    play(engine, first, lambda: 9)
    store(engine, fields)
    board_changed = a_board("price", limit=2, name="volume")
    added = a_signal(where="price > 10.0", name="added")
    changed = a_signal(where="change_percent > 0.5 && volume > 200.0", cooldown_ns=30 * SECOND_NS, name="gainers")
    other = fresh(added, SCANNERS[2], changed, board_changed, SCANNERS[3])
    other.restore(fields)
    at_once = other.tick(Tick(first[-1].tick_ns + 1 if isinstance(first[-1], Tick) else OPEN_NS + 50 * SECOND_NS))
    assert [signal.scanner for signal in at_once.signals] == []
    kept = {"highs", "crosses"}
    expected = [signal for signal in signals_of(play(engine, second, lambda: 9)) if signal.scanner in kept]
    actual = [signal for signal in signals_of(play(other, second, lambda: 9)) if signal.scanner in kept]
    assert sorted(signal.signal_id for signal in actual) == sorted(signal.signal_id for signal in expected)
    assert len(expected) > 5


def signals_of(results: bytes) -> list[Signal]:
    lines = (
        msgspec.json.decode(line, type=tuple[list[BoardPart], list[Signal], list[str]]) for line in results.splitlines()
    )
    return [signal for _, signals, _ in lines for signal in signals]


def test_a_snapshot_gives_only_what_changed_and_removes_what_is_unknown_again() -> None:
    engine, fields = fresh(), Fields()
    play(engine, a_morning(), lambda: 9)
    store(engine, fields)
    assert engine.snapshot() == {}
    engine.apply(Channel.QUOTES, encode_events([Quote("S1", OPEN_NS + 100 * SECOND_NS, 9.0, 1.0, 9.1, 1.0)]))
    assert engine.snapshot().keys() == {
        "column:bid:0",
        "column:ask:0",
        "column:quote_ns:0",
        "column:changed:0",
    }
    engine.tick(Tick(OPEN_NS + 24 * 3600 * SECOND_NS))
    removed = {name for name, value in engine.snapshot().items() if value is None}
    assert {"column:bid:0", "column:trade_price:0", "sample:price:0"} <= removed | {"sample:price:0"}
    assert not {name for name in removed if name in {"header", "symbols"}}


def test_a_snapshot_after_those_before_it_were_lost_is_a_whole_one() -> None:
    stream = a_morning()
    lost, calm, fields = fresh(), fresh(), Fields()
    for part in (stream[:80], stream[80:200], stream[200:]):
        play(lost, part, lambda: 9)
        play(calm, part, lambda: 9)
        store(lost, fields)
    lost.forget_snapshots()
    assert lost.snapshot() == calm.snapshot()
    assert lost.snapshot() == {}


def test_snapshots_go_round_the_ring_of_samples() -> None:
    engine, fields = fresh(), Fields()
    for second in range(0, 2400, 7):
        trade = Trade("S1", OPEN_NS + second * SECOND_NS, 10.0 + second / 100, 100.0)
        play(engine, [(Channel.TRADES, trade), Tick(OPEN_NS + (second + 1) * SECOND_NS)], lambda: 1)
        if second % 70 == 0:
            store(engine, fields)
    store(engine, fields)
    restored = fresh()
    restored.restore(fields)
    later = [Tick(OPEN_NS + (2400 + second) * SECOND_NS) for second in range(0, 900, 30)]
    for tick in later:
        assert play(restored, [tick], lambda: 1) == play(engine, [tick], lambda: 1)
        assert play_quotes(restored) == play_quotes(engine)
    assert "change_15m_percent" in engine.quotes()[0].values


def test_fields_of_an_older_state_that_nobody_needs_are_removed() -> None:
    engine, fields = fresh(), Fields()
    play(engine, a_morning(), lambda: 9)
    store(engine, fields)
    digest = next(scanner.digest for scanner in engine._scanners if scanner.name == "gainers")
    assert f"scanner:{digest}" in fields
    other = fresh(*SCANNERS[:4])
    other.restore(fields)
    store(other, fields)
    assert f"scanner:{digest}" not in fields
    again = fresh(*SCANNERS[:4])
    again.restore(fields)
    assert play_quotes(again) == play_quotes(engine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"header": msgspec.msgpack.encode((999, 7, OPEN_NS, OPEN_NS))},
            f"layout 999, this version reads layout {LAYOUT_VERSION}",
        ),
        ({"header": b"\xc1"}, "can't be read: 'header'"),
        ({"header": None}, "no field 'header'"),
        ({"symbols": msgspec.msgpack.encode(["A"])}, "names 1 symbols and has 7 rows"),
        ({"column:made_up:0": b""}, "the column 'column:made_up:0', which this version has not"),
        ({"column:bid:7": b""}, "'column:bid:7', which this version has not"),
        ({"column:trade_price:0": b"\0" * 9}, "9 bytes in 'column:trade_price:0'"),
        ({"sample:price:0": msgspec.msgpack.encode((1, b"\0" * 9))}, "9 bytes in 'sample:price:0'"),
        ({"scanner:x": msgspec.msgpack.encode((True, b"\0", b""))}, "1 bytes in 'scanner:x'"),
        ({"early:Trades:000": b"\xc1"}, "can't be read: its early events"),
        ({"early:Nothing:000": b"\x90"}, "can't be read: its early events: 'Nothing' is not a valid Channel"),
    ],
)
def test_a_state_that_cannot_be_read_is_refused_in_one_line_and_changes_nothing(
    change: dict[str, bytes | None], message: str
) -> None:
    engine, fields = fresh(), Fields()
    play(engine, a_morning(), lambda: 9)
    store(engine, fields)
    broken = {name: value for name, value in {**fields, **change}.items() if value is not None}
    other = fresh()
    with pytest.raises(StateMismatchError, match=message) as refusal:
        other.restore(broken)
    assert "\n" not in str(refusal.value)
    assert play(other, a_morning(), lambda: 9) == play(fresh(), a_morning(), lambda: 9)


def test_after_a_rewind_the_run_is_that_of_a_fresh_engine() -> None:
    engine, fields = fresh(), Fields()
    play(engine, a_morning(), lambda: 9)
    store(engine, fields)
    rewind: list[Item] = [Tick(OPEN_NS - SECOND_NS, rewound=True)]
    backwards = [item if isinstance(item, Tick) else (item[0], item[1]) for item in a_morning()]
    assert play(engine, rewind + backwards, lambda: 9) == play(fresh(), rewind + backwards, lambda: 9)
    store(engine, fields)
    restored = fresh()
    restored.restore(fields)
    assert play_quotes(restored) == play_quotes(engine)


@functools.cache
def real_hour() -> list[Item]:
    """Trades of the real day's first regular minutes, with ticks."""
    begin = new_york("2013-10-08 09:28")
    trades = [trade for trade in real_trades() if begin <= trade.exchange_ns < begin + 12 * 60 * SECOND_NS]
    items: list[Item] = []
    for step in with_ticks(trades, tick_every_ns=SECOND_NS):
        items += [step] if isinstance(step, Tick) else [(step[0], event) for event in step[1]]
    return items


@pytest.mark.parametrize("size", [1, 13, 1000])
def test_real_trades_give_the_same_bytes_in_any_batches_and_with_restarts(size: int) -> None:
    expected = play(fresh(), real_hour(), lambda: 500)
    engine, fields, results = fresh(), Fields(), b""
    stream = real_hour()
    for begin in range(0, len(stream), 7001):
        results += play(engine, stream[begin : begin + 7001], lambda: size)
        store(engine, fields)
        engine = fresh()
        engine.restore(fields)
    assert results == expected
    assert len(signals_of(expected)) == 20
