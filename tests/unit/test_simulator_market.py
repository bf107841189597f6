"""The market session: real ends, a consistent path between them, the same every time."""

import csv
import gzip
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scanplane.feeds.massive.messages import MarketMessage, MinuteBarMessage, SecondBarMessage, TradeMessage
from scanplane.marketdata.channels import Channel
from scanplane.simulator.sessions.chance import keys_of, normal, uniform
from scanplane.simulator.sessions.daily import DAILY_FOLDER, read_market_day, read_reference
from scanplane.simulator.sessions.interface import SessionFileError
from scanplane.simulator.sessions.market import MarketSession
from scanplane.simulator.sessions.profile import measure_curve, minute_profile, read_curve

_DATA = Path("examples/data")
_OPEN_MS = 1_395_840_600_000  # 2014-03-26 09:30 in New York
_CLOSE_MS = _OPEN_MS + 390 * 60_000
_EVENTS = 80_000
_ALL = (Channel.TRADES, Channel.SECOND_AGGREGATES, Channel.MINUTE_AGGREGATES)

Day = list[tuple[int, MarketMessage]]


def _daily(day: str) -> dict[str, list[dict[str, str]]]:
    """Read a day with nothing but the standard library: symbol → rows."""
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with gzip.open(_DATA / DAILY_FOLDER / f"{day}.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            rows[row["symbol"]].append(row)
    return rows


def _play(data: Path = _DATA, channels: tuple[Channel, ...] = _ALL, events: int = _EVENTS, seed: int = 0) -> Day:
    session = MarketSession(data, events=events, channels=channels, seed=seed)
    return [pair for block in session.blocks() for pair in zip(block.times_ns, block.messages, strict=True)]


@pytest.fixture(scope="module")
def day() -> Day:
    return _play()


@pytest.fixture(scope="module")
def seconds(day: Day) -> dict[str, list[SecondBarMessage]]:
    bars = defaultdict(list)
    for _, message in day:
        if isinstance(message, SecondBarMessage):
            bars[message.symbol].append(message)
    return bars


def test_every_symbol_ends_at_its_real_close_and_volume(seconds: dict[str, list[SecondBarMessage]]) -> None:
    rows = _daily("20140326")
    expected = {
        symbol: (float(row["close"]), int(row["volume"]))
        for symbol, same in rows.items()
        if int((row := max(same, key=lambda one: int(one["volume"])))["volume"]) > 0
    }
    assert {symbol: (bars[-1].close, bars[-1].accumulated_volume) for symbol, bars in seconds.items()} == expected
    assert len(expected) == 7047


def test_the_regular_session_ends_at_the_real_close_too(seconds: dict[str, list[SecondBarMessage]]) -> None:
    regular = {symbol: [bar for bar in bars if bar.end <= _CLOSE_MS][-1] for symbol, bars in seconds.items()}
    assert all(bar.close == seconds[symbol][-1].close for symbol, bar in regular.items())


def test_the_number_of_second_bars_is_what_was_asked_for(seconds: dict[str, list[SecondBarMessage]]) -> None:
    assert sum(map(len, seconds.values())) == _EVENTS


def test_bars_are_well_formed(seconds: dict[str, list[SecondBarMessage]]) -> None:
    for bars in seconds.values():
        for bar in bars:
            assert bar.low <= min(bar.open, bar.close, bar.vwap + 1e-4)
            assert bar.high >= max(bar.open, bar.close, bar.vwap - 1e-4)
            assert bar.volume >= 1
            assert bar.end - bar.start == 1000
            assert bar.low > 0


def test_a_symbols_day_runs_on_without_gap_or_repeat(seconds: dict[str, list[SecondBarMessage]]) -> None:
    for bars in seconds.values():
        accumulated, value = 0.0, 0.0
        for before, after in pairwise(bars):
            assert before.start < after.start
        for bar in bars:
            accumulated += bar.volume
            value += bar.volume * bar.vwap
            assert bar.accumulated_volume == accumulated
            assert bar.session_vwap == pytest.approx(value / accumulated, abs=2e-4)


def test_the_official_open_is_that_of_the_first_regular_bar(seconds: dict[str, list[SecondBarMessage]]) -> None:
    for bars in seconds.values():
        early = [bar for bar in bars if bar.start < _OPEN_MS]
        regular = [bar for bar in bars if bar.start >= _OPEN_MS]
        assert all(bar.official_open == 0.0 for bar in early)
        assert {bar.official_open for bar in regular} == {regular[0].open}


def test_some_symbols_trade_before_and_after_the_regular_session_and_most_volume_falls_within(
    seconds: dict[str, list[SecondBarMessage]],
) -> None:
    bars = [bar for every in seconds.values() for bar in every]
    early = sum(bar.volume for bar in bars if bar.start < _OPEN_MS)
    late = sum(bar.volume for bar in bars if bar.start >= _CLOSE_MS)
    total = sum(bar.volume for bar in bars)
    traded_early = {bar.symbol for bar in bars if bar.start < _OPEN_MS}
    assert 200 < len(traded_early) < 5000
    assert 0.002 < early / total < 0.02
    assert 0.0005 < late / total < 0.1


def test_the_day_is_u_shaped(seconds: dict[str, list[SecondBarMessage]]) -> None:
    by_hour: dict[int, float] = defaultdict(float)
    for bars in seconds.values():
        for bar in bars:
            if _OPEN_MS <= bar.start < _CLOSE_MS:
                by_hour[(bar.start - _OPEN_MS) // (65 * 60_000)] += bar.volume
    assert by_hour[0] > 1.3 * by_hour[3]
    assert by_hour[5] > 1.5 * by_hour[3]


def test_minute_bars_and_trades_tell_the_same_as_second_bars(
    day: Day, seconds: dict[str, list[SecondBarMessage]]
) -> None:
    by_minute = defaultdict(list)
    trades = defaultdict(list)
    for _, message in day:
        if isinstance(message, TradeMessage):
            trades[message.symbol, message.time // 1000].append(message)
    for bars in seconds.values():
        for bar in bars:
            by_minute[bar.symbol, bar.start // 60_000].append(bar)
            prints = trades.pop((bar.symbol, bar.start // 1000))
            prices = [trade.price for trade in prints]
            assert sum(trade.size for trade in prints) == bar.volume
            assert (prices[0], max(prices), min(prices), prices[-1]) == (bar.open, bar.high, bar.low, bar.close)
    assert not trades
    minutes = [message for _, message in day if isinstance(message, MinuteBarMessage)]
    assert len(minutes) == len(by_minute)
    for minute in minutes:
        bars = by_minute[minute.symbol, minute.start // 60_000]
        assert minute.volume == sum(bar.volume for bar in bars)
        assert minute.high == max(bar.high for bar in bars)
        assert minute.low == min(bar.low for bar in bars)
        assert (minute.open, minute.close) == (bars[0].open, bars[-1].close)
        assert minute.accumulated_volume == bars[-1].accumulated_volume


def test_events_come_in_the_order_of_time_and_bars_only_when_they_are_over(day: Day) -> None:
    assert all(before <= after for (before, _), (after, _) in pairwise(day))
    for time_ns, message in day:
        end_ms = message.time if isinstance(message, TradeMessage) else message.end
        assert time_ns == end_ms * 1_000_000


def test_extended_hours_trades_carry_form_t(day: Day) -> None:
    for _, message in day:
        if isinstance(message, TradeMessage):
            within = _OPEN_MS <= message.time < _CLOSE_MS
            assert message.conditions == (() if within else (12,))


def test_the_second_bars_alone_are_the_same_bars(seconds: dict[str, list[SecondBarMessage]]) -> None:
    alone = defaultdict(list)
    for _, message in _play(channels=(Channel.SECOND_AGGREGATES,)):
        alone[message.symbol].append(message)
    assert alone == seconds


def test_another_seed_is_another_day_with_the_same_end(seconds: dict[str, list[SecondBarMessage]]) -> None:
    other = _play(channels=(Channel.SECOND_AGGREGATES,), seed=1)
    last = {message.symbol: message for _, message in other}
    assert {symbol: bar.close for symbol, bar in last.items()} == {symbol: b[-1].close for symbol, b in seconds.items()}
    assert [message for _, message in other[:1000]] != [bar for bars in seconds.values() for bar in bars][:1000]


def test_an_impossible_number_of_events_says_what_is_possible() -> None:
    with pytest.raises(SessionFileError, match=r"with 7047 to [0-9]+ events, not 100"):
        next(MarketSession(_DATA, events=100).blocks())


def test_the_largest_gain_among_real_volumes_is_the_known_one() -> None:
    day, reference = read_market_day(_DATA), read_reference(_DATA)
    previous = dict(zip(reference.symbols, reference.previous_close, strict=True))
    gains = {
        symbol: (close / previous[symbol] - 1) * 100
        for symbol, close, volume in zip(day.symbols, day.close, day.volume, strict=True)
        if close > 1 and volume > 100_000 and previous.get(symbol, 0) > 0
    }
    best = max(gains, key=lambda symbol: gains[symbol])
    assert best == "FFHL"
    assert gains[best] == pytest.approx(26.17, abs=0.01)


def test_the_reference_file_of_the_demo_is_made_from_the_two_days_before() -> None:
    first, second = _daily("20140324"), _daily("20140325")
    with Path("examples/demo-market/reference/symbols.csv").open() as file:
        known = {row["symbol"]: row for row in csv.DictReader(file)}
    for symbol in ("FFHL", "PLUG", "AA", "BRK.A"):
        assert float(known[symbol]["previous_close"]) == float(second[symbol][0]["close"])
        mean = (int(first[symbol][0]["volume"]) + int(second[symbol][0]["volume"])) / 2
        assert float(known[symbol]["average_volume"]) == pytest.approx(mean, abs=0.5)


def test_earlier_figures_are_brought_into_the_terms_of_the_day_by_the_split_factors(tmp_path: Path) -> None:
    header = "security_id,symbol,close,volume,dollar_volume,has_fundamental_data,price_factor,split_factor"
    for day, close, volume, factor in (("24", 44, 100, 0.5), ("25", 40, 300, 0.5), ("26", 21, 900, 1)):
        path = tmp_path / DAILY_FOLDER / f"201403{day}.csv.gz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(f"{header}\nX 1,XX,{close},{volume},0,False,1,{factor}\n".encode()))
    reference = read_reference(tmp_path)
    assert reference.previous_close.tolist() == [20.0]
    assert reference.previous_volume.tolist() == [600.0]
    assert reference.average_volume.tolist() == [400.0]
    assert read_market_day(tmp_path).previous_close.tolist() == [20.0]


def test_the_shipped_volume_curve_is_the_measured_one() -> None:
    curve = read_curve(_DATA)
    assert curve.tolist() == measure_curve(_DATA)
    assert curve.tolist() == read_curve(Path("examples/demo-market/reference")).tolist()
    assert minute_profile(curve).sum() == pytest.approx(1.0)


def test_chance_depends_on_name_and_occasion_alone() -> None:
    together, alone = keys_of(("AAA", "BBB"), 7), keys_of(("BBB",), 7)
    assert uniform(together, np.array([3, 3]), 1)[1] == uniform(alone, 3, 1)[0]
    assert uniform(alone, 3, 1) != uniform(alone, 3, 2)
    assert uniform(alone, 3, 1) != uniform(keys_of(("BBB",), 8), 3, 1)


def test_chance_is_spread_as_it_should_be() -> None:
    keys = keys_of(tuple(f"S{number}" for number in range(2000)), 0)
    numbers = np.concatenate([uniform(keys, occasion, 1) for occasion in range(20)])
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    assert numbers.mean() == pytest.approx(0.5, abs=0.01)
    bells = np.concatenate([normal(keys, occasion, 3) for occasion in range(20)])
    assert bells.mean() == pytest.approx(0.0, abs=0.03)
    assert bells.std() == pytest.approx(1.0, abs=0.03)


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(SessionFileError, match=r"20140326\.csv\.gz is missing"):
        next(MarketSession(tmp_path).blocks())
