"""Restarts against a held session: our own client, cancelled again and again in the middle of the stream, misses nothing."""

import asyncio
import random
from pathlib import Path

import pytest

from scanplane.feeds.massive.connection import MassiveFeedConnection
from scanplane.simulator.server import Simulator
from scanplane.simulator.sessions.interface import Session
from scanplane.simulator.sessions.load import LoadSession
from scanplane.simulator.sessions.market import MarketSession
from scanplane.simulator.sessions.recorded import RecordedSession, write_recording
from scanplane.simulator.settings import SimulatorSettings

_TIMEOUT_S = 60.0


class _Listener:
    """One client's life after another's; keeps every frame in order."""

    def __init__(self, simulator: Simulator, topics: tuple[str, ...]) -> None:
        self._simulator = simulator
        self._topics = topics
        self._target = 0
        self._reached = asyncio.Event()
        self.frames: list[bytes] = []
        self.lives = 0

    def _take(self, frame: bytes, _: int) -> None:
        self.frames.append(frame)
        if len(self.frames) >= self._target:
            self._reached.set()

    async def live(self, frames: int) -> None:
        """Connect, and be cancelled once *frames* more frames came or the session is over."""
        self.lives += 1
        self._reached.clear()
        self._target = len(self.frames) + frames
        connection = MassiveFeedConnection(f"{self._simulator.url}/stocks", "demo", self._topics)
        ends = [
            asyncio.create_task(connection.run(self._take)),
            asyncio.create_task(self._reached.wait()),
            asyncio.create_task(self._simulator.finished.wait()),
        ]
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.wait(ends)


def _session(kind: str, tmp_path: Path) -> Session:
    market = MarketSession(events=40_000)
    if kind == "market":
        return market
    path = tmp_path / "market.rec"
    write_recording(market, path, frame_events=(1, 10))
    return RecordedSession(path)


async def _play(session: Session, settings: SimulatorSettings, lives: list[int]) -> tuple[bytes, Simulator, int]:
    async with Simulator(session, settings) as simulator:
        listener = _Listener(simulator, ("A.*",))
        for frames in lives:
            await listener.live(frames)
        while not simulator.finished.is_set():
            await listener.live(1_000_000)
    return b"".join(listener.frames), simulator, listener.lives


@pytest.mark.parametrize("kind", ["market", "recording"])
@pytest.mark.parametrize("speed", [0.0, 20_000.0])
async def test_a_day_with_restarts_is_byte_for_byte_the_day_without(kind: str, speed: float, tmp_path: Path) -> None:
    settings = SimulatorSettings(speed=speed, hold=True, frame_events=(1, 1))
    chance = random.Random(4)
    lives = [chance.randrange(1, 1200) for _ in range(12)]
    session = _session(kind, tmp_path)
    straight, _, _ = await _play(session, settings, [])
    restarted, simulator, count = await _play(session, settings, lives)
    assert count > 5
    assert restarted == straight
    assert simulator.connections.maximum == 1
    assert simulator.connections.total == count
    assert simulator.status().unheard == 0


async def test_a_load_is_held_too() -> None:
    settings = SimulatorSettings(speed=1.0, hold=True)
    async with Simulator(LoadSession(rate=50_000, seconds=0.5), settings) as simulator:
        listener = _Listener(simulator, ("T.*",))
        await listener.live(20)
        while not simulator.finished.is_set():
            await listener.live(1_000_000)
        assert simulator.events == 25_000
        assert sum(frame.count(b'"ev"') for frame in listener.frames) == 25_000
