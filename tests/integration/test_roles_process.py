"""A role as a process of its own: how it starts, answers, ends and fails."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from scanplane.plan.configuration import GatewayConfiguration, SecretKey, Services, encode_configuration
from scanplane.resources.data_plane import LogLevel

PATIENCE_SECONDS = 60
PROGRAM = Path(__file__).parents[1] / "support" / "role_program.py"

CONFIGURATION = GatewayConfiguration(
    services=Services(
        namespace="prod",
        broker_url=None,
        cache_url=None,
        log_level=LogLevel.INFO,
        otlp_endpoint=None,
        trace_ratio=0.0,
        export_interval_ns=10_000_000_000,
    ),
    port=0,
    tokens_secret=None,
    max_clients=10,
    max_client_bytes=65_536,
    max_updates_per_second=10.0,
    credentials_digest="",
    sources={},
)


class RoleProcess:
    """A running role program, with everything it said."""

    def __init__(self, configuration: Path, moment: str, status_port: int) -> None:
        command = [
            sys.executable,
            str(PROGRAM),
            str(configuration),
            str(configuration.parent),
            str(status_port),
            moment,
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_for(self, moment: str) -> None:
        """Read standard output up to *moment*."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == moment:
                return
        pytest.fail(f"ended before {moment!r}: {self._process.communicate()[1]}")

    def wait_for_record(self, message: str) -> dict[str, Any]:
        """Read the log up to a record with *message*."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            record: dict[str, Any] = json.loads(line)
            if record["message"] == message:
                return record
        pytest.fail(f"ended before it logged {message!r}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def go_on(self) -> None:
        """Let it leave the moment at which it waits."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and standard error."""
        _, errors = self._process.communicate(timeout=PATIENCE_SECONDS)
        return self._process.returncode, errors

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


Start = Callable[..., RoleProcess]


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "configuration.json"
    path.write_bytes(encode_configuration(CONFIGURATION))
    return path


@pytest.fixture
def start(configuration: Path) -> Iterator[Start]:
    started: list[RoleProcess] = []

    def start_one(moment: str, status_port: int = 0) -> RoleProcess:
        started.append(RoleProcess(configuration, moment, status_port))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["importing", "making", "standby", "active"])
def test_a_stop_at_any_moment_ends_cleanly(start: Start, moment: str, number: signal.Signals) -> None:
    process = start(moment)
    process.wait_for(moment)
    process.send(number)
    if moment in {"importing", "making"}:
        process.go_on()
    code, errors = process.end()
    assert code == 0, errors
    assert "Traceback" not in errors


def test_a_second_signal_ends_a_drain_at_once(start: Start) -> None:
    process = start("draining")
    process.wait_for("active")
    process.send(signal.SIGINT)
    process.wait_for("draining")
    process.send(signal.SIGINT)
    code, errors = process.end()
    assert code == 130
    assert "Traceback" not in errors


def test_work_that_is_done_ends_the_process_with_success(start: Start) -> None:
    code, errors = start("done").end()
    records = [json.loads(line) for line in errors.splitlines()]
    assert code == 0
    assert [record["message"] for record in records] == [
        "gateway starts",
        "gateway is standby",
        "gateway is active",
        "gateway is draining",
        "gateway is stopped",
        "gateway has ended",
    ]
    assert {record["instance"] for record in records} == {"gateway"}


def test_a_running_role_answers_probes_scrapes_and_people(start: Start) -> None:
    process = start("active")
    port = process.wait_for_record("gateway starts")["status_port"]
    process.wait_for("active")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
        assert client.get("/readyz").json() == {
            "ok": True,
            "checks": [{"name": "role", "ok": True, "why": "gateway is active"}],
        }
        assert client.get("/healthz").status_code == 200
        status = client.get("/status").json()
        assert (status["role"], status["phase"], status["figures"]) == ("example", "Active", {"events_total": 7.0})
        metrics = client.get("/metrics").text
        assert 'scanplane_events_total{instance="gateway",namespace="prod",role="example"} 7.0' in metrics
        assert "scanplane_event_loop_lag_seconds_count" in metrics
    process.send(signal.SIGTERM)
    assert process.end()[0] == 0


def failure(start: Start, moment: str = "active", status_port: int = 0) -> tuple[int, str]:
    """Return the exit code and the one line that was said, whether logged or plain."""
    code, errors = start(moment, status_port).end()
    (line,) = errors.splitlines()
    return code, json.loads(line)["message"] if line.startswith("{") else line


def test_a_configuration_that_is_not_there_is_bad_input(start: Start, configuration: Path) -> None:
    configuration.unlink()
    expected = f"scanplane: can't read the configuration {configuration}: no such file or directory"
    assert failure(start) == (2, expected)


@pytest.mark.parametrize("text", ["{", '{"role": "gateway"}', '{"role": "dancer"}', "[]"])
def test_a_configuration_that_is_none_is_bad_input(start: Start, configuration: Path, text: str) -> None:
    configuration.write_text(text)
    code, line = failure(start)
    assert code == 2
    assert line.startswith(f"scanplane: {configuration} is no role configuration: ")


def test_a_secret_that_is_missing_is_bad_input(start: Start, configuration: Path) -> None:
    services = msgspec.structs.replace(CONFIGURATION.services, broker_url=SecretKey(name="rabbit", key="url"))
    configuration.write_bytes(encode_configuration(msgspec.structs.replace(CONFIGURATION, services=services)))
    code, line = failure(start)
    assert code == 2
    assert line.startswith("secret 'rabbit' has no key 'url': neither ")


def test_what_a_role_refuses_is_bad_input(start: Start) -> None:
    assert failure(start, "input") == (2, "recording.parquet is not there")


def test_a_port_in_use_is_a_failure_in_one_line(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, line = failure(start, status_port=port)
    assert code == 1
    assert line == (
        f"can't listen on 127.0.0.1:{port}: address already in use; choose another port with --status-port, or 0 for a free one"
    )


def test_a_bug_fails_with_its_traceback_in_one_record(start: Start) -> None:
    code, errors = start("bug").end()
    assert code == 1
    record = json.loads(errors.splitlines()[-1])
    assert record["message"] == "gateway failed: KeyError"
    assert "a bug" in record["exception"]
