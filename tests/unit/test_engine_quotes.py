"""What quotes do to features."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.marketdata.batches import Tick, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Quote
from support.engine_market import SECOND_NS, a_signal, an_engine, features, new_york

OPEN_NS = new_york("2026-03-10 09:30")
NAN = float("nan")

Sides = tuple[float, float]


def a_quote(after_ns: int, bid: float, ask: float) -> Quote:
    return Quote("AAA", OPEN_NS + after_ns, bid, 1.0, ask, 1.0)


def after(*batches: Sequence[Quote]) -> dict[str, object]:
    engine = an_engine()
    for quotes in batches:
        engine.apply(Channel.QUOTES, encode_events(quotes))
    engine.tick(Tick(OPEN_NS + SECOND_NS))
    known = features(engine, "AAA")
    return {name: known.get(name) for name in ("bid", "ask", "spread_percent")}


@pytest.mark.parametrize(
    ("newest", "spread"),
    [
        ((10.0, 10.1), 0.1 / 10.05 * 100),
        ((10.0, 10.0), 0.0),  # locked
        ((10.5, 10.0), None),  # crossed
        ((NAN, 12.0), None),
        ((9.0, NAN), None),
        ((NAN, NAN), None),
        ((0.0, 12.0), None),
    ],
)
def test_the_newest_quote_says_both_sides_and_a_spread_only_where_the_ask_is_not_below_the_bid(
    newest: Sides, spread: float | None
) -> None:
    known = after([a_quote(1, 10.0, 10.1)], [a_quote(2, *newest)])
    assert (known["bid"], known["ask"]) == tuple(price if price > 0 else None for price in newest)
    assert known["spread_percent"] == (spread if spread is None else pytest.approx(spread))


def test_an_older_quote_that_arrives_later_changes_neither_side() -> None:
    known = after([a_quote(0, 9.99, 10.01), a_quote(2, NAN, 10.03), a_quote(1, 9.0, 11.0)])
    assert (known["bid"], known["ask"]) == (None, 10.03)


def test_of_quotes_at_the_same_instant_the_later_arrival_counts() -> None:
    assert after([a_quote(1, 9.0, 11.0), a_quote(1, 9.5, NAN)])["bid"] == 9.5
    assert after([a_quote(1, 9.0, 11.0)], [a_quote(1, 9.5, NAN)])["ask"] is None


@pytest.mark.parametrize("sides", [(10.5, 10.0), (NAN, 12.0), (10.0, NAN)])
def test_a_crossed_or_one_sided_market_passes_no_filter_of_the_spread(sides: Sides) -> None:
    engine = an_engine(a_signal(where="spread_percent < 0.5"))
    engine.tick(Tick(OPEN_NS))
    engine.apply(Channel.QUOTES, encode_events([a_quote(1, *sides)]))
    assert engine.tick(Tick(OPEN_NS + SECOND_NS)).signals == ()
    engine.apply(Channel.QUOTES, encode_events([a_quote(SECOND_NS, 10.0, 10.01)]))
    assert len(engine.tick(Tick(OPEN_NS + 2 * SECOND_NS)).signals) == 1


SIDES = st.sampled_from([NAN, 9.5, 10.0, 10.5])


@settings(max_examples=150, deadline=None)
@given(quotes=st.lists(st.tuples(st.integers(0, 5), SIDES, SIDES), min_size=1, max_size=20), size=st.integers(1, 20))
def test_both_sides_are_those_of_one_quote_the_newest_in_any_batches(
    quotes: list[tuple[int, float, float]], size: int
) -> None:
    made = [a_quote(*quote) for quote in quotes]
    known = after(*(made[place : place + size] for place in range(0, len(made), size)))
    newest = max(enumerate(quotes), key=lambda numbered: (numbered[1][0], numbered[0]))[1]
    assert (known["bid"], known["ask"]) == tuple(price if price > 0 else None for price in newest[1:])
