"""Kills and restarts in the middle of a session change nothing but the time it takes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from scanplane.cache.factory import open_cache
from support.journeys import Deployment, Results, SimulatorProcess, read_results, wait_for
from support.servers import RabbitServer, RedisServer

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.timeout(400)]

Disturbance = Callable[[Deployment, SimulatorProcess, str], None]

EVENTS = 300_000
SPEED = 1600.0  # a day of sixteen hours in 36 seconds

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


def wait_until_applied(deployment: Deployment) -> None:
    """Wait until everything that arrived is behind a board: the tick that closes the last interval was evaluated."""

    def is_applied() -> bool:
        listener = deployment.status("listener-simulated")["figures"]
        tick_s = deployment.figure("analyzer-us-stocks-0", "tick_unix_seconds")
        return listener.get("waiting_bytes") == 0 and tick_s >= listener.get("event_time_unix_seconds", float("inf"))

    wait_for(is_applied, "the last tick", 120)


async def play(
    folder: Path,
    namespace: str,
    rabbit: RabbitServer,
    redis: RedisServer,
    disturb: Disturbance = lambda _deployment, _simulator, _text: None,
    begin: Disturbance = lambda deployment, _simulator, text: deployment.apply(text),
) -> tuple[Results, dict[str, float], Deployment, int]:
    """Play the session once and return what it ends with."""
    arguments = ("market", "--events", str(EVENTS), "--speed", str(SPEED), "--hold")
    with SimulatorProcess(folder, *arguments) as simulator, Deployment(folder, namespace) as deployment:
        text = resources(simulator, rabbit, redis)
        begin(deployment, simulator, text)
        disturb(deployment, simulator, text)
        wait_for(lambda: simulator.finished, "the end of the session", 200)
        wait_until_applied(deployment)
        figures = deployment.status("analyzer-us-stocks-0")["figures"]
        most = int(simulator.status()["connections"]["maximum"])
    cache = open_cache(redis.url, namespace)
    try:
        return await read_results(cache, namespace, "us-stocks"), figures, deployment, most
    finally:
        await cache.close()


async def test_an_analyzer_killed_five_times_loses_no_event_and_repeats_none(
    tmp_path: Path, rabbit_server: RabbitServer, redis_server: RedisServer, namespace: str
) -> None:
    def kill_five_times(deployment: Deployment, simulator: SimulatorProcess, _text: str) -> None:
        for step in range(1, 6):
            simulator.wait_events(step * EVENTS // 6)
            deployment.kill("analyzer-us-stocks-0")

    calm, _, _, _ = await play(tmp_path / "calm", f"{namespace}-calm", rabbit_server, redis_server)
    killed, figures, _, most = await play(
        tmp_path / "killed", f"{namespace}-killed", rabbit_server, redis_server, kill_five_times
    )
    assert len(calm.signals) > 100
    assert figures["missing_batches_total"] == 0
    assert killed.encode() == calm.encode()
    assert most == 1


FEW = [
    "AA",
    "AAPL",
    "AMD",
    "BAC",
    "C",
    "CSCO",
    "EEM",
    "F",
    "FB",
    "FFHL",
    "GE",
    "INTC",
    "IWM",
    "KERX",
    "MSFT",
    "PBR",
    "PFE",
]
MORE = ["PLUG", "QQQ", "RAD", "SIRI", "SPY", "T", "XLF", "ZNGA"]


async def test_a_changed_feed_other_symbols_and_an_edited_scanner_end_where_the_undisturbed_run_ends(
    tmp_path: Path, rabbit_server: RabbitServer, redis_server: RedisServer, namespace: str
) -> None:
    def begin_with_few(deployment: Deployment, _simulator: SimulatorProcess, text: str) -> None:
        deployment.apply(text.replace('["*"]', f"[{', '.join(FEW)}]"))

    def change_three_times(deployment: Deployment, simulator: SimulatorProcess, text: str) -> None:
        simulator.wait_events(EVENTS // 6)
        text = text.replace('["*"]', f"[{', '.join(FEW)}]")
        text = text.replace("feed: RealTime", "feed: Delayed")
        deployment.apply(text)
        simulator.wait_events(EVENTS // 3)
        text = text.replace("KERX, ", "KERX, " + "".join(f"{symbol}, " for symbol in MORE))
        deployment.apply(text)
        simulator.wait_events(EVENTS // 2)
        deployment.apply(text.replace("limit: 50", "limit: 60"))

    calm, _, _, _ = await play(
        tmp_path / "calm", f"{namespace}-calm", rabbit_server, redis_server, begin=begin_with_few
    )
    changed, figures, deployment, most = await play(
        tmp_path / "changed", f"{namespace}-changed", rabbit_server, redis_server, change_three_times, begin_with_few
    )
    assert [(name, [str(reason) for reason in restart.reasons]) for name, restart in deployment.restarts] == [
        ("listener-simulated", ["FeedChanged"]),
        ("listener-simulated", ["SubscriptionChanged"]),
        ("analyzer-us-stocks-0", ["ScannerChanged"]),
    ]
    assert figures["missing_batches_total"] == 0
    assert most == 1
    rows, expected = changed.rows("volume"), calm.rows("volume")
    assert set(rows) == {*FEW, *MORE}
    assert {symbol: _lasting(rows[symbol]) for symbol in FEW} == {symbol: _lasting(expected[symbol]) for symbol in FEW}


def _lasting(row: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the window: it is sampled at ticks, and more symbols make more ticks."""
    return {name: value for name, value in row.items() if name != "volume_5m"}
