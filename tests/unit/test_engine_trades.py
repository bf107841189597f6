"""What single trades do to features."""

from collections.abc import Mapping, Sequence

import msgspec
import pytest

from scanplane.engine import Engine
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.marketdata.events import IndexValue, Trade
from support.engine_market import SECOND_NS, an_engine, features, new_york, round_the_clock

OPEN_NS = new_york("2026-03-10 09:30")
DAY = "2026-03-10 "


def a_trade(at: str, price: float, size: float = 100.0, *conditions: int, symbol: str = "AAA") -> Trade:
    return Trade(symbol, new_york(DAY + at), price, size, conditions)


def after(trades: Sequence[Trade], at: str = "16:30", engine: Engine | None = None) -> Mapping[str, object]:
    engine = engine or an_engine()
    engine.apply(Channel.TRADES, encode_events(trades))
    engine.tick(Tick(new_york(DAY + at)))
    return features(engine, trades[0].symbol)


def test_price_is_the_trade_with_the_latest_exchange_time_whenever_it_arrives() -> None:
    known = after([a_trade("10:00", 10.0), a_trade("10:02", 12.0), a_trade("10:01", 11.0)])
    assert (known["price"], known["high"], known["low"], known["volume"]) == (12.0, 12.0, 10.0, 300.0)


def test_of_trades_at_the_same_instant_the_later_arrival_is_the_price_and_the_earlier_one_the_open() -> None:
    known = after([a_trade("10:00", 10.0), a_trade("10:00", 10.5)])
    assert (known["price"], known["open"]) == (10.5, 10.0)


def test_a_late_trade_from_before_the_first_becomes_the_open() -> None:
    known = after([a_trade("09:31", 10.0), a_trade("09:30", 9.0)])
    assert (known["open"], known["price"]) == (9.0, 10.0)


@pytest.mark.parametrize(
    ("condition", "price", "high", "volume"),
    [
        (37, 10.0, 10.0, 200.0),  # an odd lot
        (2, 10.0, 10.0, 200.0),  # an average price
        (53, 10.0, 10.0, 200.0),  # a qualified contingent trade
        (29, 10.0, 10.0, 200.0),  # a seller's option
        (32, 10.0, 99.0, 200.0),  # sold out of sequence
        (10, 10.0, 99.0, 200.0),  # derivatively priced
        (15, 10.0, 10.0, 100.0),  # a market center's official close
        (16, 10.0, 10.0, 100.0),  # a market center's official open
        (38, 99.0, 99.0, 100.0),  # a corrected consolidated close
        (41, 99.0, 99.0, 200.0),  # exempt from trade-through
        (14, 99.0, 99.0, 200.0),  # an intermarket sweep
        (12, 10.0, 10.0, 200.0),  # form T in the regular session: a late report
        (9999, 99.0, 99.0, 200.0),  # not known: counts
    ],
)
def test_a_sale_condition_decides_what_a_trade_changes(
    condition: int, price: float, high: float, volume: float
) -> None:
    known = after([a_trade("10:00", 10.0), a_trade("10:01", 99.0, 100.0, condition)])
    assert (known["price"], known["high"], known["volume"]) == (price, high, volume)


def test_of_several_conditions_each_can_forbid() -> None:
    known = after([a_trade("10:00", 10.0), a_trade("10:01", 99.0, 50.0, 14, 37, 41)])
    assert (known["price"], known["high"], known["volume"]) == (10.0, 10.0, 150.0)


def test_form_t_makes_prices_in_premarket_but_not_for_the_regular_session() -> None:
    known = after(
        [a_trade("08:00", 11.0, 100.0, 12), a_trade("09:30", 10.0), a_trade("17:00", 12.0, 100.0, 12)], "18:00"
    )
    assert known["premarket_high"] == known["premarket_low"] == 11.0
    assert (known["high"], known["high_of_day"], known["price"], known["open"]) == (10.0, 12.0, 12.0, 10.0)
    assert (known["premarket_volume"], known["volume"]) == (100.0, 300.0)


def test_an_odd_lot_makes_no_price_in_premarket_either() -> None:
    known = after([a_trade("08:00", 11.0, 100.0, 12), a_trade("08:01", 99.0, 1.0, 12, 37)], "08:02")
    assert (known["price"], known["premarket_high"], known["premarket_volume"]) == (11.0, 11.0, 101.0)


def test_the_closing_auction_counts_for_the_regular_session_though_it_prints_after_the_close() -> None:
    known = after([a_trade("15:59", 10.0), a_trade("16:00:04", 10.5, 100.0, 8), a_trade("16:00:05", 11.0)])
    assert (known["high"], known["high_of_day"]) == (10.5, 11.0)


def test_a_trade_of_the_session_that_arrives_after_the_close_still_counts_for_it() -> None:
    engine = an_engine()
    engine.apply(Channel.TRADES, encode_events([a_trade("15:58", 10.0), a_trade("16:10", 10.2, 100.0, 12)]))
    engine.tick(Tick(new_york(DAY + "16:20")))
    engine.apply(Channel.TRADES, encode_events([a_trade("15:59", 15.0)]))
    engine.tick(Tick(new_york(DAY + "16:21")))
    known = features(engine, "AAA")
    assert (known["high"], known["price"], known["volume"]) == (15.0, 10.2, 300.0)
    assert engine.counts.late_trades == 1


@pytest.mark.parametrize("bad", [{"price": 0.0}, {"price": float("nan")}, {"size": 0.0}, {"size": float("nan")}])
def test_a_trade_without_price_or_size_changes_nothing_and_is_counted(bad: dict[str, float]) -> None:
    engine = an_engine()
    known = after([a_trade("10:00", 10.0), msgspec.structs.replace(a_trade("10:01", 11.0), **bad)], engine=engine)
    assert (known["price"], known["volume"], known["high"]) == (10.0, 100.0, 10.0)
    assert engine.counts.ineligible_trades == 1


def test_vwap_weighs_the_trades_that_may_set_price() -> None:
    known = after([a_trade("10:00", 10.0, 100.0), a_trade("10:01", 20.0, 300.0), a_trade("10:02", 99.0, 500.0, 2)])
    assert known["vwap"] == 17.5
    assert known["dollar_volume"] == 17.5 * 900.0


def test_conditions_of_another_asset_class_are_not_those_of_stocks() -> None:
    engine = an_engine(asset_class=AssetClass.CRYPTO, calendar=round_the_clock())
    known = after([a_trade("10:00", 10.0, 0.25, 2), a_trade("10:01", 11.0, 0.5, 2)], engine=engine)
    assert (known["price"], known["volume"]) == (11.0, 0.75)


def test_an_index_value_is_a_price_without_volume() -> None:
    engine = an_engine(asset_class=AssetClass.INDICES)
    values = [IndexValue("I:SPX", OPEN_NS, 6000.0), IndexValue("I:SPX", OPEN_NS + SECOND_NS, 5990.0)]
    engine.apply(Channel.INDEX_VALUES, encode_events(values))
    engine.tick(Tick(OPEN_NS + 2 * SECOND_NS))
    known = features(engine, "I:SPX")
    assert (known["price"], known["high"], known["low"]) == (5990.0, 6000.0, 5990.0)
    assert "volume" not in known


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x81", encode_events([a_trade("10:00", 1.0)])[:-1], b"\x91\x91\x01"])
def test_a_body_that_is_no_batch_is_refused_whole(body: bytes) -> None:
    engine = an_engine()
    with pytest.raises(msgspec.DecodeError):
        engine.apply(Channel.TRADES, body)
    assert engine.counts.events["Trades"] == 0


def test_a_time_beyond_64_bits_is_refused() -> None:
    body = msgspec.msgpack.encode([("AAA", 2**63, 1.0, 1.0, (), 0, 0)])
    with pytest.raises(msgspec.DecodeError, match="64-bit"):
        an_engine().apply(Channel.TRADES, body)


def test_fields_that_a_newer_listener_appends_are_ignored() -> None:
    engine = an_engine()
    engine.apply(Channel.TRADES, msgspec.msgpack.encode([("AAA", OPEN_NS, 10.0, 100.0, (), 4, 1, "new", 2)]))
    engine.tick(Tick(OPEN_NS + SECOND_NS))
    assert features(engine, "AAA")["price"] == 10.0


def test_symbols_beyond_the_bound_are_counted_and_left_out() -> None:
    engine = an_engine(max_symbols=2)
    trades = [a_trade("10:00", 10.0, symbol=symbol) for symbol in ("AAA", "BBB", "CCC", "AAA", "CCC")]
    assert engine.apply(Channel.TRADES, encode_events(trades)) == 5
    engine.tick(Tick(new_york(DAY + "10:01")))
    assert [row.symbol for row in engine.quotes()] == ["AAA", "BBB"]
    counts = engine.counts
    assert (counts.symbols, counts.refused_symbols, counts.refused_events) == (2, 1, 2)


def test_columns_grow_with_the_symbols_and_keep_their_values() -> None:
    engine = an_engine()
    names = [f"S{number}" for number in range(5000)]
    for name in names:
        engine.apply(Channel.TRADES, encode_events([a_trade("10:00", float(len(name)), symbol=name)]))
    engine.tick(Tick(new_york(DAY + "10:01")))
    assert {row.symbol: row.values["price"] for row in engine.quotes()} == {name: float(len(name)) for name in names}
