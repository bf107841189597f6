"""How long a baton takes from one process to the next: ``python tests/bench/baton.py``.

The holder and the one that stands by are processes of their own beside a RabbitMQ on loopback. The time runs from the
signal to the moment at which the next holder may work, both by the machine's monotonic clock.
"""

import asyncio
import os
import signal
import statistics
import sys
import time
from pathlib import Path

import aiormq
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scanplane.broker.factory import open_broker
from scanplane.broker.rabbitmq.topology import baton_queue_name
from support.servers import RabbitServer

__all__ = ["measure_handover"]

_SETTLING_S = 0.1


async def _hold(url: str, namespace: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("standing by", flush=True)  # noqa: T201  # read by the measuring process
    async with open_broker(url, namespace).baton("bench") as hold:
        print(time.monotonic_ns(), flush=True)  # noqa: T201  # read by the measuring process
        await stop.wait()
        hold.leave(b"positions")


async def _start(url: str, namespace: str) -> asyncio.subprocess.Process:
    environment = os.environ | {"BENCH_BROKER_URL": url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "hold", namespace, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def _taken_ns(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    return int(await process.stdout.readline())


async def _both_consume(url: str, namespace: str) -> None:
    queue = baton_queue_name(namespace, "bench")
    connection = await aiormq.connect(url)
    channel = await connection.channel()
    try:
        while (await channel.queue_declare(queue, passive=True)).consumer_count != 2:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
        await asyncio.sleep(_SETTLING_S)  # for its seed to come round
    finally:
        await connection.close()


async def measure_handover(url: str, end: signal.Signals, tries: int = 20, namespace: str = "bench") -> list[float]:
    """End the holder with *end*, *tries* times; return the milliseconds until the next one holds the baton."""
    elapsed: list[float] = []
    holder = await _start(url, namespace)
    await _taken_ns(holder)
    for _ in range(tries):
        standby = await _start(url, namespace)
        await _both_consume(url, namespace)
        ended_ns = time.monotonic_ns()
        holder.send_signal(end)
        elapsed.append((await _taken_ns(standby) - ended_ns) / 1e6)
        await holder.wait()
        holder = standby
    holder.kill()
    await holder.wait()
    return elapsed


async def main() -> None:
    """Measure an orderly release and a kill, and print median and maximum in milliseconds."""
    with RabbitServer() as server:
        for end in (signal.SIGTERM, signal.SIGKILL):
            elapsed = await measure_handover(server.url, end)
            middle, worst = statistics.median(elapsed), max(elapsed)
            print(f"handover after {end.name:<8} median {middle:6.1f} ms, maximum {worst:6.1f} ms")  # noqa: T201  # its output


if __name__ == "__main__":
    if sys.argv[1:2] == ["hold"]:
        uvloop.run(_hold(os.environ["BENCH_BROKER_URL"], sys.argv[2]))
    else:
        uvloop.run(main())
