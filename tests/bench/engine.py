"""How fast the engine is on one core: ``python tests/bench/engine.py``. No broker, no cache, no network.

Prints events per second of ``apply`` (decoding included), milliseconds per tick with 20 scanners, and size and time of
snapshots, each as the median of several runs.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scanplane.engine import Engine, ReferenceData, SymbolReference
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Bar, Quote, Trade
from scanplane.plan.configuration import ScannerConfiguration
from support.engine_market import SECOND_NS, a_board, a_signal, an_engine, new_york

SYMBOLS = [f"S{number:04d}" for number in range(8000)]
CONDITIONS: Sequence[tuple[int, ...]] = ((), (14,), (37,), (14, 37, 41), (14, 41))
OPEN_NS = new_york("2026-03-10 09:30:00")
EVENTS = 200_000
RUNS = 5


def tell(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def scanners() -> list[ScannerConfiguration]:
    """Twenty scanners: fifteen boards of 50 rows and five signals."""
    boards = [
        a_board(
            rank_by,
            "price",
            "change_percent",
            "volume",
            "vwap",
            "relative_volume",
            where=f"price >= {1 + number} && change_percent > {number - 8} && volume > {number * 100}",
            name=f"board-{number}",
        )
        for number, rank_by in enumerate(
            ["volume", "change_percent", "gap_percent", "dollar_volume", "range_percent"] * 3
        )
    ]
    signals = [
        a_signal("new_high_of_day", where="price > 5 && volume > 1000", cooldown_ns=300 * SECOND_NS, name="highs"),
        a_signal("new_low_of_day", where="price > 5 && volume > 1000", cooldown_ns=300 * SECOND_NS, name="lows"),
        a_signal("crossed_above_vwap", where="change_percent > 2", cooldown_ns=300 * SECOND_NS, name="crossings"),
        a_signal(where="change_5m_percent > 3 && volume_5m > 10000", name="spikes"),
        a_signal(where="float_rotation > 0.5 && has(free_float)", name="rotation"),
    ]
    return boards + signals


def reference() -> ReferenceData:
    """Invented reference figures for every symbol."""
    chance = random.Random(7)
    return ReferenceData(
        symbols={
            symbol: SymbolReference(
                previous_close=chance.uniform(1, 300), average_volume=1e6, free_float=chance.uniform(1e6, 1e8)
            )
            for symbol in SYMBOLS
        }
    )


def a_walk(chance: random.Random) -> dict[str, float]:
    return {symbol: chance.uniform(1, 300) for symbol in SYMBOLS}


def trades(count: int, begin_ns: int) -> list[Trade]:
    """Trades of random symbols, each symbol's price a random walk, a microsecond apart."""
    chance = random.Random(1)
    prices = a_walk(chance)
    made = []
    for number in range(count):
        symbol = chance.choice(SYMBOLS)
        prices[symbol] = round(prices[symbol] * (1 + chance.gauss(0, 0.0005)), 4)
        size = float(chance.randint(1, 500))
        made.append(Trade(symbol, begin_ns + number * 1000, prices[symbol], size, chance.choice(CONDITIONS), 4, number))
    return made


def bars(count: int, begin_ns: int) -> list[Bar]:
    """Second bars of every symbol in turn."""
    chance = random.Random(2)
    prices, volumes = a_walk(chance), dict.fromkeys(SYMBOLS, 0.0)
    made = []
    for number in range(count):
        symbol = SYMBOLS[number % len(SYMBOLS)]
        start = begin_ns + number // len(SYMBOLS) * SECOND_NS
        price = prices[symbol] = round(prices[symbol] * (1 + chance.gauss(0, 0.001)), 4)
        size = float(chance.randint(1, 5000))
        volumes[symbol] += size
        high, low = price * 1.001, price * 0.999
        made.append(
            Bar(symbol, start + SECOND_NS, start, price, high, low, price, size, price, volumes[symbol], price, price)
        )
    return made


def quotes(count: int, begin_ns: int) -> list[Quote]:
    """Quotes of random symbols."""
    chance = random.Random(3)
    prices = a_walk(chance)
    made = []
    for number in range(count):
        symbol = chance.choice(SYMBOLS)
        made.append(Quote(symbol, begin_ns + number * 1000, prices[symbol] - 0.01, 3.0, prices[symbol], 2.0, number))
    return made


def bodies(events: Sequence[Trade | Bar | Quote], size: int) -> list[bytes]:
    """Encode events in batches."""
    return [encode_events(events[place : place + size]) for place in range(0, len(events), size)]


def median_seconds(action: Callable[[], None]) -> float:
    """Run *action* several times; the first run warms up and is not counted."""
    taken = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def bench_apply() -> None:
    """Events per second of decode and apply, by channel and batch size."""
    kinds = (
        (Channel.TRADES, trades(EVENTS, OPEN_NS)),
        (Channel.SECOND_AGGREGATES, bars(EVENTS, OPEN_NS)),
        (Channel.QUOTES, quotes(EVENTS, OPEN_NS)),
    )
    for channel, events in kinds:
        for size in (100, 500, 1000, 2000):
            encoded = bodies(events, size)

            def apply_all(channel: Channel = channel, encoded: list[bytes] = encoded) -> None:
                engine = an_engine(reference=reference_data)
                for body in encoded:
                    engine.apply(channel, body)

            seconds = median_seconds(apply_all)
            tell(f"apply {channel:17} batches of {size:4}: {len(events) / seconds / 1e6:6.2f} million events/s")


def bench_ticks() -> Engine:
    """Milliseconds per tick, with a batch of every kind between two ticks."""
    engine = an_engine(*scanners(), reference=reference_data)
    between = 40
    encoded = bodies(trades(400 * between * 1000 // 10, OPEN_NS), 1000)
    evaluations, quoted = [], []
    for number in range(400):
        for body in encoded[number * between // 10 : (number + 1) * between // 10]:
            engine.apply(Channel.TRADES, body)
        begun = time.perf_counter()
        evaluation = engine.tick(Tick(OPEN_NS + (number + 1) * SECOND_NS // 4))
        evaluations.append((time.perf_counter() - begun) * 1000)
        assert len(evaluation.boards) == 15
        if number % 4 == 3:
            begun = time.perf_counter()
            engine.quotes()
            quoted.append((time.perf_counter() - begun) * 1000)
    counts = engine.counts
    evaluated = (
        f"median {statistics.median(evaluations):.2f} ms, p99 {statistics.quantiles(evaluations, n=100)[98]:.2f} ms"
    )
    tell(f"tick of 20 scanners over {counts.symbols} symbols: {evaluated} ({counts.signals / 400:.0f} signals a tick)")
    tell(f"quotes of all symbols: {statistics.median(quoted):.1f} ms")
    return engine


def bench_snapshots(engine: Engine) -> None:
    """Size and time of a full snapshot, of one after a quarter of a second, and of a restore."""
    begun = time.perf_counter()
    fields = {name: value for name, value in engine.snapshot().items() if value is not None}
    milliseconds = (time.perf_counter() - begun) * 1000
    size = sum(map(len, fields.values())) / 1e6
    tell(f"first snapshot: {size:.1f} MB in {len(fields)} fields, {milliseconds:.1f} ms")
    later = OPEN_NS + 101 * SECOND_NS
    for body in bodies(trades(50_000, later), 1000):
        engine.apply(Channel.TRADES, body)
    engine.tick(Tick(later + SECOND_NS))
    begun = time.perf_counter()
    changed = engine.snapshot()
    milliseconds = (time.perf_counter() - begun) * 1000
    size = sum(len(value) for value in changed.values() if value is not None) / 1e6
    tell(f"snapshot a second later: {size:.1f} MB in {len(changed)} fields, {milliseconds:.1f} ms")
    fresh = an_engine(*scanners(), reference=reference_data)
    begun = time.perf_counter()
    fresh.restore(fields)
    tell(f"restore: {(time.perf_counter() - begun) * 1000:.1f} ms")


if __name__ == "__main__":
    reference_data = reference()
    bench_apply()
    bench_snapshots(bench_ticks())
