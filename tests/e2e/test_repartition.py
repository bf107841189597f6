"""The number of partitions changes twice in mid-session, analyzers are killed in between, and nothing is different for it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scanplane.cache import keys
from scanplane.cache.factory import open_cache
from support.findings import say
from support.journeys import Deployment, Figures, SimulatorProcess, read_quotes, read_results, wait_for
from support.outcomes import Outcome
from support.resource_texts import a_board, a_signal, massive_feed, on_servers, pipeline
from support.servers import RabbitServer, RedisServer

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.timeout(400)]

MARKET = "us-stocks"
EVENTS = 200_000
SPEED, CALM_SPEED = 500.0, 4000.0  # a day of sixteen hours in two minutes, or in fifteen seconds: results are the same
COLUMNS = ("price", "open", "high_of_day", "low_of_day", "vwap", "volume", "change_5m_percent", "volume_5m")
SCANNERS = (
    a_board("volume", "volume", COLUMNS),
    a_board("movers", "change_5m_percent", COLUMNS, where="volume > 1000.0", signal="change_5m_percent > 1.0"),
    a_signal("highs", "new_high_of_day", where="volume > 1000000.0", cooldown="5m"),
)

Change = Callable[[Deployment, SimulatorProcess, Callable[[int], str]], None]


async def play(
    folder: Path,
    namespace: str,
    rabbit: RabbitServer,
    redis: RedisServer,
    partitions: int,
    change: Change,
    speed: float,
) -> Outcome:
    """Play the session once, begun with one partition and ended with *partitions*."""
    arguments = ("market", "--events", str(EVENTS), "--speed", str(speed), "--hold")
    cache = open_cache(redis.url, namespace)
    try:
        with SimulatorProcess(folder, *arguments) as simulator, Deployment(folder, namespace) as deployment:

            def text(count: int) -> str:
                feed = massive_feed(simulator.url)
                return on_servers(
                    pipeline(feed, ["SecondAggregates"], SCANNERS, interval="60s", partitions=count),
                    rabbit.url,
                    redis.url,
                )

            deployment.apply(text(1))
            change(deployment, simulator, text)
            simulator.wait_until_finished(200)
            figures = wait_until_applied(deployment, partitions)
            connections = int(simulator.status()["connections"]["maximum"])
        results = await read_results(cache, namespace, MARKET)
        there = await cache.list_keys(keys.boards_prefix(namespace, MARKET))
        assert all(key.endswith(f"-of-{partitions}") for key in there), there
        return Outcome(results, await read_quotes(cache, namespace, MARKET), figures, connections)
    finally:
        await cache.close()


def wait_until_applied(deployment: Deployment, partitions: int) -> Figures:
    """Wait until the tick that closes the last interval was evaluated in every partition."""
    found: list[Figures] = []

    def applied() -> bool:
        found.append(deployment.figures())
        newest = max(each.get("event_time_unix_seconds", float("inf")) for each in found[-1].listeners.values())
        ticks = [each.get("tick_unix_seconds", 0.0) for each in found[-1].analyzers.values()]
        return len(ticks) == partitions and all(tick > newest for tick in ticks)

    wait_for(applied, "the last tick", 120, pause_s=0.25)
    return found[-1]


async def test_one_four_and_two_partitions_with_kills_are_like_one(
    tmp_path: Path, rabbit_server: RabbitServer, redis_server: RedisServer, namespace: str
) -> None:
    def change_twice(deployment: Deployment, simulator: SimulatorProcess, text: Callable[[int], str]) -> None:
        simulator.wait_events(EVENTS // 10)
        # Killed while it empties the only partition there was, at full load.
        deployment.apply(text(4), meanwhile=lambda: deployment.kill("analyzer-us-stocks-0"))
        simulator.wait_events(EVENTS // 3)

        def kill_two() -> None:
            deployment.kill("analyzer-us-stocks-1")  # of the new layout, while it empties the old
            deployment.kill("analyzer-us-stocks-3")  # of the old layout, which it is still in charge of

        deployment.apply(text(2), meanwhile=kill_two)
        assert not simulator.finished, "the session ended before the changes did"

    calm = await play(
        tmp_path / "calm", f"{namespace}-calm", rabbit_server, redis_server, 1, lambda *_: None, CALM_SPEED
    )
    changed = await play(
        tmp_path / "changed", f"{namespace}-changed", rabbit_server, redis_server, 2, change_twice, SPEED
    )
    assert len(calm.results.signals) > 100
    assert changed.results.merged() == calm.results.merged()
    assert changed.results.signals == calm.results.signals
    assert changed.quotes == calm.quotes
    assert changed.connections == 1
    for figure in ("missing_batches_total", "lost_seals_total", "lost_states_total"):
        assert changed.figures.total(figure) == 0, figure
    say(
        f"1, 4 and 2 partitions and 3 kills, {EVENTS:,} events: {len(calm.results.merged())} boards, {len(calm.quotes):,} quotes"
    )
    say(
        f"and {len(calm.results.signals):,} signals, 0 differ from the calm run; connections at once: {changed.connections}"
    )
