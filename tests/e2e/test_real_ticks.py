"""Every real trade and quote of a day, from a provider's socket to the cache, against SQL over the source files.

Four processes and two servers: the simulated provider, the listener, RabbitMQ, the analyzer, Redis. One run serves all tests.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from scanplane.cache.factory import open_cache
from scanplane.marketdata.results import QuoteRow, Signal
from support.findings import say
from support.journeys import (
    Deployment,
    Figures,
    Results,
    SimulatorProcess,
    read_quotes,
    read_results,
)
from support.resource_texts import a_board, a_signal, massive_feed, on_servers, pipeline
from support.servers import RabbitServer, RedisServer
from support.truth import Moment, Ticks

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.timeout(400)]

NAMESPACE = "real-ticks"
MARKET = "us-stocks"
INTERVAL_MS = 250
COLUMNS = (
    "price", "volume", "premarket_volume", "vwap", "open", "high_of_day", "low_of_day", "high", "low",
    "premarket_high", "premarket_low", "bid", "ask", "spread_percent", "change_1m_percent", "change_5m_percent",
    "change_15m_percent", "volume_1m", "volume_5m",
)  # fmt: skip
RESOURCES = (
    a_board("lows", "volume", COLUMNS, signal="new_low_of_day"),
    a_signal("highs", "new_high_of_day"),
    a_signal("paced-lows", "new_low_of_day", cooldown="1s"),
    a_signal("regular-highs", "new_high_of_day", where="session == 'regular'"),
    a_signal("crossings", "crossed_above_vwap || crossed_below_vwap"),
)


QUOTIENTS = {"vwap", "spread_percent", "change_1m_percent", "change_5m_percent", "change_15m_percent"}


class Journey(msgspec.Struct, frozen=True):
    """What the run ended with."""

    results: Results
    quotes: dict[str, QuoteRow]
    figures: Figures
    events: int
    losses: dict[str, float]

    def signals(self, scanner: str) -> list[Signal]:
        return [signal for signal in self.results.signals if signal.scanner == scanner]

    def moments(self, scanner: str) -> list[Moment]:
        return [moment_of(signal) for signal in self.signals(scanner)]


def moment_of(signal: Signal) -> Moment:
    tick_ms, rest = divmod(signal.tick_ns - Ticks.MIDNIGHT_NS, 1_000_000)
    assert rest == 0
    return tick_ms, signal.symbol


@pytest.fixture(scope="module")
def truth() -> Ticks:
    return Ticks(INTERVAL_MS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real-ticks")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def journey(folder: Path, rabbit_server: RabbitServer, redis_server: RedisServer, truth: Ticks) -> Journey:
    with (
        SimulatorProcess(folder, "ticks", "--speed", "0") as simulator,
        Deployment(folder, NAMESPACE) as deployment,
    ):
        text = pipeline(massive_feed(simulator.url), ["Trades", "Quotes"], RESOURCES, interval=f"{INTERVAL_MS}ms")
        deployment.apply(on_servers(text, rabbit_server.url, redis_server.url))
        events = simulator.wait_until_finished(180)
        figures = deployment.wait_until_complete(truth.events, 180)
        losses = simulator.losses() | figures.losses()
    cache = open_cache(redis_server.url, NAMESPACE)
    try:
        results = await read_results(cache, NAMESPACE, MARKET)
        return Journey(results, await read_quotes(cache, NAMESPACE, MARKET), figures, events, losses)
    finally:
        await cache.close()


def assert_equal(seen: dict[str, Any], true: dict[str, float | None], where: object) -> None:
    """Prices and volumes are equal; what is a quotient of sums may differ in the last digits."""
    for name, expected in true.items():
        if name == "volume_15m":
            continue  # no feature
        if name in QUOTIENTS and expected is not None:
            assert seen.get(name) == pytest.approx(expected, rel=1e-11, abs=1e-11), (where, name)
        else:
            assert seen.get(name) == expected, (where, name)


def test_every_event_arrives_once_over_one_connection_and_nothing_is_lost(journey: Journey, truth: Ticks) -> None:
    assert journey.events == truth.events
    assert journey.losses == {}
    assert journey.figures.total("evaluations_total") == truth.ticks
    assert journey.figures.total("trades_total") + journey.figures.total("quotes_total") == truth.events
    say(f"{truth.events:,} real trades and quotes over one connection, {truth.ticks:,} ticks: 0 lost, 0 repeated")


def test_every_feature_of_every_symbol_ends_where_sql_over_the_source_ends(journey: Journey, truth: Ticks) -> None:
    assert sorted(journey.quotes) == [symbol for _, symbol in truth.last]
    for (_, symbol), true in truth.figures(truth.last).items():
        assert_equal(journey.quotes[symbol].values, true, symbol)
    say(f"{len(true) - 1} features of {', '.join(sorted(journey.quotes))}: 0 differ from SQL over the source")


def test_the_board_shows_the_same_numbers_by_volume(journey: Journey, truth: Ticks) -> None:
    rows = journey.results.rows("lows")
    by_volume = truth.query(
        "SELECT symbol FROM trades WHERE counts_volume GROUP BY symbol ORDER BY sum(size) DESC, symbol"
    )
    assert list(rows) == [symbol for (symbol,) in by_volume]
    for (_, symbol), true in truth.figures(truth.last).items():
        assert_equal(dict(rows[symbol]), true, symbol)


@pytest.mark.parametrize(
    ("scanner", "rule"),
    [
        ("highs", {}),
        ("lows", {"extreme": "min"}),
        ("paced-lows", {"extreme": "min", "cooldown_ms": 1000}),
        ("regular-highs", {"regular_only": True}),
    ],
)
def test_every_new_extreme_of_the_day_is_at_the_tick_where_sql_puts_it(
    journey: Journey, truth: Ticks, scanner: str, rule: dict[str, Any]
) -> None:
    expected = truth.new_extremes(**rule)
    assert len(expected) > 10
    assert journey.moments(scanner) == expected
    say(f"{scanner}: {len(expected):,} signals, 0 at another tick than SQL puts them")


def test_every_crossing_of_vwap_is_at_the_tick_where_sql_puts_it(journey: Journey, truth: Ticks) -> None:
    expected = truth.vwap_crossings()
    assert len(expected) > 10
    assert journey.moments("crossings") == expected
    say(f"{len(expected):,} crossings of VWAP, 0 at another tick than SQL puts them")


def test_what_a_signal_says_of_its_symbol_was_true_at_its_tick(journey: Journey, truth: Ticks) -> None:
    at_ticks = truth.figures(journey.moments("lows"))
    assert len(at_ticks) > 400
    for signal in journey.signals("lows"):
        seen = dict(zip(signal.columns, signal.values, strict=True))
        assert_equal(seen, at_ticks[moment_of(signal)], signal.signal_id)
        assert signal.price == seen["price"]
    say(f"what {len(at_ticks):,} signals say of their symbol: 0 differences from SQL at their ticks")
