"""The whole chain on one machine: provider, listener, RabbitMQ, analyzer with 20 scanners, Redis, gateway, clients.

The simulated provider sends trades of 8,000 symbols at a fixed rate. A rate counts as sustained if, at the end of each of three
windows, the analyzer has applied all but half a second of everything that was sent since the beginning, and nothing was
dropped, missing or repeated anywhere.
"""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from msgspec import Struct
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bench.pipeline import ANALYZER, GATEWAY, LISTENER, SYMBOLS, Pipeline, running
from bench.report import Better, Figure, PartResult, percentile
from support.servers import RabbitServer, RedisServer

__all__ = ["Audience", "Window", "measure", "measure_window"]

LADDER = (200_000.0, 300_000.0, 450_000.0, 600_000.0)
ATTEMPTS = 2
CALM_RATE = 50_000.0
CLIENTS = 4
ROLES = (LISTENER, ANALYZER, GATEWAY)
WARM_UP_S = 3.0
WINDOW_S = 2.0
WINDOWS = 3
LATENCY_WINDOW_S = 5.0
RATE_GOAL = 450_000.0
LATENCY_GOAL_MS = 50.0
_TOPICS = '{"action": "subscribe", "topics": ["boards/*"]}'
_RECEIVED = re.compile(rb'"receivedNs":(\d{19})')
_TICK = re.compile(rb'"tickNs":(\d{19})')

_MEANING = (
    f"Trades of {SYMBOLS:,} symbols from the simulated provider's socket through listener, RabbitMQ, analyzer (20 scanners, four "
    f"evaluations a second), Redis and gateway to {CLIENTS} clients on its stream, every process on this machine, load generator "
    "included. The original was never measured as a whole. Latency runs from the receipt of the newest event behind a board "
    "to the client that holds the board."
)


class Audience:
    """Clients of the gateway's stream in a thread of their own, which note how old each board is when it comes."""

    def __init__(self, url: str, clients: int = CLIENTS) -> None:
        self._url = url.replace("http://", "ws://") + "/v1/stream"
        self._clients = clients
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="clients", daemon=True)
        self._from_receipt: list[float] = []
        self._from_tick: list[float] = []

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen_all())

    async def _listen_all(self) -> None:
        self._stop = asyncio.Event()
        readers = [asyncio.create_task(self._listen()) for _ in range(self._clients)]
        await self._stop.wait()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    async def _listen(self) -> None:
        async with connect(self._url, compression=None, max_size=None) as stream:
            await stream.send(_TOPICS)
            try:
                while True:
                    self._note(await stream.recv(decode=False), time.time_ns())
            except ConnectionClosed:
                return

    def _note(self, message: bytes, now_ns: int) -> None:
        if not message.startswith(b'{"type":"update"'):
            return
        if (received := _RECEIVED.search(message)) and (tick := _TICK.search(message)):
            self._from_receipt.append((now_ns - int(received[1])) / 1e6)
            self._from_tick.append((now_ns - int(tick[1])) / 1e6)

    def take(self) -> tuple[list[float], list[float]]:
        """Return the milliseconds since receipt, and since the tick's own instant, of the boards since the last call."""
        from_receipt, self._from_receipt = self._from_receipt, []
        from_tick, self._from_tick = self._from_tick, []
        return from_receipt, from_tick

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5.0)


class Window(Struct, frozen=True, kw_only=True):
    """What a stretch of time led to: events a second that were sent and applied, and how many are still on their way;
    ``costs`` is the processor time that each role took for an event, in microseconds.
    """

    sent: float
    applied: float
    behind: float
    costs: dict[str, float]
    problems: dict[str, float]

    def holds(self, rate: float) -> bool:
        """Say whether *rate* was really sent, all but half a second of it applied, and nothing lost."""
        return self.sent >= 0.97 * rate and self.behind < 0.5 * rate and not any(self.problems.values())


def measure_window(pipeline: Pipeline, seconds: float) -> Window:
    """Watch a running pipeline for *seconds*."""
    spent = {name: pipeline.processor_seconds(name) for name in ROLES}
    sending, sent_before = time.time(), float(pipeline.provider()["events"])
    applying, before = pipeline.look(ANALYZER)
    time.sleep(seconds)
    sent_at, sent = time.time(), float(pipeline.provider()["events"])
    applied_at, analyzer = pipeline.look(ANALYZER)
    applied = analyzer["trades_total"] - before["trades_total"]
    listener = pipeline.figures(LISTENER)
    return Window(
        sent=(sent - sent_before) / (sent_at - sending),
        applied=applied / (applied_at - applying),
        behind=max(0.0, sent - analyzer["trades_total"]),
        costs={name: (pipeline.processor_seconds(name) - before) / applied * 1e6 for name, before in spent.items()},
        problems={
            "missing batches": analyzer["missing_batches_total"],
            "repeated batches": analyzer["repeated_batches_total"],
            "dropped frames": listener["dropped_frames_total"],
            "dropped batches": listener["dropped_batches_total"],
            "disconnects": listener["disconnects_total"],
        },
    )


@contextmanager
def chain(
    rabbit: RabbitServer, redis: RedisServer, rate: float, frame_events: str
) -> Iterator[tuple[Pipeline, Audience]]:
    """Run everything at *rate*, warmed up."""
    arguments = ("--rate", str(rate), "--channel", "Trades", "--frame-events", frame_events)
    with running(rabbit.url, redis.url, *arguments) as pipeline, Audience(pipeline.gateway_url) as audience:
        pipeline.wait_for_figure(ANALYZER, "trades_total", rate / 2)
        time.sleep(WARM_UP_S)
        audience.take()
        yield pipeline, audience


def _climb(rabbit: RabbitServer, redis: RedisServer, frame_events: str) -> tuple[float, list[Window]]:
    """Return the highest rate of the ladder that holds, and its windows; 0 if none does."""
    best: tuple[float, list[Window]] = (0.0, [])
    for rate in LADDER:
        for _ in range(ATTEMPTS):
            with chain(rabbit, redis, rate, frame_events) as (pipeline, _audience):
                windows = [measure_window(pipeline, WINDOW_S) for _ in range(WINDOWS)]
            if all(window.holds(rate) for window in windows):
                best = (rate, windows)
                break
        else:
            return best
    return best


def _latencies(rabbit: RabbitServer, redis: RedisServer) -> tuple[Figure, ...]:
    """Return percentiles of what the clients saw at the calm rate."""
    with chain(rabbit, redis, CALM_RATE, "500") as (_pipeline, audience):
        samples = []
        for _ in range(WINDOWS):
            time.sleep(LATENCY_WINDOW_S)
            samples.append(audience.take())
    rate = f"{CALM_RATE / 1000:,.0f}k/s"

    def figure(name: str, place: int, share: float, goal: float | None = None) -> Figure:
        values = tuple(percentile(sample[place], share) for sample in samples)
        return Figure(name=f"{name} at {rate}", unit="ms", values=values, better=Better.LESS, goal=goal)

    return (
        figure("tick to client, p50", 0, 0.50),
        figure("tick to client, p99", 0, 0.99, LATENCY_GOAL_MS),
        figure("tick's own instant to client, p50", 1, 0.50),
        figure("tick's own instant to client, p99", 1, 0.99),
    )


def measure() -> PartResult:
    """Climb the ladder, then look at latencies far below its end."""
    with RabbitServer() as rabbit, RedisServer() as redis:
        rate, windows = _climb(rabbit, redis, "500")
        latencies = _latencies(rabbit, redis)
    if not windows:
        remark = f"not even {LADDER[0]:,.0f} events/s were sustained: is the machine busy with something else?"
        return PartResult(title="The whole chain", meaning=_MEANING, figures=latencies, remarks=(remark,))
    ladder = ", ".join(f"{each / 1000:,.0f}k" for each in LADDER)
    sustained = Figure(
        name=f"highest rung that holds of {ladder}",
        unit="events/s",
        values=(rate,),
        goal=RATE_GOAL,
    )
    applied = Figure(
        name="applied there, in windows of 2 s", unit="events/s", values=tuple(window.applied for window in windows)
    )
    costs = [
        Figure(
            name=f"processor time there, {name.partition('-')[0]}",
            unit="µs/event",
            values=tuple(window.costs[name] for window in windows),
            better=Better.LESS,
        )
        for name in ROLES
    ]
    return PartResult(title="The whole chain", meaning=_MEANING, figures=(sustained, applied, *costs, *latencies))
