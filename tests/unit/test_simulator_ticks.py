"""The real ticks: every row, in order, in the provider's terms."""

import csv
import gzip
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pytest

from scanplane.feeds.massive.messages import MarketMessage, QuoteMessage, TradeMessage
from scanplane.simulator.sessions.files import TRADE_COLUMNS, read_rows
from scanplane.simulator.sessions.interface import SessionFileError
from scanplane.simulator.sessions.lean import condition_ids, exchange_id
from scanplane.simulator.sessions.ticks import TICK_FOLDER, TickSession

_DATA = Path("examples/data")


def _messages(session: TickSession) -> Iterator[tuple[int, MarketMessage]]:
    for block in session.blocks():
        yield from zip(block.times_ns, block.messages, strict=True)


def _write(path: Path, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(rows).encode()))


@pytest.mark.parametrize(
    ("flags", "ids"),
    [
        ("1", (0,)),
        ("20", (14,)),
        ("20000020", (14, 41)),
        ("2000", (12,)),
        ("20002020", (12, 14, 41)),
        ("4000000", (16,)),
        ("1000000", (15,)),
        ("80", (8,)),
        ("20200040", (9, 25, 41)),
        ("20102000", (2, 12, 41)),
        ("4800", (32,)),
        ("20104800", (2, 32, 41)),
        ("42000", (12, 35)),
        ("6000", (13,)),
        ("40000001", (0,)),
        ("80000000", (37,)),
        ("0", ()),
    ],
)
def test_leans_flags_become_the_providers_condition_ids(flags: str, ids: tuple[int, ...]) -> None:
    assert condition_ids(flags) == ids


@pytest.mark.parametrize("flags", ["", "x", "100000000"])
def test_flags_that_lean_does_not_know_are_refused(flags: str) -> None:
    with pytest.raises(ValueError, match=r"base 16|does not know"):
        condition_ids(flags)


def test_nasdaq_is_one_exchange_under_both_of_its_letters() -> None:
    assert exchange_id("Q") == exchange_id("T") == 12
    assert exchange_id("?") == 0


def test_every_trade_of_a_symbol_is_played_with_its_price_size_and_time() -> None:
    rows = list(read_rows(_DATA / TICK_FOLDER / "ibm_20131008_trades.csv.gz", TRADE_COLUMNS))
    played = [message for _, message in _messages(TickSession(_DATA, symbols=("IBM",), quotes=False))]
    assert len(played) == len(rows) == 33_381
    midnight_ms = 1_381_204_800_000  # 2013-10-08 00:00 in New York, then four hours behind UTC
    assert [
        (trade.time - midnight_ms, trade.price, trade.size) for trade in played if isinstance(trade, TradeMessage)
    ] == [(int(row[0]), float(row[1]), int(row[2])) for row in rows]


def test_a_day_of_a_symbol_adds_up_to_the_volume_of_its_file() -> None:
    played = _messages(TickSession(_DATA, symbols=("AIG",), quotes=False))
    volume = sum(trade.size for _, trade in played if isinstance(trade, TradeMessage))
    with gzip.open(_DATA / TICK_FOLDER / "aig_20131008_trades.csv.gz", "rt") as file:
        assert volume == sum(int(row["size"]) for row in csv.DictReader(file))


def test_trades_and_quotes_of_all_symbols_are_merged_by_time() -> None:
    timed = list(islice(_messages(TickSession(_DATA)), 20_000))
    assert all(before <= after for (before, _), (after, _) in pairwise(timed))
    assert {type(message).__name__ for _, message in timed} == {"TradeMessage", "QuoteMessage"}
    assert {message.symbol for _, message in timed} == {"AIG", "BAC", "IBM", "SPY"}
    assert all(time_ns == message.time * 1_000_000 for time_ns, message in timed if isinstance(message, TradeMessage))


def test_two_readings_are_the_same() -> None:
    def beginning() -> list[tuple[int, MarketMessage]]:
        return list(islice(_messages(TickSession(_DATA)), 5000))

    assert beginning() == beginning()


def test_at_the_same_millisecond_trades_come_before_quotes_and_suspicious_rows_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / TICK_FOLDER
    _write(
        folder / "ibm_20131008_trades.csv.gz",
        ["time_ms,price,size,exchange,conditions,suspicious", "34200000,180.5,100,N,1,0", "34200000,18.5,100,N,1,1"],
    )
    _write(
        folder / "ibm_20131008_quotes.csv.gz",
        [
            "time_ms,bid_price,bid_size,ask_price,ask_size,bid_exchange,ask_exchange,condition,suspicious",
            "34200000,180.4,200,180.6,300,N,P,1,0",
            "34200001,180.4,200,999.6,300,N,P,1,2",
        ],
    )
    trade, quote = [message for _, message in _messages(TickSession(tmp_path, symbols=("IBM",)))]
    assert isinstance(trade, TradeMessage)
    assert isinstance(quote, QuoteMessage)
    assert (quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size) == (180.4, 200, 180.6, 300)
    assert (quote.bid_exchange, quote.ask_exchange, quote.time) == (10, 11, 1_381_239_000_000)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["time,price"], "expected the columns"),
        (["time_ms,price,size,exchange,conditions,suspicious", "1,abc,100,N,1,0"], "can't be read"),
        (["time_ms,price,size,exchange,conditions,suspicious", "1,2"], "can't be read"),
    ],
)
def test_a_file_that_is_not_as_described_is_named(tmp_path: Path, rows: list[str], said: str) -> None:
    _write(tmp_path / TICK_FOLDER / "ibm_20131008_trades.csv.gz", rows)
    with pytest.raises(SessionFileError, match=said):
        list(_messages(TickSession(tmp_path, symbols=("IBM",), quotes=False)))


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SessionFileError, match=r"aig_20131008_trades\.csv\.gz is missing"):
        list(_messages(TickSession(tmp_path)))
