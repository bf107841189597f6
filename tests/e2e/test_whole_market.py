"""The whole US stock market for a day, from a provider's socket to the cache, against SQL over the daily files.

The session leads every symbol from its real close of the day before to its real close and volume of the day, so SQL over
those files says how every board must end. One run of four processes and two servers serves all tests.
"""

from collections.abc import Sequence

import msgspec
import pytest
import pytest_asyncio

from scanplane.cache.factory import open_cache
from scanplane.marketdata.results import QuoteRow, Value
from support.findings import say
from support.journeys import Deployment, Figures, Results, SimulatorProcess, read_quotes, read_results
from support.resource_texts import a_board, massive_feed, on_servers, pipeline
from support.servers import RabbitServer, RedisServer
from support.truth import Daily

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.timeout(240)]

NAMESPACE = "whole-market"
MARKET = "us-stocks"
EVENTS = 600_000
COLUMNS = ("price", "volume", "previous_close", "change_percent")
RESOURCES = (
    a_board("by-volume", "volume", COLUMNS),
    a_board("gainers", "change_percent", COLUMNS, where="price > 1.0 && volume > 100000.0"),
    a_board("losers", "change_percent", COLUMNS, where="price > 1.0 && volume > 100000.0", order="Ascending"),
)


class Journey(msgspec.Struct, frozen=True):
    """What the run ended with."""

    results: Results
    quotes: dict[str, QuoteRow]
    figures: Figures
    events: int
    losses: dict[str, float]


@pytest.fixture(scope="module")
def truth() -> Daily:
    return Daily()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def journey(
    tmp_path_factory: pytest.TempPathFactory, rabbit_server: RabbitServer, redis_server: RedisServer
) -> Journey:
    folder = tmp_path_factory.mktemp("whole-market")
    with (
        SimulatorProcess(folder, "market", "--events", str(EVENTS), "--speed", "0") as simulator,
        Deployment(folder, NAMESPACE) as deployment,
    ):
        feed = massive_feed(simulator.url)
        text = pipeline(feed, ["SecondAggregates"], RESOURCES, interval="30s", partitions=2, previous_close="Provider")
        deployment.apply(on_servers(text, rabbit_server.url, redis_server.url))
        events = simulator.wait_until_finished()
        figures = deployment.wait_until_complete(events)
        losses = simulator.losses() | figures.losses()
    cache = open_cache(redis_server.url, NAMESPACE)
    try:
        results = await read_results(cache, NAMESPACE, MARKET)
        return Journey(results, await read_quotes(cache, NAMESPACE, MARKET), figures, events, losses)
    finally:
        await cache.close()


def assert_equal(seen: Sequence[Value], true: Sequence[float | None], symbol: str) -> None:
    """Price and volume are equal; what was divided may differ in the last digits. Who is new has no previous close."""
    assert list(seen[:2]) == list(true[:2]), symbol
    for figure, expected in zip(seen[2:], true[2:], strict=True):
        close_enough = None if expected is None else pytest.approx(expected, rel=1e-11, abs=1e-11)
        assert figure == close_enough, symbol


def test_every_event_arrives_once_over_one_connection_and_nothing_is_lost(journey: Journey) -> None:
    assert journey.events == EVENTS
    assert journey.losses == {}
    assert journey.figures.total("second_aggregates_total") == EVENTS
    say(f"{EVENTS:,} events over one connection to two partitions: 0 lost, 0 repeated")


@pytest.mark.parametrize(
    ("scanner", "ranking"),
    [
        ("by-volume", "ORDER BY volume DESC, symbol"),
        ("gainers", "WHERE price > 1 AND volume > 100000 ORDER BY change_percent DESC NULLS LAST, symbol"),
        ("losers", "WHERE price > 1 AND volume > 100000 ORDER BY change_percent ASC NULLS LAST, symbol"),
    ],
)
def test_a_board_ends_with_the_fifty_symbols_that_sql_puts_first(
    journey: Journey, truth: Daily, scanner: str, ranking: str
) -> None:
    expected = truth.query(f"SELECT symbol, {', '.join(COLUMNS)} FROM today {ranking} LIMIT 50")
    board = journey.results.merged()[scanner]
    assert [row.symbol for row in board.rows] == [symbol for symbol, *_ in expected]
    for row, (symbol, *true) in zip(board.rows, expected, strict=True):
        assert_equal(row.values, true, symbol)
    say(f"{scanner}: {len(expected)} rows in the order of SQL, {', '.join(row.symbol for row in board.rows[:5])} first")


@pytest.mark.parametrize(
    ("scanner", "condition"),
    [
        ("by-volume", "true"),
        ("gainers", "price > 1 AND volume > 100000"),
        ("losers", "price > 1 AND volume > 100000"),
    ],
)
def test_a_board_counts_as_many_matches_as_sql(journey: Journey, truth: Daily, scanner: str, condition: str) -> None:
    ((matches,),) = truth.query(f"SELECT count(*) FROM today WHERE {condition}")
    assert journey.results.merged()[scanner].matches == matches
    say(f"{scanner}: {matches:,} matches, as many as SQL counts")


def test_every_symbol_of_the_market_ends_at_its_real_close_volume_and_change(journey: Journey, truth: Daily) -> None:
    expected = truth.query(f"SELECT symbol, {', '.join(COLUMNS)} FROM today")
    assert len(expected) > 7000
    assert journey.quotes.keys() == {symbol for symbol, *_ in expected}
    for symbol, *true in expected:
        assert_equal([journey.quotes[symbol].values.get(name) for name in COLUMNS], true, symbol)
    say(f"{', '.join(COLUMNS)} of {len(expected):,} symbols: 0 differ from SQL over the daily files")


def test_the_facts_that_are_known_of_the_day_are_on_the_boards(journey: Journey) -> None:
    boards = journey.results.merged()
    assert [row.symbol for row in boards["by-volume"].rows[:5]] == ["PLUG", "SPY", "FB", "SIRI", "BAC"]
    assert boards["by-volume"].rows[0].rank_value == 107_358_756
    best = boards["gainers"].rows[0]
    assert (best.symbol, round(best.rank_value, 2)) == ("FFHL", 26.17)
