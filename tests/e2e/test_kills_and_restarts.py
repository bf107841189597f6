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
from scanplane.features.catalogue import CATALOGUE, FeatureType
from scanplane.marketdata.results import Signal, Value
from support.findings import say
from support.journeys import Deployment, Figures, Results, SimulatorProcess, read_quotes, read_results, wait_for
from support.outcomes import LASTING, WINDOWS, Outcome
from support.servers import RabbitServer, RedisServer

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.timeout(400)]

Disturbance = Callable[[Deployment, SimulatorProcess, str], None]

LISTENER, ANALYZER = "listener-simulated", "analyzer-us-stocks-0"
AS_FAST_AS_TAKEN = 0.0

REFERENCE = Path(__file__).resolve().parents[2] / "examples/demo-market/reference"
"""The real previous closes and volumes of the session's symbols."""
COLUMNS = [
    name
    for name, feature in CATALOGUE.items()
    # A board has its symbols without asking, and events are what signals fire at; the session has bars and no quotes.
    if feature.type is not FeatureType.EVENT and name not in {"symbol", "bid", "ask", "spread_percent"}
]
AT_EVERY_TICK = "volume > 0.0 || new_high_of_day"
"""What is true of every symbol that traded, and asks for an event: such a signal fires at every tick."""

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
  reference:
    previousClose: File
    averageVolume: File
    volumeCurve: File
    freeFloat: File
    file: {symbols: symbols.csv, volumeCurve: volume_curve.csv}
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
  board: {rankBy: volume, limit: 10, columns: [price, volume]}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: everything}
spec:
  marketRef: {name: us-stocks}
  board: {rankBy: dollar_volume, limit: 500, columns: [COLUMNS]}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: tape}
spec:
  marketRef: {name: us-stocks}
  where: symbol in ['AAPL', 'BAC', 'FB', 'GE']
  board: {rankBy: volume, columns: [COLUMNS]}
  signal: {when: AT_EVERY_TICK}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: highs}
spec:
  marketRef: {name: us-stocks}
  where: volume > 1000000.0
  signal: {when: new_high_of_day, cooldown: 5m}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: turns}
spec:
  marketRef: {name: us-stocks}
  where: volume > 1000000.0
  signal: {when: new_low_of_day || crossed_above_vwap || crossed_below_vwap, cooldown: 5m}
"""


def resources(simulator: SimulatorProcess, rabbit: RabbitServer, redis: RedisServer) -> str:
    return (
        RESOURCES.replace("SIMULATOR_URL", simulator.url)
        .replace("BROKER_URL", rabbit.url)
        .replace("CACHE_URL", redis.url)
        .replace("COLUMNS", ", ".join(COLUMNS))
        .replace("AT_EVERY_TICK", AT_EVERY_TICK)
    )


def write_reference(folder: Path) -> Path:
    """Write the files of reference data into *folder*; a free float is made up: ten days' volume."""
    folder.mkdir(parents=True, exist_ok=True)
    header, *lines = (REFERENCE / "symbols.csv").read_text().splitlines()
    floats = [f"{line},{10 * int(line.rpartition(',')[2] or 0) or ''}" for line in lines]
    (folder / "symbols.csv").write_text("\n".join([f"{header},free_float", *floats]))
    (folder / "volume_curve.csv").write_text((REFERENCE / "volume_curve.csv").read_text())
    return folder


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
    files = write_reference(folder)
    with SimulatorProcess(folder, *arguments) as simulator, Deployment(folder, namespace, files) as deployment:
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
    assert len(paced(calm.results)) > 100
    assert len(calm.quotes) > 7000
    assert known(calm.results) >= set(COLUMNS)
    assert killed.results.encode() == calm.results.encode()
    assert killed.quotes == calm.quotes
    assert (calm.connections, killed.connections) == (1, 1)
    assert calm.figures.losses() == {}
    again = {name.removeprefix(f"{ANALYZER} "): count for name, count in killed.figures.losses().items()}
    assert again.keys() <= RECOGNISED
    say(
        f"{KILLS} kills in {MANY_EVENTS:,} events; applied before each: {', '.join(f'{count:,.0f}' for count in applied)}"
    )
    say(f"what came again and was left out: {', '.join(f'{name} {count:,.0f}' for name, count in again.items())}")
    say(
        f"{len(COLUMNS)} features on boards and in {len(calm.results.signals):,} signals, {len(calm.quotes):,} symbols: 0 differ"
    )
    say(f"from the undisturbed run; connections to the provider at once: {killed.connections}")


def known(results: Results) -> set[str]:
    """The columns that have a value anywhere, at the end or on the way."""
    rows = [dict(zip(each.columns, each.values, strict=True)) for each in results.signals]
    return {
        name
        for row in [*rows, *results.rows("everything").values()]
        for name, value in row.items()
        if value is not None
    }


def paced(results: Results) -> list[Signal]:
    """The signals of the scanners with a cooldown."""
    return [signal for signal in results.signals if signal.scanner in {"highs", "turns"}]


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
        deployment.apply(of(text, FEW + MORE).replace("limit: 10", "limit: 20"))
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
    assert set(edited.results.rows("everything")) == {*FEW, *MORE}
    assert (len(calm.results.rows("volume")), len(edited.results.rows("volume"))) == (10, 20)
    assert rows_of_few(edited.results) == rows_of_few(calm.results)
    expected = paced_of_few(calm.results)
    assert len(expected) > 20
    assert paced_of_few(edited.results) == expected
    tape, edited_tape = tape_of(calm.results), tape_of(edited.results)
    assert len(tape) > 1000
    assert {moment: edited_tape.get(moment) for moment in tape} == tape
    say(f"edited while {EVENTS:,} events were played: {', '.join(reason for _, (reason,) in restarts)}")
    say(
        f"{len(FEW)} symbols, {len(expected)} signals and {len(tape):,} moments of the tape: 0 differ from the undisturbed run"
    )


def rows_of_few(results: Results) -> list[tuple[str, dict[str, object]]]:
    """The rows that both runs have, best first. More symbols make more ticks, of which the last may be a later one."""
    return [
        (symbol, {name: value for name, value in row.items() if name in LASTING})
        for symbol, row in results.rows("everything").items()
        if symbol in FEW
    ]


def paced_of_few(results: Results) -> list[Signal]:
    """The signals that both runs have; their scanners are not the one that is edited."""
    return [signal for signal in paced(results) if signal.symbol in FEW]


def tape_of(results: Results) -> dict[tuple[int, str], dict[str, Value]]:
    """What symbols were like at every tick.

    More symbols make more ticks, and a window is sampled at each: windows are equal when a tick comes every minute anyway.
    """
    found = {}
    for each in results.signals:
        if each.scanner == "tape":
            row = dict(zip(each.columns, each.values, strict=True))
            minutes = row["minutes_since_open"]
            is_busy = row["session"] == "regular" and isinstance(minutes, float) and minutes > 20
            found[each.tick_ns, each.symbol] = (
                row if is_busy else {name: row[name] for name in row if name not in WINDOWS}
            )
    return found
