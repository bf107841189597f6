"""A small market for tests of the engine: configurations, trading days, and the real trades of four symbols."""

import datetime as dt
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import msgspec

from scanplane.engine import Engine, Evaluation, ReferenceData, TradingCalendar
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.events import Event, Trade
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    BoardConfiguration,
    ReferenceConfiguration,
    ScannerConfiguration,
    Services,
    SessionHours,
    SignalConfiguration,
)
from scanplane.reference import load_calendar
from scanplane.resources.data_plane import LogLevel
from scanplane.resources.market import ReferenceSource
from scanplane.simulator.sessions.lean import condition_ids

TICKS = Path(__file__).parents[2] / "examples" / "data" / "us-equities-ticks"
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
REAL_SYMBOLS = ("AIG", "BAC", "IBM", "SPY")

WHOLE = Partition(0, 1)

Step = tuple[Channel, Sequence[Event]] | Tick
"""One piece of a stream: events of one channel, or a tick."""


@functools.cache
def us_calendar() -> TradingCalendar:
    return load_calendar(SessionHours(calendar="XNYS", premarket="04:00", postmarket="20:00"))


@functools.cache
def round_the_clock() -> TradingCalendar:
    return load_calendar(SessionHours(calendar="24/7", premarket=None, postmarket=None))


def new_york(text: str) -> int:
    """Return nanoseconds UTC of a New York wall-clock time, such as ``2013-10-08 09:30:00.250``."""
    instant = dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"))
    return (instant - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) * 1000


REAL_MIDNIGHT_NS = new_york("2013-10-08 00:00")


def a_board(
    rank_by: str, *columns: str, where: str | None = None, limit: int = 50, descending: bool = True, name: str = "board"
) -> ScannerConfiguration:
    board = BoardConfiguration(rank_by=rank_by, descending=descending, limit=limit, columns=columns or (rank_by,))
    return ScannerConfiguration(name=name, where=where, board=board, signal=None)


def a_signal(
    when: str | None = None, *, where: str | None = None, cooldown_ns: int = 0, name: str = "signal"
) -> ScannerConfiguration:
    signal = SignalConfiguration(when=when, cooldown_ns=cooldown_ns)
    return ScannerConfiguration(name=name, where=where, board=None, signal=signal)


def a_configuration(
    *scanners: ScannerConfiguration,
    partition: Partition = WHOLE,
    max_symbols: int = 50_000,
    asset_class: AssetClass = AssetClass.STOCKS,
    previous_close: ReferenceSource = ReferenceSource.NONE,
    evaluation_interval_ns: int = SECOND_NS // 4,
) -> AnalyzerConfiguration:
    return msgspec.convert(
        {
            "role": "analyzer",
            "market": "us-stocks",
            "partition": partition,
            "services": Services(
                namespace="tests",
                broker_url=None,
                cache_url=None,
                log_level=LogLevel.INFO,
                otlp_endpoint=None,
                trace_ratio=0.0,
                export_interval_ns=SECOND_NS,
            ),
            "asset_class": asset_class,
            "hours": SessionHours(calendar="XNYS", premarket="04:00", postmarket="20:00"),
            "reference": ReferenceConfiguration(
                previous_close=previous_close,
                average_volume=ReferenceSource.NONE,
                volume_curve=ReferenceSource.NONE,
                free_float=ReferenceSource.NONE,
                symbols_file=None,
                volume_curve_file=None,
                rest_endpoint=None,
                api_key=None,
            ),
            "scanners": scanners,
            "streams": (),
            "evaluation_interval_ns": evaluation_interval_ns,
            "max_symbols": max_symbols,
            "time_to_live_ns": SECOND_NS,
            "max_bytes": 2**20,
            "data_label": "",
            "stale_after_ns": 15 * 10**9,
            "credentials_digest": "",
            "sources": {},
        },
        AnalyzerConfiguration,
    )


def an_engine(
    *scanners: ScannerConfiguration,
    reference: ReferenceData | None = None,
    calendar: TradingCalendar | None = None,
    partition: Partition = WHOLE,
    max_symbols: int = 50_000,
    asset_class: AssetClass = AssetClass.STOCKS,
    previous_close: ReferenceSource = ReferenceSource.NONE,
    evaluation_interval_ns: int = SECOND_NS // 4,
) -> Engine:
    configuration = a_configuration(
        *scanners,
        partition=partition,
        max_symbols=max_symbols,
        asset_class=asset_class,
        previous_close=previous_close,
        evaluation_interval_ns=evaluation_interval_ns,
    )
    return Engine(configuration, reference or ReferenceData(), calendar or us_calendar())


def run(engine: Engine, steps: Iterable[Step]) -> list[Evaluation]:
    """Feed *steps* to the engine; return what its ticks yield."""
    evaluations = []
    for step in steps:
        if isinstance(step, Tick):
            evaluations.append(engine.tick(step))
        else:
            channel, events = step
            engine.apply(channel, encode_events(events))
    return evaluations


def features(engine: Engine, symbol: str) -> Mapping[str, object]:
    """Return the known features of a symbol as of the last tick."""
    (row,) = engine.quotes([symbol])
    return row.values


@functools.cache
def real_trades() -> tuple[Trade, ...]:
    """Every trade of the four symbols on 2013-10-08, by time; of one millisecond by symbol and place in the file."""
    rows = duckdb.sql(
        f"""
        SELECT upper(split_part(parse_filename(filename), '_', 1)), time_ms, price, size, conditions
        FROM read_csv('{TICKS}/*_trades.csv.gz', filename = true, types = {{'conditions': 'VARCHAR'}})
        """
    ).fetchall()
    trades = [
        Trade(symbol, REAL_MIDNIGHT_NS + time_ms * 1_000_000, price, float(size), condition_ids(conditions))
        for symbol, time_ms, price, size, conditions in rows
    ]
    return tuple(sorted(trades, key=lambda trade: trade.exchange_ns))


def with_ticks(trades: Sequence[Trade], *, tick_every_ns: int = 5 * SECOND_NS, batch: int = 1000) -> list[Step]:
    """Cut trades in time order into batches, with a tick at the end of every slot that has trades."""
    steps: list[Step] = []
    pending: list[Trade] = []
    slot = trades[0].exchange_ns // tick_every_ns
    for trade in trades:
        ends = trade.exchange_ns // tick_every_ns > slot
        if ends or len(pending) >= batch:
            steps.append((Channel.TRADES, pending))
            pending = []
        if ends:
            steps.append(Tick((slot + 1) * tick_every_ns))
            slot = trade.exchange_ns // tick_every_ns
        pending.append(trade)
    steps += [(Channel.TRADES, pending), Tick((slot + 1) * tick_every_ns)]
    return steps
