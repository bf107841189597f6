"""Servers and provider that fail: the work waits or goes on, losses are counted and seen, and nothing else is lost."""

import asyncio
import re
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import pytest

from scanplane.cache.factory import open_cache
from scanplane.marketdata.results import QuoteRow
from support.commands import RoleProcess, scanplane
from support.findings import say
from support.journeys import Results, SimulatorProcess, read_quotes, read_results, wait_for
from support.servers import RabbitServer, RedisServer

pytestmark = [pytest.mark.server, pytest.mark.journey, pytest.mark.timeout(240)]

EVENTS = 60_000
SPEED = 6000.0  # a day of sixteen hours in ten seconds

API_KEY = f"api-key-{secrets.token_hex(8)}"
BROKER_PASSWORD = f"broker-{secrets.token_hex(8)}"
CACHE_PASSWORD = f"cache-{secrets.token_hex(8)}"
SECRETS = (API_KEY, BROKER_PASSWORD, CACHE_PASSWORD)

RESOURCES = """
apiVersion: v1
kind: Secret
metadata: {name: services}
stringData: {apiKey: "API_KEY", broker: "BROKER_URL", cache: "CACHE_URL"}
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
  massive: {endpoint: "SIMULATOR_URL", apiKeySecretRef: {name: services, key: apiKey}}
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
metadata: {name: everything}
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
  board: {rankBy: volume, limit: 50, columns: [price, open, high, low, vwap, volume, volume_5m]}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: highs}
spec:
  marketRef: {name: us-stocks}
  where: volume > 1000000.0
  signal: {when: new_high_of_day, cooldown: 5m}
"""


class Servers:
    """A broker and a cache with passwords, that tests may take away and bring back."""

    def __init__(self, broker: RabbitServer, cache: RedisServer) -> None:
        self.broker = broker
        self.cache = cache
        self.broker_url = f"amqp://scanplane:{BROKER_PASSWORD}@127.0.0.1:{broker.port}/"
        self.cache_url = cache.url


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    settings = {"default_user": "scanplane", "default_pass": BROKER_PASSWORD}
    with RabbitServer(settings) as broker, RedisServer(password=CACHE_PASSWORD) as cache:
        yield Servers(broker, cache)


def resources(url: str, servers: Servers) -> str:
    return (
        RESOURCES.replace("SIMULATOR_URL", url)
        .replace("API_KEY", API_KEY)
        .replace("BROKER_URL", servers.broker_url)
        .replace("CACHE_URL", servers.cache_url)
    )


class Pipeline:
    """A listener and an analyzer as processes, planned and started by commands."""

    def __init__(self, folder: Path, text: str, namespace: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.logs: list[Path] = []
        self._processes: list[RoleProcess] = []
        self.plan("plan", text, namespace)
        self.analyzer = self.start("analyzer-us-stocks-0")
        self.listener = self.start("listener-simulated")

    def plan(self, name: str, text: str, namespace: str) -> None:
        (self.folder / f"{name}.yaml").write_text(text)
        planned = scanplane("plan", f"{name}.yaml", "--output", name, "--namespace", namespace, folder=self.folder)
        assert planned.code == 0, planned.err

    def start(self, name: str, plan: str = "plan") -> RoleProcess:
        log = self.folder / f"{name}-{len(self.logs)}.log"
        process = RoleProcess(self.folder / plan, name, log)
        self.logs.append(log)
        self._processes.append(process)
        return process

    def wait_end(self, provider: SimulatorProcess) -> None:
        """Wait until what the provider played last is behind an evaluated instant."""
        wait_for(lambda: provider.finished, "the end of the session", 100)

        def complete() -> bool:
            newest = max(process.figure("event_time_unix_seconds") for process in self._processes)
            return 0 < newest < self.analyzer.figure("tick_unix_seconds")

        wait_for(complete, "an instant behind the last event")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.__exit__()
        for log in self.logs:
            assert_no_secret(log.read_text())
            assert "Traceback" not in log.read_text()


def assert_no_secret(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text]


def simulator(folder: Path, *arguments: str) -> SimulatorProcess:
    options = ("market", "--events", str(EVENTS), "--speed", str(SPEED), "--hold", "--api-key", API_KEY)
    return SimulatorProcess(folder, *options, *arguments)


class Ended(NamedTuple):
    """What a session ends with: boards and signals, and the features of every symbol."""

    results: Results
    quotes: dict[str, QuoteRow]

    @property
    def volumes(self) -> dict[str, float]:
        return {symbol: float(row.values["volume"]) for symbol, row in self.quotes.items() if "volume" in row.values}


async def read_end(url: str, namespace: str) -> Ended:
    cache = open_cache(url, namespace)
    try:
        results = await read_results(cache, namespace, "us-stocks")
        quotes = await read_quotes(cache, namespace, "us-stocks")
    finally:
        await cache.close()
    return Ended(results, {symbol: msgspec.structs.replace(row, tick_ns=0) for symbol, row in quotes.items()})


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Ended:
    """What the session ends with when nothing fails."""
    folder = tmp_path_factory.mktemp("calm")
    with simulator(folder) as provider, Pipeline(folder, resources(provider.url, servers), "calm") as pipeline:
        pipeline.wait_end(provider)
        assert pipeline.analyzer.figure("missing_batches_total") == 0
    ended = asyncio.run(read_end(servers.cache_url, "calm"))
    assert len(ended.results.signals) > 100
    assert len(ended.volumes) > 5000
    return ended


def told(ended: Ended) -> str:
    results = ended.results
    return f"the board, {len(results.signals):,} signals and {len(ended.volumes):,} volumes"


def problem_of(process: RoleProcess, text: str) -> Callable[[], bool]:
    """Whether *process* shows a problem that contains *text* in its status."""
    return lambda: any(text in problem for problem in process.status().get("problems", ()))


def test_a_broker_that_dies_with_its_queues_is_waited_for_and_what_it_lost_is_counted(
    tmp_path: Path, servers: Servers, namespace: str, calm: Ended
) -> None:
    with simulator(tmp_path) as provider, Pipeline(tmp_path, resources(provider.url, servers), namespace) as pipeline:
        listener, analyzer = pipeline.listener, pipeline.analyzer
        provider.wait_events(EVENTS // 3)
        servers.broker.kill()
        wait_for(lambda: listener.status()["phase"] == "Standby", "the listener's end of work")
        wait_for(lambda: provider.status()["connections"]["now"] == 0, "the end of the provider's connection")
        wait_for(problem_of(listener, "RabbitMQ at 127.0.0.1"), "the listener's problem")
        wait_for(problem_of(analyzer, "RabbitMQ at 127.0.0.1"), "the analyzer's problem")
        servers.broker.start()
        pipeline.wait_end(provider)
        assert listener.figure("events_total") == EVENTS
        assert provider.status()["connections"]["maximum"] == 1
        assert analyzer.figure("missing_batches_total") >= listener.figure("dropped_batches_total") > 0
        assert (listener.status()["problems"], analyzer.status()["problems"]) == ([], [])
        dropped, missing = listener.figure("dropped_batches_total"), analyzer.figure("missing_batches_total")
        say(f"broker killed with its queues: {EVENTS:,} of {EVENTS:,} events received, over 1 connection at once")
        say(f"batches dropped by the listener: {dropped:.0f}, counted as missing by the analyzer: {missing:.0f}")
    ended = asyncio.run(read_end(servers.cache_url, namespace))
    assert ended.results.rows("volume").keys() == calm.results.rows("volume").keys()
    assert {symbol: row["volume"] for symbol, row in ended.results.rows("volume").items()} == {
        symbol: row["volume"] for symbol, row in calm.results.rows("volume").items()
    }


def test_a_cache_that_comes_back_empty_is_given_everything_again(
    tmp_path: Path, servers: Servers, namespace: str, calm: Ended
) -> None:
    with simulator(tmp_path) as provider, Pipeline(tmp_path, resources(provider.url, servers), namespace) as pipeline:
        provider.wait_events(EVENTS // 3)
        wait_for(lambda: pipeline.analyzer.figure("state_saves_total") > 0, "a state that can be lost")
        servers.cache.kill()
        wait_for(problem_of(pipeline.analyzer, "results wait for the cache: Redis at 127.0.0.1"), "the problem")
        servers.cache.start()
        wait_for(lambda: pipeline.analyzer.figure("lost_states_total") == 1, "a state that is missed")
        provider.wait_events(2 * EVENTS // 3)
        pipeline.analyzer.kill()
        pipeline.analyzer = pipeline.start("analyzer-us-stocks-0")
        pipeline.wait_end(provider)
        assert pipeline.analyzer.figure("missing_batches_total") == 0
        assert pipeline.analyzer.status()["problems"] == []
    ended = asyncio.run(read_end(servers.cache_url, namespace))
    assert ended.results.boards == calm.results.boards
    assert ended.volumes == calm.volumes
    assert set(map(str, ended.results.signals)) < set(map(str, calm.results.signals))
    say(f"cache back empty, analyzer killed: the board and {len(ended.volumes):,} volumes, 0 differ")
    say(
        f"{len(ended.results.signals):,} of {len(calm.results.signals):,} signals are left: the others were in what died"
    )


def test_a_cache_that_keeps_its_data_may_die_and_nothing_is_different(
    tmp_path: Path, servers: Servers, namespace: str, calm: Ended
) -> None:
    with RedisServer("--appendonly", "yes", "--appendfsync", "always", password=CACHE_PASSWORD) as cache:
        durable = Servers(servers.broker, cache)
        with (
            simulator(tmp_path) as provider,
            Pipeline(tmp_path, resources(provider.url, durable), namespace) as pipeline,
        ):
            for third in (1, 2):
                provider.wait_events(third * EVENTS // 3)
                cache.kill()
                wait_for(problem_of(pipeline.analyzer, "Redis at 127.0.0.1"), "the problem")
                cache.start()
            pipeline.wait_end(provider)
            assert pipeline.analyzer.figure("lost_states_total") == 0
            assert pipeline.analyzer.figure("missing_batches_total") == 0
        ended = asyncio.run(read_end(durable.cache_url, namespace))
    assert ended.results.encode() == calm.results.encode()
    assert ended.volumes == calm.volumes
    say(f"durable cache killed twice: {told(ended)}, 0 differ")


def test_a_hostile_provider_changes_no_board_and_every_event_that_is_refused_is_counted(
    tmp_path: Path, servers: Servers, namespace: str, calm: Ended
) -> None:
    hostile = ("--hostile-rate", "0.2", "--cut-properly", "--cut-after-events", "15000", "--cut-after-events", "40000")
    with (
        simulator(tmp_path, *hostile, *kinds_of_hostility()) as provider,
        Pipeline(tmp_path, resources(provider.url, servers), namespace) as pipeline,
    ):
        pipeline.wait_end(provider)
        figures = pipeline.listener.status()["figures"]
        status = provider.status()
        assert status["hostileFrames"] > 500
        assert figures["events_total"] == EVENTS
        assert (figures["connects_total"], status["connections"]["maximum"]) == (3, 1)
        reasons = {
            name: count for name, count in figures.items() if re.fullmatch(r"rejected_\w+_total", name) and count
        }
        assert reasons.keys() == {
            f"rejected_{reason}_total"
            for reason in (
                "malformed_frame",
                "unknown_event",
                "missing_field",
                "wrong_type",
                "not_finite",
                "negative",
                "bad_timestamp",
            )
        }
        assert sum(reasons.values()) == figures["rejected_total"]
        assert figures["refused_clock_jumps_total"] == 0
    ended = asyncio.run(read_end(servers.cache_url, namespace))
    assert ended.results.encode() == calm.results.encode()
    assert ended.volumes == calm.volumes
    say(
        f"{status['hostileFrames']:,} hostile frames, 2 cuts: {sum(reasons.values()):,.0f} events refused, {len(reasons)} reasons"
    )
    say(f"{told(ended)}, 0 differ")


def kinds_of_hostility() -> list[str]:
    kinds = (
        "truncated",
        "not-json",
        "not-a-number",
        "negative",
        "wrong-type",
        "unknown-event",
        "clock-jump",
        "missing-field",
    )
    return [argument for kind in kinds for argument in ("--hostile", kind)]


async def test_a_listener_that_loses_the_broker_stops_at_once_and_the_provider_never_sees_two(
    tmp_path: Path, servers: Servers, namespace: str, open_proxy: Callable[..., Any]
) -> None:
    proxy = await open_proxy(servers.broker.port)
    with simulator(tmp_path, "--speed", "1000") as provider:
        text = resources(provider.url, servers)
        with Pipeline(tmp_path, text, namespace) as pipeline:
            pipeline.plan("far", text.replace(f":{servers.broker.port}/", f":{proxy.port}/"), namespace)
            await streams(pipeline.listener)
            far = pipeline.start("listener-simulated", "far")
            await reaches(far, "Standby")
            pipeline.listener.kill()
            await streams(far)
            for _ in range(3):
                near = pipeline.start("listener-simulated")
                await reaches(near, "Standby")
                proxy.cut()
                await streams(near)
                await reaches(far, "Standby")
                near.send(signal.SIGTERM)
                await streams(far)
            status = provider.status()
            assert not status["finished"]
            assert (status["connections"]["total"], status["connections"]["maximum"]) == (8, 1)
            assert far.status()["problems"] == []
            assert pipeline.analyzer.status()["problems"] == []
            say("2 listeners, 1 kill, 3 cuts from the broker: 8 connections one after the other, never 2 at once")


async def reaches(process: RoleProcess, phase: str) -> None:
    await asyncio.to_thread(wait_for, lambda: process.status().get("phase") == phase, phase)


async def streams(listener: RoleProcess) -> None:
    await asyncio.to_thread(wait_for, lambda: listener.figure("streaming") == 1, "a stream")


def test_servers_that_are_not_there_yet_are_waited_for_visibly_and_without_a_flood_of_lines(
    tmp_path: Path, namespace: str
) -> None:
    broker = RabbitServer({"default_user": "scanplane", "default_pass": BROKER_PASSWORD})
    cache = RedisServer(password=CACHE_PASSWORD)
    late = Servers(broker, cache)
    with simulator(tmp_path) as provider, Pipeline(tmp_path, resources(provider.url, late), namespace) as pipeline:
        listener, analyzer = pipeline.listener, pipeline.analyzer
        wait_for(
            problem_of(listener, f"waits for the broker: RabbitMQ at 127.0.0.1:{broker.port}"), "the listener's wait"
        )
        wait_for(problem_of(analyzer, f"RabbitMQ at 127.0.0.1:{broker.port}"), "the analyzer's wait")
        assert not listener.ready
        with broker:
            wait_for(problem_of(analyzer, f"Redis at 127.0.0.1:{cache.port}"), "the wait for the cache")
            wait_for(lambda: listener.ready, "a listener that is ready")
            with cache:
                wait_for(lambda: analyzer.figure("boards_written_total") > 0, "the first board")
                wait_for(lambda: not listener.status()["problems"], "a listener without problems")
                wait_for(lambda: not analyzer.status()["problems"], "an analyzer without problems")
                for process in (analyzer, listener):
                    assert len(process.messages("warning")) <= 6, process.messages("warning")
                lines = [len(process.messages("warning")) for process in (analyzer, listener)]
                say(f"servers that came late: 0 problems left; warnings: analyzer {lines[0]}, listener {lines[1]}")


def test_wrong_passwords_are_told_in_one_line_that_does_not_show_them(
    tmp_path: Path, servers: Servers, namespace: str
) -> None:
    wrong = f"wrong-{secrets.token_hex(8)}"
    text = resources("ws://127.0.0.1:1", servers)
    for password in (BROKER_PASSWORD, CACHE_PASSWORD):
        text = text.replace(password, wrong, 1)
    with Pipeline(tmp_path, text, namespace) as pipeline:
        refused = f"RabbitMQ at 127.0.0.1:{servers.broker.port} refused the user name or password in the broker URL"
        wait_for(problem_of(pipeline.listener, refused), "the listener's refusal")
        wait_for(problem_of(pipeline.analyzer, refused), "the analyzer's refusal")
        pipeline.plan("plan2", text.replace(wrong, BROKER_PASSWORD, 1), namespace)
        analyzer = pipeline.start("analyzer-us-stocks-0", "plan2")
        refused = f"Redis at 127.0.0.1:{servers.cache.port} refused the password in the cache URL"
        wait_for(problem_of(analyzer, refused), "the cache's refusal")
        for log in pipeline.logs:
            assert wrong not in log.read_text()
        say(f"wrong passwords of broker and cache: told in one line each, shown in 0 of {len(pipeline.logs)} logs")
