"""How fast a feed is on one core: ``python tests/bench/feeds.py``. Loopback only; no broker, no cache.

Prints, each as the median of several runs: events per second of the decoder (from the provider's JSON to Scanplane's
events) by kind and frame size, beside the provider's official client on the same frames; frames per second from a real
socket in another process; and events per second of a recording that is played as fast as it goes, decoding included.
"""

import asyncio
import json
import logging
import multiprocessing
import multiprocessing.connection
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from massive.websocket.models import parse
from massive.websocket.models.common import Market
from websockets.asyncio.server import ServerConnection, serve

from scanplane.feeds.massive.connection import MassiveFeedConnection
from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.feeds.massive.messages import MarketMessage, QuoteMessage, SecondBarMessage, StatusMessage, TradeMessage
from scanplane.feeds.replay.connection import ReplayFeedConnection
from scanplane.feeds.replay.files import RecordingWriter
from scanplane.feeds.replay.recording import RecordingHeader
from scanplane.marketdata.channels import AssetClass
from scanplane.resources.feed import Provider

RUNS = 5
EVENTS = 50_000
START_MS = 1_700_000_000_000
RANDOM = random.Random(20131008)
SYMBOLS = sorted(
    {"".join(RANDOM.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=RANDOM.choice((3, 4, 4)))) for _ in range(8500)}
)
SOCKET_FRAMES = {1: 60_000, 10: 40_000, 100: 10_000, 500: 3_000}


def tell(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def a_trade() -> MarketMessage:
    """Return a trade with every field that the provider sends."""
    return TradeMessage(
        symbol=RANDOM.choice(SYMBOLS), time=START_MS + RANDOM.randrange(10_000), price=round(RANDOM.uniform(1, 500), 2),
        size=RANDOM.randrange(1, 1000), conditions=(12, 37), exchange=4, sequence=RANDOM.randrange(10**7), tape=3,
        trade_id=str(RANDOM.randrange(10**6)),
    )  # fmt: skip


def a_quote() -> MarketMessage:
    """Return a quote with every field that the provider sends."""
    bid = round(RANDOM.uniform(1, 500), 2)
    return QuoteMessage(
        symbol=RANDOM.choice(SYMBOLS), time=START_MS, bid_price=bid, bid_size=300, ask_price=bid + 0.01, ask_size=500,
        bid_exchange=4, ask_exchange=7, condition=1, tape=3, sequence=RANDOM.randrange(10**7),
    )  # fmt: skip


def a_bar() -> MarketMessage:
    """Return a second with every field that the provider sends."""
    price = round(RANDOM.uniform(1, 500), 4)
    return SecondBarMessage(
        symbol=RANDOM.choice(SYMBOLS), start=START_MS, end=START_MS + 1000, open=price, high=price, low=price,
        close=price, volume=RANDOM.randrange(1, 9999), vwap=price, accumulated_volume=RANDOM.randrange(10**7),
        official_open=price, session_vwap=price, average_size=77,
    )  # fmt: skip


def any_of_them() -> MarketMessage:
    """Return one of the three at random: the worst case for grouping."""
    return RANDOM.choice((a_trade, a_quote, a_bar))()


def frames_of(make: Callable[[], MarketMessage], size: int, events: int = EVENTS) -> list[bytes]:
    """Return frames of *size* messages, together about *events*."""
    return [msgspec.json.encode([make() for _ in range(size)]) for _ in range(max(1, events // size))]


def rate(work: Callable[[], int]) -> float:
    """Return how many of what *work* counts are done in a second, the median of several runs."""
    rates = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        count = work()
        rates.append(count / (time.perf_counter() - begun))
    return statistics.median(rates)


def measure_decoder() -> None:
    """Decode frames, ours and the official client's way."""
    decoder = MassiveDecoder()
    logger = logging.getLogger("massive")
    tell(f"{'decode, thousand events/s':32}{'frame of 1':>12}{'10':>8}{'100':>8}{'500':>8}{'official client, 100':>24}")
    for name, make in {"trades": a_trade, "quotes": a_quote, "seconds": a_bar, "all mixed": any_of_them}.items():
        line = f"{name:32}"
        for size, width in ((1, 12), (10, 8), (100, 8), (500, 8)):
            frames = frames_of(make, size)

            def decode(frames: list[bytes] = frames) -> int:
                return sum(len(events) for frame in frames for _, events in decoder.decode(frame).runs)

            line += f"{rate(decode) / 1e3:>{width}.0f}"
        frames = frames_of(make, 100, EVENTS // 5)
        official = rate(lambda frames=frames: sum(len(parse(json.loads(f), logger, Market.Stocks)) for f in frames))
        tell(line + f"{official / 1e3:>24.0f}")
    for name, bad in {"one unknown event a frame": '{"ev":"ZZ"}', "one NaN a frame": '{"ev":"T","p":NaN}'}.items():
        frames = [frame[:-1] + b"," + bad.encode() + b"]" for frame in frames_of(a_trade, 500)]
        spoiled = rate(lambda frames=frames: sum(len(e) for f in frames for _, e in decoder.decode(f).runs))
        tell(f"{'trades, ' + name:32}{'':28}{spoiled / 1e3:>8.0f}")


def serve_frames(ready: "multiprocessing.connection.Connection", frame: bytes, count: int) -> None:
    """Serve the protocol on a free port, then *count* equal frames to every client, until the process is ended."""

    async def handle(socket: ServerConnection) -> None:
        await socket.send(msgspec.json.encode([StatusMessage(status="connected")]).decode())
        await socket.recv()
        await socket.send(msgspec.json.encode([StatusMessage(status="auth_success")]).decode())
        topics = json.loads(await socket.recv())["params"]
        await socket.send(
            msgspec.json.encode([StatusMessage(status="success", message=f"subscribed to: {topics}")]).decode()
        )
        for _ in range(count):
            await socket.send(frame, text=True)
        await socket.wait_closed()

    async def run() -> None:
        async with serve(handle, "127.0.0.1", 0, compression=None, write_limit=2**20) as server:
            ready.send(next(iter(server.sockets)).getsockname()[1])
            await asyncio.Event().wait()

    asyncio.run(run())


async def receive(port: int, count: int) -> tuple[float, float]:
    """Return frames per second, and the share of a core that receiving them took."""
    connection = MassiveFeedConnection(f"ws://127.0.0.1:{port}/stocks", "key", ("T.*",))
    first, last, seen = 0, 0, 0
    cpu = 0.0
    done = asyncio.Event()

    def sink(_: bytes, received_ns: int) -> None:
        nonlocal first, last, seen, cpu
        if seen == 0:
            first, cpu = received_ns, time.process_time()
        seen += 1
        if seen == count:
            last, cpu = received_ns, time.process_time() - cpu
            done.set()

    running = asyncio.create_task(connection.run(sink))
    await done.wait()
    running.cancel()
    await asyncio.wait((running,))
    seconds = (last - first) / 1e9
    return count / seconds, cpu / seconds


def measure_socket() -> None:
    """Receive frames from a server in another process; the server is the slower side, so mind the share of a core."""
    context = multiprocessing.get_context("spawn")
    for size, count in SOCKET_FRAMES.items():
        frame = frames_of(a_trade, size, size)[0]
        here, there = context.Pipe()
        server = context.Process(target=serve_frames, args=(there, frame, count), daemon=True)
        server.start()
        port = here.recv()
        results = [asyncio.run(receive(port, count)) for _ in range(RUNS)]
        server.terminate()
        server.join()
        frames_s, core = statistics.median(results)
        tell(
            f"{'socket, frames of ' + str(size) + ' trades':32}{frames_s:>12,.0f} frames/s "
            f"= {frames_s * size / 1e3:,.0f} thousand events/s at {core:.0%} of a core"
        )


def measure_replay() -> None:
    """Write a recording and play it as fast as it goes into the decoder."""
    frames = frames_of(a_trade, 100, 200_000)
    header = RecordingHeader(provider=Provider.MASSIVE, asset_class=AssetClass.STOCKS, started_ns=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.recording"
        begun = time.perf_counter()
        with RecordingWriter(path, header) as writer:
            for frame in frames:
                writer.append(0, frame)
        written = 200_000 / (time.perf_counter() - begun)
        share = path.stat().st_size / sum(map(len, frames))
        tell(f"{'record, thousand events/s':32}{written / 1e3:>12.0f}, a file of {share:.0%} of the frames' size")

        def play() -> int:
            connection = ReplayFeedConnection(path, 0)
            decode, events = connection.decoder.decode, 0

            def sink(frame: bytes, _: int) -> None:
                nonlocal events
                events += sum(len(run) for _, run in decode(frame).runs)

            asyncio.run(connection.run(sink))
            return events

        tell(f"{'replay, thousand events/s':32}{rate(play) / 1e3:>12.0f}")


if __name__ == "__main__":
    measure_decoder()
    measure_socket()
    measure_replay()
