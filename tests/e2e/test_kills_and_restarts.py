"""Kills and restarts in the middle of a session change nothing but the time it takes.

An analyzer is killed here under all the load that the provider can make: the session is played as fast as it is taken, and what
piles up while nobody reads is worked off at full speed, into which the next kill falls. ``test_repartition.py`` kills
analyzers that work off a layout of partitions that is being left; ``test_failures.py`` takes listeners, broker and cache away.
The edits of feed, symbols and scanner are made at an even pace, for their order matters and not their load;
``tests/integration/test_restarts_in_one_process.py`` makes more of them, at home.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from scanplane.cache.factory import open_cache
from scanplane.marketdata.results import Signal
from support.journeys import Deployment, Figures, Results, SimulatorProcess, read_quotes, read_results, wait_for
from support.outcomes import LASTING, Outcome
from support.servers import RabbitServer, RedisServer

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.timeout(400)]

Disturbance = Callable[[Deployment, SimulatorProcess, str], None]

LISTENER, ANALYZER = "listener-simulated", "analyzer-us-stocks-0"
AS_FAST_AS_TAKEN = 0.0

RESOURCES = """
apiVersion: v1
kind: Secret
metadata: {name: services}
stringData: {apiKey: demo, broker: "BROKER_URL", cache: "CACHE_URL"}
---
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec:
  broker: {urlSecretRef: {name: services, key: broker}}
  cache: {urlSecretRef: {name: services, key: cache}}
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: simulated}
spec:
  provider: Massive
  label: made up
  massive: {feed: RealTime, endpoint: "SIMULATOR_URL", apiKeySecretRef: {name: services, key: apiKey}}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec:
  assetClass: Stocks
  sessions: {premarket: "04:00", postmarket: "20:00"}
  analyzer: {evaluationInterval: 60s}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: seconds}
spec:
  feedRef: {name: simulated}
  marketRef: {name: us-stocks}
  channels: [SecondAggregates]
  symbols: ["*"]
  delivery: {timeToLive: 10m}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: volume}
spec:
  marketRef: {name: us-stocks}
  board: {rankBy: volume, limit: 50, columns: [price, open, high, low, high_of_day, low_of_day, vwap, volume, volume_5m]}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: highs}
spec:
  marketRef: {name: us-stocks}
  where: volume > 1000000.0
  signal: {when: new_high_of_day, cooldown: 5m}
"""


def resources(simulator: SimulatorProcess, rabbit: RabbitServer, redis: RedisServer) -> str:
    return (
        RESOURCES.replace("SIMULATOR_URL", simulator.url)
        .replace("BROKER_URL", rabbit.url)
        .replace("CACHE_URL", redis.url)
    )


def apply(deployment: Deployment, _simulator: SimulatorProcess, text: str) -> None:
    deployment.apply(text)


def wait_until_applied(deployment: Deployment) -> Figures:
    """Wait until everything that arrived is behind a board: the tick that closes the last interval was evaluated."""
    found: list[Figures] = []

    def is_applied() -> bool:
        found.append(deployment.figures())
        listener, analyzer = found[-1].listeners[LISTENER], found[-1].analyzers[ANALYZER]
        newest = listener.get("event_time_unix_seconds", float("inf"))
        return listener.get("waiting_bytes") == 0 and analyzer.get("tick_unix_seconds", 0.0) > newest

    wait_for(is_applied, "the last tick", 120, pause_s=0.25)
    return found[-1]


async def play(
    folder: Path,
    namespace: str,
    rabbit: RabbitServer,
    redis: RedisServer,
    *disturbances: Disturbance,
    events: int,
    speed: float = AS_FAST_AS_TAKEN,
) -> Outcome:
    """Play the session once and return what it ends with; results are the same at any speed."""
    arguments = ("market", "--events", str(events), "--speed", str(speed), "--hold")
    with SimulatorProcess(folder, *arguments) as simulator, Deployment(folder, namespace) as deployment:
        text = resources(simulator, rabbit, redis)
        for disturb in disturbances:
            disturb(deployment, simulator, text)
        simulator.wait_until_finished(200)
        figures = wait_until_applied(deployment)
        connections = int(simulator.status()["connections"]["maximum"])
    cache = open_cache(redis.url, namespace)
    try:
        results = await read_results(cache, namespace, "us-stocks")
        return Outcome(results, await read_quotes(cache, namespace, "us-stocks"), figures, connections)
    finally:
        await cache.close()


# --- kills ---

MANY_EVENTS = 1_000_000
KILLS = 5
AT_WORK_EVENTS = 50_000
"""What an analyzer applies before it is killed, so that it is killed at work: neither while it starts nor when it is done."""
RECOGNISED = {"repeated_batches_total", "signals_repeated_total"}
"""What comes again after a kill, is known for what it is, and left out."""


async def test_an_analyzer_killed_five_times_at_full_load_loses_no_event_and_repeats_none(
    tmp_path: Path, rabbit_server: RabbitServer, redis_server: RedisServer, namespace: str
) -> None:
    applied: list[float] = []

    def kill_five_times(deployment: Deployment, _simulator: SimulatorProcess, _text: str) -> None:
        for number in range(1, KILLS + 1):
            applied.append(0.0)

            def is_at_work() -> bool:
                applied[-1] = deployment.figure(ANALYZER, "events_total")
                return applied[-1] >= AT_WORK_EVENTS

            wait_for(is_at_work, f"work before kill {number}")
            deployment.kill(ANALYZER)

    servers = rabbit_server, redis_server
    calm = await play(tmp_path / "calm", f"{namespace}-calm", *servers, apply, events=MANY_EVENTS)
    killed = await play(
        tmp_path / "killed", f"{namespace}-killed", *servers, apply, kill_five_times, events=MANY_EVENTS
    )
    assert sum(applied) < MANY_EVENTS, "nothing was left to do at the last kill"
    assert len(calm.results.signals) > 100
    assert len(calm.quotes) > 7000
    assert killed.results.encode() == calm.results.encode()
    assert killed.quotes == calm.quotes
    assert (calm.connections, killed.connections) == (1, 1)
    assert calm.figures.losses() == {}
    assert {name.removeprefix(f"{ANALYZER} ") for name in killed.figures.losses()} <= RECOGNISED


# --- edits ---

EVENTS = 300_000
SPEED = 1000.0  # a day of sixteen hours in 58 seconds: time for every edit to fall into it
FEW = ["AA", "AAPL", "AMD", "BAC", "C", "CSCO", "EEM", "F", "FB", "FFHL", "GE", "INTC", "IWM", "KERX", "MSFT", "PFE"]
MORE = ["PBR", "PLUG", "QQQ", "RAD", "SIRI", "SPY", "T", "XLF", "ZNGA"]


def of(text: str, symbols: Sequence[str]) -> str:
    assert '["*"]' in text
    return text.replace('["*"]', f"[{', '.join(symbols)}]")


async def test_a_changed_feed_other_symbols_and_an_edited_scanner_end_where_the_undisturbed_run_ends(
    tmp_path: Path, rabbit_server: RabbitServer, redis_server: RedisServer, namespace: str
) -> None:
    restarts: list[tuple[str, list[str]]] = []

    def begin_with_few(deployment: Deployment, _simulator: SimulatorProcess, text: str) -> None:
        deployment.apply(of(text, FEW))

    def edit_three_times(deployment: Deployment, simulator: SimulatorProcess, text: str) -> None:
        simulator.wait_events(EVENTS // 200)
        text = text.replace("feed: RealTime", "feed: Delayed")
        deployment.apply(of(text, FEW))
        simulator.wait_events(EVENTS // 20)
        deployment.apply(of(text, FEW + MORE))
        simulator.wait_events(EVENTS // 8)
        deployment.apply(of(text, FEW + MORE).replace("limit: 50", "limit: 60"))
        assert not simulator.finished, "the session ended before the edits did"
        restarts.extend((name, [str(reason) for reason in restart.reasons]) for name, restart in deployment.restarts)

    servers = rabbit_server, redis_server
    calm = await play(tmp_path / "calm", f"{namespace}-calm", *servers, begin_with_few, events=EVENTS)
    edited = await play(
        tmp_path / "edited",
        f"{namespace}-edited",
        *servers,
        begin_with_few,
        edit_three_times,
        events=EVENTS,
        speed=SPEED,
    )
    assert restarts == [
        (LISTENER, ["FeedChanged"]),
        (LISTENER, ["SubscriptionChanged"]),
        (ANALYZER, ["ScannerChanged"]),
    ]
    assert calm.figures.losses() == edited.figures.losses() == {}
    assert (calm.connections, edited.connections) == (1, 1)
    assert set(calm.quotes) == set(FEW)
    assert set(edited.quotes) == {*FEW, *MORE}
    assert {symbol: edited.quotes[symbol] for symbol in FEW} == calm.quotes
    assert set(edited.results.rows("volume")) == {*FEW, *MORE}
    assert rows_of_few(edited.results) == rows_of_few(calm.results)
    expected = signals_of_few(calm.results)
    assert len(expected) > 20
    assert signals_of_few(edited.results) == expected


def rows_of_few(results: Results) -> list[tuple[str, dict[str, object]]]:
    """The rows that both runs have, best first. More symbols make more ticks, and a window is sampled at each."""
    return [
        (symbol, {name: value for name, value in row.items() if name in LASTING})
        for symbol, row in results.rows("volume").items()
        if symbol in FEW
    ]


def signals_of_few(results: Results) -> list[Signal]:
    """The signals that both runs have; their scanner is not the one that is edited."""
    return [signal for signal in results.signals if signal.symbol in FEW]
