"""A real day of four symbols, against SQL over the source files.

The SQL reads LEAN's flags itself, so that neither the table of sale conditions nor the engine is its own judge.
"""

import functools
from collections.abc import Mapping, Sequence

import duckdb
import pytest

from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.results import Signal
from support.engine_market import (
    REAL_MIDNIGHT_NS,
    SECOND_NS,
    TICKS,
    a_board,
    a_signal,
    an_engine,
    real_trades,
    with_ticks,
)

TICK_S = 5
CHECKPOINTS = (8 * 3600, 9 * 3600 + 1800, 12 * 3600, 16 * 3600, 16 * 3600 + 600)

_ELIGIBLE = f"""
    CREATE OR REPLACE TEMP TABLE trades AS
    WITH source AS (
        SELECT upper(split_part(parse_filename(filename), '_', 1)) AS symbol, time_ms, price, size,
               row_number() OVER () AS place, ('0x' || conditions)::BIGINT AS flags
        FROM read_csv('{TICKS}/*_trades.csv.gz', filename = true, types = {{'conditions': 'VARCHAR'}})
    ), judged AS (
        SELECT *,
            flags & ((1 << 24) | (1 << 26)) = 0 AS is_trade,
            -- cash, next day, seller, average price, price variation, odd lot
            flags & ((1::BIGINT << 1) | (1 << 2) | (1 << 3) | (1 << 20) | (1 << 22) | (1::BIGINT << 31)) = 0
                AND NOT (flags & (1 << 13) > 0 AND flags & (1 << 14) > 0) AS has_market_price,
            -- derivatively priced, out of sequence, prior reference price
            flags & ((1 << 9) | (1 << 14) | (1 << 25)) = 0 AS is_in_sequence,
            flags & ((1 << 10) | (1 << 13)) > 0 AS is_extended_hours,
            CASE WHEN time_ms < 34200000 THEN 'premarket'
                 WHEN time_ms < 57600000 OR flags & (1 << 7) > 0 THEN 'regular'
                 ELSE 'postmarket' END AS session
        FROM source
    )
    SELECT symbol, time_ms, price, size, place, session, is_trade AS counts_volume,
        is_trade AND has_market_price AND NOT (session = 'regular' AND is_extended_hours) AS counts_extremes,
        counts_extremes AND is_in_sequence AS counts_last
    FROM judged
"""


def _query(sql: str) -> list[tuple[object, ...]]:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(_ELIGIBLE)
    return connection.execute(sql).fetchall()


@functools.cache
def the_day() -> tuple[Sequence[tuple[int, Mapping[str, Mapping[str, object]]]], tuple[Signal, ...]]:
    """Run the real day; return, for the first tick at or after each checkpoint and the last one, its second and the
    features by symbol; and all signals.
    """
    scanners = (a_board("volume"), a_signal("new_high_of_day", name="highs"), a_signal("new_low_of_day", name="lows"))
    engine = an_engine(*scanners)
    seen: list[tuple[int, Mapping[str, Mapping[str, object]]]] = []
    signals: list[Signal] = []
    steps = with_ticks(real_trades(), tick_every_ns=TICK_S * SECOND_NS)
    for step in steps:
        if not isinstance(step, Tick):
            engine.apply(step[0], encode_events(step[1]))
            continue
        signals += engine.tick(step).signals
        second = (step.tick_ns - REAL_MIDNIGHT_NS) // SECOND_NS
        if step is steps[-1] or (len(seen) < len(CHECKPOINTS) and second >= CHECKPOINTS[len(seen)]):
            seen.append((second, {row.symbol: row.values for row in engine.quotes()}))
    return seen, tuple(signals)


@pytest.mark.parametrize("checkpoint", range(len(CHECKPOINTS) + 1))
def test_every_symbols_features_equal_what_sql_says_of_the_source(checkpoint: int) -> None:
    second, seen = the_day()[0][checkpoint]
    expected = _query(f"""
        SELECT symbol,
            sum(size) FILTER (counts_volume),
            sum(size) FILTER (counts_volume AND session = 'premarket'),
            arg_max(price, (time_ms, place)) FILTER (counts_last),
            arg_min(price, (time_ms, place)) FILTER (counts_last AND session = 'regular'),
            max(price) FILTER (counts_extremes),
            min(price) FILTER (counts_extremes),
            max(price) FILTER (counts_extremes AND session = 'regular'),
            min(price) FILTER (counts_extremes AND session = 'regular'),
            max(price) FILTER (counts_extremes AND session = 'premarket'),
            min(price) FILTER (counts_extremes AND session = 'premarket'),
            sum(price * size) FILTER (counts_last) / sum(size) FILTER (counts_last)
        FROM trades WHERE time_ms < {second * 1000} GROUP BY symbol ORDER BY symbol
    """)
    names = ("volume", "premarket_volume", "price", "open", "high_of_day", "low_of_day")
    names += ("high", "low", "premarket_high", "premarket_low")
    assert [row[0] for row in expected] == sorted(seen)
    for symbol, *exact, vwap in expected:
        known = seen[str(symbol)]
        assert [known.get(name) for name in names] == exact, symbol
        assert known.get("vwap") == pytest.approx(vwap, rel=1e-12), symbol


@pytest.mark.parametrize(("scanner", "extreme"), [("highs", "max"), ("lows", "min")])
def test_every_new_extreme_is_exactly_where_a_running_extreme_in_sql_puts_it(scanner: str, extreme: str) -> None:
    beats = ">" if extreme == "max" else "<"
    expected = _query(f"""
        WITH slots AS (
            SELECT symbol, time_ms // {TICK_S * 1000} AS slot, {extreme}(price) AS price
            FROM trades WHERE counts_extremes GROUP BY ALL
        ), running AS (
            SELECT *, {extreme}(price) OVER (
                PARTITION BY symbol ORDER BY slot ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
            FROM slots
        )
        SELECT (slot + 1) * {TICK_S}, symbol FROM running WHERE price {beats} before ORDER BY ALL
    """)
    _, signals = the_day()
    actual = [
        ((signal.tick_ns - REAL_MIDNIGHT_NS) // SECOND_NS, signal.symbol)
        for signal in signals
        if signal.scanner == scanner
    ]
    assert actual == expected
    assert len(actual) > 20
