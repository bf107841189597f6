"""Boards and signals."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanplane.engine import Engine, Evaluation, ReferenceData, SymbolReference
from scanplane.engine.boards import best_rows
from scanplane.expressions import ExpressionError
from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Trade
from scanplane.plan.configuration import BoardConfiguration, ScannerConfiguration, SignalConfiguration
from support.engine_market import SECOND_NS, a_board, a_signal, an_engine, new_york

OPEN_NS = new_york("2026-03-10 09:30")


def trade(engine: Engine, after_s: float, price: float, size: float = 100.0, symbol: str = "AAA") -> None:
    at = OPEN_NS + int(after_s * SECOND_NS)
    engine.apply(Channel.TRADES, encode_events([Trade(symbol, at, price, size)]))


def tick(engine: Engine, after_s: float) -> Evaluation:
    return engine.tick(Tick(OPEN_NS + int(after_s * SECOND_NS)))


def fired(evaluation: Evaluation) -> list[tuple[str, str]]:
    return [(signal.scanner, signal.symbol) for signal in evaluation.signals]


def test_a_board_shows_the_best_that_match_with_their_columns() -> None:
    engine = an_engine(a_board("volume", "price", "symbol", "session", where="price >= 10.0", limit=2))
    for symbol, price, size in [("A", 9.0, 900.0), ("B", 10.0, 100.0), ("C", 11.0, 300.0), ("D", 12.0, 200.0)]:
        trade(engine, 1, price, size, symbol)
    (board,) = tick(engine, 2).boards
    assert [(row.symbol, row.rank_value, row.values) for row in board.rows] == [
        ("C", 300.0, (11.0, "C", "regular")),
        ("D", 200.0, (12.0, "D", "regular")),
    ]
    assert (board.matches, board.limit, board.columns, board.descending) == (3, 2, ("price", "symbol", "session"), True)
    assert (board.market, board.partition, board.tick_ns) == ("us-stocks", "0-of-1", OPEN_NS + 2 * SECOND_NS)


def test_equal_ranks_are_ordered_by_symbol_also_at_the_edge_of_the_board() -> None:
    engine = an_engine(a_board("price", limit=3))
    for symbol in ("D", "B", "E", "A", "C"):
        trade(engine, 1, 10.0, symbol=symbol)
    (board,) = tick(engine, 2).boards
    assert [row.symbol for row in board.rows] == ["A", "B", "C"]


def test_a_symbol_whose_rank_is_unknown_matches_but_is_not_shown() -> None:
    reference = ReferenceData(symbols={"B": SymbolReference(previous_close=8.0)})
    engine = an_engine(a_board("change_percent", descending=False), reference=reference)
    trade(engine, 1, 10.0, symbol="A")
    trade(engine, 1, 10.0, symbol="B")
    (board,) = tick(engine, 2).boards
    assert ([row.symbol for row in board.rows], board.matches) == (["B"], 2)


def test_unknown_cells_are_null_in_json() -> None:
    engine = an_engine(a_board("price", "previous_close", "new_high_of_day", "price"))
    trade(engine, 1, 10.0)
    document = msgspec.json.encode(tick(engine, 2).boards[0])
    assert json.loads(document)["rows"][0]["values"] == [None, False, 10.0]


def test_a_rank_that_divides_by_zero_is_unknown() -> None:
    engine = an_engine(a_board("price / (price - 10.0)", "price"))
    trade(engine, 1, 10.0, symbol="A")
    trade(engine, 1, 12.0, symbol="B")
    (board,) = tick(engine, 2).boards
    assert [(row.symbol, row.rank_value) for row in board.rows] == [("B", 6.0)]


def test_a_board_without_any_symbol_is_empty() -> None:
    (board,) = tick(an_engine(a_board("price", where="price > 1.0")), 0).boards
    assert (board.rows, board.matches) == ((), 0)


@given(
    ranks=st.lists(st.sampled_from([1.0, 2.0, 3.0, float("nan"), float("inf")]), min_size=1, max_size=40),
    limit=st.integers(1, 50),
    descending=st.booleans(),
    seed=st.integers(0, 9),
)
def test_the_best_rows_are_those_of_a_full_sort(*, ranks: list[float], limit: int, descending: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    names = np.array([f"S{number:02d}" for number in random.permutation(len(ranks))])
    matching = random.random(len(ranks)) < 0.7
    rank = np.array(ranks)
    candidates = [row for row in range(len(ranks)) if matching[row] and np.isfinite(rank[row])]
    candidates.sort(key=lambda row: (-rank[row] if descending else rank[row], names[row]))
    assert best_rows(rank, matching, names, limit, descending=descending).tolist() == candidates[:limit]


def test_a_signal_fires_when_its_condition_becomes_true_and_not_again_while_it_stays() -> None:
    engine = an_engine(a_signal(where="price > 10.0"))
    trade(engine, 0, 9.0)
    assert fired(tick(engine, 1)) == []
    trade(engine, 1, 11.0)
    (signal,) = tick(engine, 2).signals
    assert signal.signal_id == f"{OPEN_NS + 2 * SECOND_NS}:signal:AAA"
    assert (signal.price, signal.columns, signal.values) == (11.0, ("price",), (11.0,))
    assert signal.explanation == "price 11 > 10.0"
    assert fired(tick(engine, 3)) == []
    trade(engine, 4, 9.0)
    assert fired(tick(engine, 5)) == []
    trade(engine, 6, 12.0)
    assert fired(tick(engine, 7)) == [("signal", "AAA")]
    figures = engine.scanner_figures()["signal"]
    assert (figures["matches"], figures["signals_total"]) == (1.0, 2.0)
    assert figures["last_signal_unix_seconds"] == engine.tick_ns / 1e9


def test_what_matches_already_when_a_scanner_begins_does_not_fire_but_what_appears_later_does() -> None:
    engine = an_engine(a_signal(where="price > 10.0"))
    trade(engine, 0, 11.0, symbol="OLD")
    assert fired(tick(engine, 1)) == []
    trade(engine, 1, 11.0, symbol="NEW")
    assert fired(tick(engine, 2)) == [("signal", "NEW")]
    trade(engine, 2, 9.0, symbol="OLD")
    tick(engine, 3)
    trade(engine, 3, 11.0, symbol="OLD")
    assert fired(tick(engine, 4)) == [("signal", "OLD")]


def test_an_event_fires_at_every_tick_at_which_it_happens_and_from_the_first_evaluation_on() -> None:
    engine = an_engine(a_signal("new_high_of_day", where="price > 5.0"))
    trade(engine, 0, 10.0)
    tick(engine, 1)
    for second in (1, 2, 3):
        trade(engine, second, 10.0 + second)
        (signal,) = tick(engine, second + 1).signals
        assert signal.explanation == f"price {10 + second} > 5.0 && new_high_of_day"
    assert fired(tick(engine, 5)) == []


def test_within_the_cooldown_of_a_symbol_nothing_fires_and_nothing_is_kept_for_later() -> None:
    engine = an_engine(a_signal("new_high_of_day", cooldown_ns=10 * SECOND_NS))
    for symbol in ("AAA", "BBB"):
        trade(engine, 0, 10.0, symbol=symbol)
    tick(engine, 1)
    trade(engine, 1, 11.0)
    assert fired(tick(engine, 2)) == [("signal", "AAA")]
    trade(engine, 5, 12.0)
    trade(engine, 5, 12.0, symbol="BBB")
    assert fired(tick(engine, 6)) == [("signal", "BBB")]
    assert fired(tick(engine, 11.9)) == []
    trade(engine, 11.95, 13.0)
    assert fired(tick(engine, 12)) == [("signal", "AAA")]


def test_a_condition_that_becomes_true_within_the_cooldown_does_not_fire_at_its_end() -> None:
    engine = an_engine(a_signal(where="price > 10.0", cooldown_ns=10 * SECOND_NS))
    for second, price in [(0, 9.0), (1, 11.0), (2, 9.0), (3, 11.0)]:
        trade(engine, second, price)
        tick(engine, second + 0.5)
    assert fired(tick(engine, 30)) == []
    trade(engine, 31, 9.0)
    tick(engine, 32)
    trade(engine, 33, 11.0)
    assert fired(tick(engine, 34)) == [("signal", "AAA")]


def test_signals_come_in_the_order_of_scanners_and_symbols() -> None:
    engine = an_engine(a_signal(where="price > 10.0", name="z"), a_signal(where="price > 10.0", name="a"))
    for symbol in ("B", "C", "A"):
        trade(engine, 0, 9.0, symbol=symbol)
    tick(engine, 1)
    for symbol in ("C", "A", "B"):
        trade(engine, 1, 11.0, symbol=symbol)
    evaluation = tick(engine, 2)
    assert fired(evaluation) == [("z", "A"), ("z", "B"), ("z", "C"), ("a", "A"), ("a", "B"), ("a", "C")]
    assert evaluation.changed == ("A", "B", "C")


def test_a_signal_beside_a_board_carries_the_boards_columns() -> None:
    board = BoardConfiguration(rank_by="volume", descending=True, limit=5, columns=("volume", "previous_close"))
    signal = SignalConfiguration(when="new_low_of_day", cooldown_ns=0)
    engine = an_engine(ScannerConfiguration(name="both", where="volume > 150.0", board=board, signal=signal))
    trade(engine, 0, 10.0)
    tick(engine, 1)
    trade(engine, 1, 9.0)
    evaluation = tick(engine, 2)
    assert [row.symbol for row in evaluation.boards[0].rows] == ["AAA"]
    assert (evaluation.signals[0].columns, evaluation.signals[0].values) == (
        ("volume", "previous_close"),
        (200.0, None),
    )


def test_only_symbols_that_an_event_touched_are_changed() -> None:
    engine = an_engine()
    trade(engine, 0, 10.0, symbol="B")
    trade(engine, 0, 10.0, symbol="A")
    assert tick(engine, 1).changed == ("A", "B")
    trade(engine, 1, 10.0, symbol="B")
    assert tick(engine, 2).changed == ("B",)
    assert tick(engine, 3).changed == ()


def test_a_scanner_that_does_not_compile_is_refused_when_the_engine_is_made() -> None:
    with pytest.raises(ExpressionError, match="unknown"):
        an_engine(a_signal(where="prise > 10.0"))
