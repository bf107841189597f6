"""The same recording gives the same boards and signals, byte for byte: at any speed, cut in any way, in any home.

Every run is compared with the first of its recording: every board that it ends with, and every signal on the way. A scanner
that fires at every tick for every symbol it matches makes signals of what boards show on the way, since of boards only the
newest counts and those of a busy tick are left out, by design.
"""

import subprocess
import sys
from collections.abc import Callable
from itertools import chain, zip_longest
from pathlib import Path

import pytest
import pytest_asyncio

from scanplane.cache.factory import open_cache
from scanplane.marketdata.channels import Channel
from scanplane.simulator.sessions.choice import choose_session
from scanplane.simulator.sessions.recorded import write_recording
from scanplane.simulator.sessions.ticks import TickSession
from scanplane.simulator.settings import SimulatorSettings
from support.findings import say
from support.journeys import Deployment, Results, SimulatorProcess, read_results
from support.memory_home import Run, play_recording, play_session
from support.resource_texts import a_board, a_signal, massive_feed, on_servers, pipeline, replay_feed
from support.servers import RabbitServer, RedisServer
from support.truth import Ticks
from support.windows import Window

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240)]

MARKET = "us-stocks"
COLUMNS = (
    "price", "open", "high", "low", "high_of_day", "low_of_day", "vwap", "volume", "premarket_volume",
    "change_1m_percent", "volume_1m", "volume_5m",
)  # fmt: skip
SCANNERS = (
    a_board("movers", "change_1m_percent", COLUMNS, signal="change_1m_percent > 0.05"),
    a_board("falling", "change_1m_percent", COLUMNS, order="Ascending"),
    a_signal("highs", "new_high_of_day", cooldown="10s"),
    a_signal("lows", "new_low_of_day"),
    a_signal("crossings", "crossed_above_vwap || crossed_below_vwap"),
)
AT_EVERY_TICK = "volume > 0.0 || new_high_of_day"
"""What is true of every symbol that traded, and asks for an event: such a signal fires at every tick."""

MakeText = Callable[[str], str]


def ticks_pipeline(partitions: int, *, batch_delay: str = "5ms") -> MakeText:
    """Return what makes the pipeline of the real ticks from a Feed."""
    tape = a_board("tape", "volume_1m", (*COLUMNS, "bid", "ask", "spread_percent"), signal=AT_EVERY_TICK)
    return lambda feed: pipeline(
        feed, ["Trades", "Quotes"], [*SCANNERS, tape], partitions=partitions, batch_delay=batch_delay
    )


def market_pipeline(partitions: int, *, batch_delay: str = "5ms") -> MakeText:
    """Return what makes the pipeline of the whole market's bars from a Feed."""
    busy = a_board("busy", "volume_5m", COLUMNS, where="volume > 50000000.0 || volume < 250.0", signal=AT_EVERY_TICK)
    everything = a_board("everything", "volume", COLUMNS)
    return lambda feed: pipeline(
        feed,
        ["SecondAggregates", "MinuteAggregates"],
        [*SCANNERS, busy, everything],
        partitions=partitions,
        interval="60s",
        batch_delay=batch_delay,
    )


def assert_nothing_lost(run: Run) -> None:
    assert run.losses() == {}
    assert run.figures.total("events_total") == run.events
    assert run.figures.total("signals_total") == len(run.results.signals), "the cache keeps only so many"
    assert run.connections <= 1


def first_difference(run: Results, first: Results) -> object:
    """Return the first signal or row that differs, of both runs; None if all is the same, byte for byte."""
    boards, others = run.merged(), first.merged()
    rows, other_rows = ([row for board in each.values() for row in board.rows] for each in (boards, others))
    for pair in chain(zip_longest(run.signals, first.signals), zip_longest(rows, other_rows)):
        if pair[0] != pair[1]:
            return pair
    return None if run.encode_merged() == first.encode_merged() else (boards, others)


def assert_same(run: Run, first: Run) -> None:
    assert_nothing_lost(run)
    assert_equal(run.results, first.results, run.events)


def assert_equal(results: Results, first: Results, events: int) -> None:
    assert first_difference(results, first) is None
    say(
        f"{events:,} events, {len(results.merged())} boards, {len(results.signals):,} signals: 0 bytes differ from the first run"
    )


# --- real ticks ---


@pytest.fixture(scope="module")
def opening() -> Window:
    """Every trade and quote around the open: premarket, the opening auctions, the first minutes."""
    first_ns = Ticks.MIDNIGHT_NS + (9 * 60 + 27) * 60 * 10**9
    return Window(TickSession(), first_ns, first_ns + 9 * 60 * 10**9)


@pytest.fixture(scope="module")
def ticks(opening: Window, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The same as a recording, and the number of its events."""
    path = tmp_path_factory.mktemp("ticks") / "opening.rec"
    return path, write_recording(opening, path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def first_ticks(opening: Window) -> Run:
    """The first run: from the session itself, one partition, as fast as it goes."""
    run = await play_session(opening, ticks_pipeline(1))
    assert_nothing_lost(run)
    assert len(run.results.signals) > 5000
    return run


@pytest.mark.parametrize(
    ("partitions", "speed", "frames", "batch_delay"),
    [(4, 0.0, (1, 10), "5ms"), (1, 60.0, (500, 500), "0ms"), (4, 60.0, (1, 500), "20ms")],
)
async def test_real_ticks_from_a_socket_are_the_same_at_any_speed_in_any_number_of_partitions(
    first_ticks: Run, opening: Window, partitions: int, speed: float, frames: tuple[int, int], batch_delay: str
) -> None:
    settings = SimulatorSettings(speed=speed, frame_events=frames, max_buffer_bytes=2**30)
    run = await play_session(opening, ticks_pipeline(partitions, batch_delay=batch_delay), settings)
    assert_same(run, first_ticks)


@pytest.mark.parametrize(("partitions", "speed"), [(1, 0.0), (4, 100.0)])
async def test_real_ticks_from_a_recording_are_the_same_as_from_a_socket(
    first_ticks: Run, ticks: tuple[Path, int], partitions: int, speed: float
) -> None:
    path, events = ticks
    run = await play_recording(ticks_pipeline(partitions)(replay_feed(path, speed)), events)
    assert_same(run, first_ticks)


async def test_a_long_interval_is_the_same_at_a_speed_that_leaves_seconds_of_silence_within_it() -> None:
    first_ns = Ticks.MIDNIGHT_NS + (8 * 60 + 15) * 60 * 10**9
    quiet = Window(TickSession(symbols=("SPY",), quotes=False), first_ns, first_ns + 5 * 60 * 10**9)

    def by_the_minute(feed: str) -> str:
        return pipeline(feed, ["Trades"], [a_board("tape", "volume", COLUMNS, signal=AT_EVERY_TICK)], interval="60s")

    fast = await play_session(quiet, by_the_minute)
    slow = await play_session(quiet, by_the_minute, SimulatorSettings(speed=20.0))
    assert_nothing_lost(fast)
    assert len(fast.results.signals) > 3
    assert_same(slow, fast)


# --- the whole market's bars, some of them late or corrected ---

BARS = (
    "market",
    "--events",
    "40000",
    "--corrections",
    "0.3",
    "--channel",
    "SecondAggregates",
    "--channel",
    "MinuteAggregates",
)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A day of bars as the command records it, and the number of its events."""
    path = tmp_path_factory.mktemp("market") / "market.rec"
    command = [sys.executable, "-m", "scanplane.cli", "simulate", *BARS, "--prepare", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    return path, int(said.split()[1].replace(",", ""))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def first_market(market: tuple[Path, int]) -> Run:
    """The first run: from the recording, one partition, as fast as it goes."""
    path, events = market
    run = await play_recording(market_pipeline(1)(replay_feed(path, 0.0)), events)
    assert_nothing_lost(run)
    assert run.figures.total("repeated_bars_total") > 1000
    assert len(run.results.signals) > 5000
    return run


@pytest.mark.parametrize(
    ("partitions", "speed", "frames", "batch_delay"),
    [(4, 0.0, (1, 20), "0ms"), (1, 6000.0, (500, 500), "20ms"), (4, 6000.0, (1, 500), "5ms")],
)
async def test_late_and_corrected_bars_from_a_socket_are_the_same_as_from_a_recording(
    first_market: Run, partitions: int, speed: float, frames: tuple[int, int], batch_delay: str
) -> None:
    channels = (Channel.SECOND_AGGREGATES, Channel.MINUTE_AGGREGATES)
    session = choose_session("market", events=40_000, channels=channels, corrections=0.3)
    settings = SimulatorSettings(speed=speed, frame_events=frames, max_buffer_bytes=2**30)
    run = await play_session(session, market_pipeline(partitions, batch_delay=batch_delay), settings)
    assert_same(run, first_market)


async def test_a_recording_is_the_same_in_four_partitions_at_another_speed(
    first_market: Run, market: tuple[Path, int]
) -> None:
    path, events = market
    run = await play_recording(market_pipeline(4)(replay_feed(path, 6000.0)), events)
    assert_same(run, first_market)


# --- processes, RabbitMQ and Redis ---


async def in_processes(
    folder: Path, namespace: str, text: str, rabbit: RabbitServer, redis: RedisServer, simulator: SimulatorProcess | None,
    events: int,
) -> tuple[Results, dict[str, float]]:  # fmt: skip
    """Run *text* with every role as a process; return what it ends with, and what was lost."""
    with Deployment(folder, namespace) as deployment:
        deployment.apply(on_servers(text, rabbit.url, redis.url))
        figures = deployment.wait_until_complete(events, 100)
        losses = figures.losses(finished=simulator is None)
        if simulator is not None:
            losses |= simulator.losses()
        assert figures.total("events_total") == events
    cache = open_cache(redis.url, namespace)
    try:
        return await read_results(cache, namespace, MARKET), losses
    finally:
        await cache.close()


@pytest.mark.server
async def test_real_ticks_through_processes_and_servers_are_the_same_as_in_one_process(
    first_ticks: Run,
    ticks: tuple[Path, int],
    tmp_path: Path,
    namespace: str,
    rabbit_server: RabbitServer,
    redis_server: RedisServer,
) -> None:
    path, events = ticks
    replayed, losses = await in_processes(
        tmp_path, namespace, ticks_pipeline(1)(replay_feed(path, 0.0)), rabbit_server, redis_server, None, events
    )
    assert losses == {}
    assert_equal(replayed, first_ticks.results, events)


@pytest.mark.server
async def test_corrected_bars_through_processes_and_servers_are_the_same_as_in_one_process(
    first_market: Run,
    market: tuple[Path, int],
    tmp_path: Path,
    namespace: str,
    rabbit_server: RabbitServer,
    redis_server: RedisServer,
) -> None:
    with SimulatorProcess(tmp_path, *BARS, "--speed", "6000", "--frame-events", "1-500") as simulator:
        text = market_pipeline(4)(massive_feed(simulator.url))
        streamed, losses = await in_processes(
            tmp_path, namespace, text, rabbit_server, redis_server, simulator, market[1]
        )
    assert losses == {}
    assert_equal(streamed, first_market.results, market[1])
