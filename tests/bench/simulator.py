"""What the simulated provider costs: ``python tests/bench/simulator.py``.

A load generator that needs half the machine measures itself. So: the share of one core that ``scanplane simulate load``
takes at a fixed rate, with a client in another process that only counts bytes; and how many events a second of a made
market day and of the real ticks one core generates and encodes. Simulator and client share the machine.
"""

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scanplane.simulator.frames import encode_frame
from scanplane.simulator.sessions.interface import Block, Session
from scanplane.simulator.sessions.market import MarketSession
from scanplane.simulator.sessions.ticks import TickSession
from support.simulator_client import request

__all__ = ["measure_generation", "measure_load"]

_PROGRAM = "import typer; from scanplane.simulator.command import simulate; typer.run(simulate)"
_SUBSCRIBE = "T.*"
_READ_BYTES = 1 << 20


async def _drain(url: str, seconds: float) -> int:
    """Speak just enough of the protocol over a bare socket, then read and throw away; return the bytes read."""
    host, port = url.removeprefix("ws://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=8 * _READ_BYTES)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    writer.write(
        f"GET /stocks HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    for action, params in (("auth", "demo"), ("subscribe", _SUBSCRIBE)):
        payload = request(action, params).encode()
        writer.write(bytes((0x81, 0x80 | len(payload), 0, 0, 0, 0)) + payload)
    total = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while chunk := await reader.read(_READ_BYTES):
                total += len(chunk)
    writer.close()
    return total


async def measure_load(rate: int, frame_events: str, seconds: float = 6.0) -> tuple[float, float]:
    """Return the share of a core that the simulator took and the events a second that it really sent."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, "load", "--port", "0", "--rate", str(rate), "--frame-events", frame_events),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"NO_COLOR": "1"},
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        url = line.split(" at ")[1].split(",")[0]
        watched = psutil.Process(process.pid)
        before, began = watched.cpu_times(), time.perf_counter()
        await _drain(url, seconds)
        after, elapsed = watched.cpu_times(), time.perf_counter() - began
        process.terminate()
        summary = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
    sent = int(summary.split(" ")[0].replace(",", ""))
    busy = after.user + after.system - before.user - before.system
    return busy / elapsed, sent / elapsed


def measure_generation(session: Session) -> float:
    """Return events a second, generated and encoded to frames, on one core."""
    began, events = time.perf_counter(), 0
    for block in session.blocks():
        assert isinstance(block, Block)
        encode_frame(block.messages)
        events += len(block.messages)
    return events / (time.perf_counter() - began)


async def _main() -> None:
    for session in (MarketSession(), TickSession()):
        print(f"{session.name}: {measure_generation(session):,.0f} events/s generated and encoded on one core")  # noqa: T201  # a report
    for rate, frame_events in ((50_000, "500"), (450_000, "500"), (450_000, "1-10")):
        share, sent = await measure_load(rate, frame_events)
        print(f"load of {rate:,}/s, {frame_events} a frame: {share:.0%} of a core, {sent:,.0f} events/s sent")  # noqa: T201  # a report


if __name__ == "__main__":
    asyncio.run(_main())
