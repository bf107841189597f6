import asyncio
import socket

import httpx
import pytest

from scanplane.telemetry.lag import LagProbe
from scanplane.telemetry.latency import LatencyHistogram
from scanplane.telemetry.listening import EVERY_INTERFACE, ListenError, bind
from scanplane.telemetry.server import Check, Probes, serve_probes


class Answers:
    def __init__(self) -> None:
        self.stalled = False
        self.is_ready = False
        self.sampled = 0

    def probes(self) -> Probes:
        def sample() -> None:
            self.sampled += 1

        def metrics_text() -> bytes:
            return f"samples {self.sampled}\n".encode()

        return Probes(
            live=lambda: [
                Check(name="event loop", ok=True, why="turns"),
                Check(name="progress", ok=not self.stalled, why="no batch for 9 s"),
            ],
            ready=lambda: [Check("role", self.is_ready, "analyzer-us-0 is starting")],
            status=lambda: b'{"phase":"Active"}',
            sample=sample,
            metrics_text=metrics_text,
        )


async def test_the_four_pages_answer_and_say_why_not() -> None:
    answers = Answers()
    async with (
        serve_probes(bind("127.0.0.1", 0), answers.probes()) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json() == {
            "ok": False,
            "checks": [{"name": "role", "ok": False, "why": "analyzer-us-0 is starting"}],
        }
        answers.is_ready = True
        assert (await client.get("/readyz")).status_code == 200

        assert (await client.get("/healthz")).status_code == 200
        answers.stalled = True
        live = await client.get("/healthz")
        assert live.status_code == 503
        assert [check["why"] for check in live.json()["checks"] if not check["ok"]] == ["no batch for 9 s"]

        assert (await client.get("/status")).json() == {"phase": "Active"}
        metrics = await client.get("/metrics")
        assert metrics.text == "samples 1\n"
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert (await client.get("/elsewhere")).status_code == 404


async def test_the_port_is_free_again_after_the_server_ended() -> None:
    async with serve_probes(bind("127.0.0.1", 0), Answers().probes()) as server:
        port = server.port
    bind("127.0.0.1", port).close()


async def test_a_client_that_stays_connected_does_not_hold_up_the_end() -> None:
    async with asyncio.timeout(30):
        async with serve_probes(bind("127.0.0.1", 0), Answers().probes()) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in await reader.readline()
        await reader.read()
        writer.close()


async def test_errors_of_the_body_come_out_as_they_are() -> None:
    with pytest.raises(KeyError):
        async with serve_probes(bind("127.0.0.1", 0), Answers().probes()):
            raise KeyError


def test_a_port_in_use_is_told_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError) as refused:
            bind("127.0.0.1", port)
    assert str(refused.value) == (
        f"can't listen on 127.0.0.1:{port}: address already in use; choose another port with --status-port, or 0 for a free one"
    )


def test_a_port_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ListenError, match=r"can't listen on 127\.0\.0\.1:70000"):
        bind("127.0.0.1", 70000)


class Beats(LatencyHistogram):
    """Says when something was recorded."""

    def __init__(self) -> None:
        super().__init__("event_loop_lag", "")
        self.recorded = asyncio.Event()

    def record_ns(self, value: int, count: int = 1) -> None:
        super().record_ns(value, count)
        self.recorded.set()


async def test_the_lag_probe_beats_and_records() -> None:
    beats = Beats()
    probe = LagProbe(beats)
    beating = asyncio.create_task(probe.run())
    async with asyncio.timeout(30):
        await beats.recorded.wait()
    beating.cancel()
    assert beats.snapshot().count == 1
    assert probe.silent_ns < 30_000_000_000


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_every_interface_is_also_those_of_ipv6(address: str) -> None:
    if ":" in address and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with (
        bind(EVERY_INTERFACE, 0) as listener,
        socket.create_connection((address, listener.getsockname()[1]), 5) as client,
    ):
        assert client.getpeername()[0] == address
