"""A provider that is away, refuses, cuts, stalls or lies, seen from ``scanplane up``: told, counted, and got over."""

import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import UpProcess
from support.findings import say
from support.journeys import SimulatorProcess, wait_for
from support.servers import free_port

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

API_KEY = f"api-key-{secrets.token_hex(8)}"
WRONG_KEY = f"wrong-key-{secrets.token_hex(8)}"
LISTENER = "listener-simulated"
ANALYZER = "analyzer-us-stocks-0"

RESOURCES = """
apiVersion: v1
kind: Secret
metadata: {{name: provider}}
stringData: {{apiKey: {key}}}
---
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {{name: default}}
spec: {{gateway: {{port: 0}}}}
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {{name: simulated}}
spec:
  provider: Massive
  massive: {{endpoint: "ws://127.0.0.1:{port}", apiKeySecretRef: {{name: provider, key: apiKey}}}}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {{name: us-stocks}}
spec: {{assetClass: Stocks, analyzer: {{evaluationInterval: 5s}}}}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {{name: everything}}
spec:
  feedRef: {{name: simulated}}
  marketRef: {{name: us-stocks}}
  channels: [{channels}]
  symbols: ["*"]
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {{name: volume}}
spec:
  marketRef: {{name: us-stocks}}
  board: {{rankBy: volume, columns: [price, volume]}}
"""


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., UpProcess]]:
    """Start ``scanplane up`` against a port; at the end its log is looked through."""
    started: list[UpProcess] = []

    def start(port: int, *, key: str = API_KEY, channels: str = "Trades", name: str = "up") -> UpProcess:
        file = tmp_path / f"{name}.yaml"
        file.write_text(RESOURCES.format(key=key, port=port, channels=channels))
        started.append(UpProcess(tmp_path / f"{name}.log", file))
        return started[-1]

    yield start
    for process in started:
        assert process.stop() == 0
        assert "Traceback" not in process.text
        assert API_KEY not in process.text
        assert WRONG_KEY not in process.text


def simulate(folder: Path, *arguments: str, port: int | None = None) -> SimulatorProcess:
    return SimulatorProcess(folder, *arguments, "--api-key", API_KEY, port=port)


def has_problem(process: UpProcess, text: str) -> Callable[[], bool]:
    return lambda: any(text in problem for problem in process.status(LISTENER).get("problems", ()))


def figure(process: UpProcess, name: str, figure: str) -> float:
    return float(process.status(name).get("figures", {}).get(figure, 0.0))


def streams(process: UpProcess) -> None:
    wait_for(lambda: figure(process, LISTENER, "streaming") == 1, "a stream")
    wait_for(lambda: not process.status(LISTENER)["problems"], "the end of problems")


def test_a_provider_that_is_away_is_tried_again_and_found_when_it_comes(
    tmp_path: Path, up: Callable[..., UpProcess]
) -> None:
    port = free_port()
    process = up(port)
    wait_for(has_problem(process, f"cannot connect to ws://127.0.0.1:{port}/stocks"), "the problem")
    process.wait_log("next attempt in")
    with simulate(tmp_path, "ticks", "--speed", "100", port=port) as provider:
        streams(process)
        wait_for(lambda: figure(process, ANALYZER, "boards_written_total") > 0, "a board")
        assert figure(process, LISTENER, "connects_total") == 1
        mark = process.mark()
        provider.kill()
        process.wait_log(r"connection lost: .*; next attempt in", mark)
    with simulate(tmp_path, "ticks", "--speed", "100", port=port):
        wait_for(lambda: figure(process, LISTENER, "connects_total") == 2, "a new connection")
        streams(process)
        say("away at the start, then killed: found both times, 2 connections in all")


def test_a_refused_key_is_told_and_not_tried_in_haste_and_a_new_one_is_used_at_once(
    tmp_path: Path, up: Callable[..., UpProcess]
) -> None:
    with simulate(tmp_path, "ticks", "--speed", "100") as provider:
        process = up(provider.port, key=WRONG_KEY)
        wait_for(has_problem(process, "auth_failed"), "the problem")
        process.wait_log(r"auth_failed.*next attempt in [3-6]\d\.")
        assert figure(process, LISTENER, "authentication_failures_total") == 1
        assert provider.status()["connections"]["authenticationFailures"] == 1
        file = tmp_path / "up.yaml"
        file.write_text(file.read_text().replace(WRONG_KEY, API_KEY))
        process.wait_log(rf"restarting {LISTENER}: CredentialsRotated")
        streams(process)
        say("a wrong key: 1 attempt, the next half a minute later or more; the right one is used at once")


def test_too_many_connections_are_told_and_cooled_down(tmp_path: Path, up: Callable[..., UpProcess]) -> None:
    with simulate(tmp_path, "ticks", "--speed", "50", "--connection-limit", "1") as provider:
        first = up(provider.port)
        streams(first)
        second = up(provider.port, name="second")
        wait_for(has_problem(second, "max_connections"), "the problem")
        second.wait_log(r"max_connections.*next attempt in [67]\d\.")
        assert figure(second, LISTENER, "connection_limit_refusals_total") == 1
        assert provider.status()["connections"]["evicted"] == 1
        assert figure(first, LISTENER, "disconnects_total") == 0
        say(
            "a second listener at a limit of 1: refused once, next attempt after a minute or more; the first lost 0 connections"
        )


def test_topics_that_the_account_may_not_have_are_named_and_the_others_stream(
    tmp_path: Path, up: Callable[..., UpProcess]
) -> None:
    with simulate(tmp_path, "ticks", "--speed", "100", "--unentitled", "Q") as provider:
        process = up(provider.port, channels="Trades, Quotes")
        wait_for(lambda: figure(process, ANALYZER, "trades_total") > 0, "trades")
        wait_for(has_problem(process, "did not acknowledge 1 topics: Q.*"), "the problem")
        process.wait_log(r"did not acknowledge 1 of 2 topics: Q\.\*")
        assert figure(process, LISTENER, "unacknowledged_topics") == 1
        say("1 of 2 topics refused and named, the other streams")


def test_cuts_and_times_from_the_future_move_neither_clock_nor_board(
    tmp_path: Path, up: Callable[..., UpProcess]
) -> None:
    cuts = [argument for events in (100_000, 400_000) for argument in ("--cut-after-events", str(events))]
    hostile = ("--hostile-rate", "0.05", "--hostile", "far-future", "--frame-events", "1-50")
    with simulate(tmp_path, "ticks", "--channel", "Trades", "--speed", "5000", *hostile, *cuts) as provider:
        process = up(provider.port)
        wait_for(lambda: provider.finished, "the end of the session", 60)
        wait_for(lambda: figure(process, LISTENER, "connects_total") == 3, "the last connection")
        hostile_frames = provider.status()["hostileFrames"]
        assert hostile_frames > 100
        wait_for(lambda: figure(process, LISTENER, "refused_clock_jumps_total") > 50, "jumps that are refused")
        before = 1_381_363_200  # 2013-10-10, the day after the next
        assert figure(process, LISTENER, "event_time_unix_seconds") < before
        assert figure(process, ANALYZER, "tick_unix_seconds") < before
        board: dict[str, Any] = process.get("/v1/boards/us-stocks/volume")
        assert "HOSTILE" not in str(board)
        assert len(board["data"]["rows"]) == 4
        assert figure(process, LISTENER, "disconnects_total") == 2
        assert len([line for line in process.messages("warning") if "next attempt in" in line]) == 2
        jumps = figure(process, LISTENER, "refused_clock_jumps_total")
        say(f"{hostile_frames:,} hostile frames, 2 cuts, 3 connections: {jumps:,.0f} clock jumps refused, 0 on a board")


def test_whoever_reads_too_slowly_is_thrown_out_and_comes_back(tmp_path: Path, up: Callable[..., UpProcess]) -> None:
    load = ("load", "--rate", "100000", "--seconds", "60", "--max-buffer-mib", "1")
    with simulate(tmp_path, *load) as provider:
        process = up(provider.port)
        streams(process)
        process.send(signal.SIGSTOP)
        wait_for(lambda: provider.status()["connections"]["slowConsumers"] == 1, "the provider's patience to end")
        mark = process.mark()
        process.send(signal.SIGCONT)
        process.wait_log("next attempt in", mark)
        wait_for(lambda: figure(process, LISTENER, "connects_total") == 2, "a new connection")
        say("stopped for so long that the provider closed: 1 slow consumer, connected again")
