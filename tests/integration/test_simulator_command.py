"""``scanplane simulate`` as a process: one line when it listens, one when it ends, one when it can't."""

import asyncio
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from support.simulator_client import raw_client

_TIMEOUT_S = 60.0
_PROGRAM = "import typer; from scanplane.simulator.command import simulate; typer.run(simulate)"


@asynccontextmanager
async def _simulate(*arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, *arguments, stdout=PIPE, stderr=PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _urls(process: Process) -> tuple[str, str]:
    assert process.stdout is not None
    async with asyncio.timeout(_TIMEOUT_S):
        line = (await process.stdout.readline()).decode()
    found = re.search(r"at (ws://\S+), REST and status at (http://\S+)/simulator/status", line)
    assert found is not None, line
    return found[1], found[2]


async def _end(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(_TIMEOUT_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_session_is_served_on_the_real_port_until_it_is_finished() -> None:
    arguments = ("stocks", "--port", "0", "--speed", "0", "--seconds", "30", "--until-finished", "--ending", "close")
    async with _simulate(*arguments) as process:
        url, _ = await _urls(process)
        async with raw_client(f"{url}/stocks", "T.*") as client:
            await client.read_to_end()
        code, out, err = await _end(process)
    assert len(client.events) == 90
    assert (code, err) == (0, "")
    assert re.fullmatch(r"5[0-9]{2} events played, 0 unheard; 1 connections, at most 1 at once; .*; finished\n", out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_a_summary(number: signal.Signals) -> None:
    async with _simulate("load", "--port", "0", "--rate", "5000", "--symbols", "20") as process:
        url, rest = await _urls(process)
        async with raw_client(f"{url}/stocks", "T.*") as client, httpx.AsyncClient() as http:
            await client.read_events(100)
            status = (await http.get(f"{rest}/simulator/status")).json()
            process.send_signal(number)
            await client.read_to_end()
        code, out, err = await _end(process)
    assert status["started"] is True
    assert (code, err) == (0, "")
    assert out.endswith("stopped early\n")


async def test_a_port_in_use_is_one_line_and_code_2() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with _simulate("stocks", "--port", str(port)) as process:
            code, out, err = await _end(process)
    assert (code, out) == (2, "")
    assert err == f"scanplane simulate: port {port} on 127.0.0.1 is in use; choose another, or 0 for a free one\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tick",), "no session and no recording is called tick"),
        (("stocks", "--frame-events", "10-1"), "--frame-events 10-1: write a number"),
        (("load", "--channel", "Trades", "--channel", "Quotes"), "the load session has one channel"),
        (("market", "--events", "5", "--prepare", "{folder}/m.rec"), "can be played with 7047 to"),
        (("market", "--data", "{folder}", "--prepare", "{folder}/m.rec"), "20140326.csv.gz is missing"),
    ],
)
async def test_a_mistake_is_one_line_and_code_2(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    async with _simulate(*(argument.format(folder=tmp_path) for argument in arguments)) as process:
        code, out, err = await _end(process)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


async def test_a_prepared_session_plays_from_its_recording(tmp_path: Path) -> None:
    path = tmp_path / "crypto.rec"
    async with _simulate("crypto", "--prepare", str(path)) as process:
        code, out, _ = await _end(process)
    assert code == 0
    assert out.startswith("wrote 124 events of crypto")
    arguments = (str(path), "--port", "0", "--speed", "0", "--until-finished", "--ending", "close")
    async with _simulate(*arguments) as process:
        url, _ = await _urls(process)
        async with raw_client(f"{url}/crypto", "XT.*", "XQ.*", "XAS.*", "XA.*") as client:
            await client.read_to_end()
    assert len(client.events) == 124


async def test_a_session_that_breaks_is_said_and_code_2(tmp_path: Path) -> None:
    path = tmp_path / "cut.rec"
    async with _simulate("crypto", "--prepare", str(path)) as process:
        await _end(process)
    path.write_bytes(path.read_bytes()[:-20])
    async with _simulate(str(path), "--port", "0", "--speed", "0") as process:
        url, _ = await _urls(process)
        async with raw_client(f"{url}/crypto", "XT.*") as client:
            await client.read_to_end()
            code, _, err = await _end(process)
    assert code == 2
    assert "was cut off" in err
