"""What becomes of signals when an analyzer is killed, on every home of the cache: ``class TestX(SignalsContract)``.

The analyzer is the role itself. A killed one is cancelled after it wrote signals and before it saved its state, so that the
broker gives the batches behind them to the next.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from scanplane.analyzer.role import Analyzer
from scanplane.broker.interface import QueueLimits
from scanplane.broker.memory import MemoryBroker
from scanplane.cache import keys
from scanplane.cache.interface import Cache, Entry, Write
from scanplane.marketdata.batches import Batch, BatchHeader, Tick, encode_events, encode_tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Event, Trade
from scanplane.marketdata.results import Signal
from scanplane.plan.configuration import ScannerConfiguration, SecretKey
from scanplane.roles.interface import RoleServices
from scanplane.telemetry.setup import TelemetrySettings, start_telemetry
from support.engine_market import SECOND_NS, WHOLE, a_configuration, a_signal, new_york

OPEN_NS = new_york("2026-03-10 09:30")
MARKET = "us-stocks"
LIMITS = QueueLimits(time_to_live_ns=60 * SECOND_NS, max_bytes=2**20)
SYMBOLS = ("AAA", "BBB")
PATIENCE_S = 20.0

Identity = tuple[str, str, int]
"""Scanner, symbol, and the tick in seconds after the open."""

HIGHS = a_signal("new_high_of_day", name="highs")
ADDED = a_signal("new_high_of_day", where="price > 0.0", name="added")
ZENITHS = a_signal("new_high_of_day", where="price > 1.0", name="zeniths")


class _NoSecrets:
    def read(self, key: SecretKey) -> str:
        raise AssertionError(f"nobody needs {key}")

    def read_all(self, name: str) -> dict[str, str]:
        raise AssertionError(f"nobody needs {name}")


class AStream:
    """What a listener sends: prices of two symbols that rise with every second, and ticks."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._queue = broker.queue(MARKET, WHOLE, LIMITS)
        self._sequence = 0

    def _put(self, channel: Channel | None, body: bytes) -> None:
        header = BatchHeader("first", MARKET, WHOLE, channel, 1, self._sequence, 1, 1, 1)
        self._queue.put(Batch(header, body))
        self._sequence += 1

    def second(self, number: int) -> None:
        """Send the trades of a second after the open, and the tick at its end."""
        at_ns, price = OPEN_NS + number * SECOND_NS, 10.0 + number
        trades: list[Event] = [Trade(symbol, at_ns, price, 100.0) for symbol in SYMBOLS]
        self._put(Channel.TRADES, encode_events(trades))
        self.tick(number + 1)

    def tick(self, number: int, *, rewound: bool = False) -> None:
        """Send a tick, in seconds after the open."""
        self._put(None, encode_tick(Tick(OPEN_NS + number * SECOND_NS, rewound)))


class SignalsContract:
    """The shared cases."""

    @pytest.fixture
    def cache(self) -> Cache:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _save_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An analyzer saves after its first tick, and then at its end only."""
        monkeypatch.setattr("scanplane.analyzer.consumption.SAVE_INTERVAL_S", 3600.0)

    async def test_the_signals_of_a_killed_analyzer_are_not_written_twice(self, cache: Cache, namespace: str) -> None:
        broker = MemoryBroker()
        stream = AStream(broker)
        await _kill_after_ticks_2_and_3(broker, cache, namespace, stream, HIGHS)
        async with an_analyzer(broker, cache, namespace, HIGHS) as role:
            stream.second(3)
            await until_tick(role, 4)
        assert figure(role, "signals_repeated_total") == 4.0
        assert await _signals(cache, namespace) == _of([HIGHS], 2, 3, 4)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ([HIGHS], [ADDED, HIGHS]),
            ([HIGHS], [HIGHS, ZENITHS]),
            ([ADDED, HIGHS], [HIGHS]),
            ([ADDED, HIGHS], [HIGHS, ZENITHS]),
            ([HIGHS, ZENITHS], [ZENITHS, ADDED, HIGHS]),
        ],
        ids=lambda scanners: "+".join(scanner.name for scanner in scanners),
    )
    async def test_a_kill_and_another_set_of_scanners_lose_no_signal_and_repeat_none(
        self, cache: Cache, namespace: str, before: list[ScannerConfiguration], after: list[ScannerConfiguration]
    ) -> None:
        broker = MemoryBroker()
        stream = AStream(broker)
        await _kill_after_ticks_2_and_3(broker, cache, namespace, stream, *before)
        async with an_analyzer(broker, cache, namespace, *after) as role:
            stream.second(3)
            await until_tick(role, 4)
        added = [scanner for scanner in after if scanner not in before]
        found = await _signals(cache, namespace)
        assert sorted(found) == sorted(_of(before, 2, 3) + _of(added, 2, 3) + _of(after, 4))
        assert figure(role, "signals_repeated_total") == 4.0 * (len(after) - len(added))

    async def test_a_second_kill_at_once_changes_nothing(self, cache: Cache, namespace: str) -> None:
        broker = MemoryBroker()
        stream = AStream(broker)
        await _kill_after_ticks_2_and_3(broker, cache, namespace, stream, HIGHS)
        async with an_analyzer(broker, cache, namespace, ADDED, HIGHS, killed=True):
            await until_written(cache, namespace, 8)
        async with an_analyzer(broker, cache, namespace, HIGHS, ADDED) as role:
            await until_tick(role, 3)
        assert figure(role, "signals_repeated_total") == 8.0
        assert sorted(await _signals(cache, namespace)) == sorted(_of([ADDED, HIGHS], 2, 3))

    async def test_an_entry_that_is_no_signal_stops_nobody(self, cache: Cache, namespace: str) -> None:
        broker = MemoryBroker()
        stream = AStream(broker)
        milliseconds = OPEN_NS // 1_000_000 + 3000
        entries = {keys.signals(namespace, MARKET, WHOLE): [Entry((milliseconds, 7), b"no signal")]}
        await cache.write(Write(fence_key=keys.state(namespace, MARKET, WHOLE), generation=0, entries=entries))
        async with an_analyzer(broker, cache, namespace, HIGHS) as role:
            stream.second(0)
            stream.second(1)
            await until_tick(role, 2)
        written = [entry.entry_id for entry in await _entries(cache, namespace)]
        assert written == [(milliseconds, ordinal) for ordinal in (7, 8, 9)]

    async def test_a_recording_that_begins_again_is_numbered_from_its_own_beginning(
        self, cache: Cache, namespace: str
    ) -> None:
        broker = MemoryBroker()
        stream = AStream(broker)
        await _kill_after_ticks_2_and_3(broker, cache, namespace, stream, HIGHS)
        async with an_analyzer(broker, cache, namespace, HIGHS) as role:
            stream.tick(0, rewound=True)
            stream.second(0)
            stream.second(1)
            await until_tick(role, 2, rewinds=1)
        assert await _signals(cache, namespace) == _of([HIGHS], 2)
        milliseconds = OPEN_NS // 1_000_000 + 2000
        written = [entry.entry_id for entry in await _entries(cache, namespace)]
        assert written == [(milliseconds, ordinal) for ordinal in (1, 2)]


@asynccontextmanager
async def an_analyzer(
    broker: MemoryBroker, cache: Cache, namespace: str, *scanners: ScannerConfiguration, killed: bool = False
) -> AsyncIterator[Analyzer]:
    """Run an analyzer within the context; at its end it is stopped, or *killed*."""
    configuration = a_configuration(*scanners)
    services = msgspec.structs.replace(configuration.services, namespace=namespace)
    configuration = msgspec.structs.replace(
        configuration, services=services, time_to_live_ns=LIMITS.time_to_live_ns, max_bytes=LIMITS.max_bytes
    )
    settings = TelemetrySettings(service_name="test", instance="test", namespace=namespace, prometheus=False)
    telemetry = start_telemetry(settings)
    role = Analyzer(configuration, RoleServices(broker, cache, _NoSecrets(), Path()), telemetry)
    stop = asyncio.Event()
    task = asyncio.create_task(role.run(stop))
    try:
        yield role
        if killed:
            task.cancel()
        else:
            stop.set()
        await asyncio.wait([task], timeout=PATIENCE_S)
        assert task.done()
        assert task.cancelled() == killed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        telemetry.shutdown()


async def until_tick(role: Analyzer, tick: int, *, rewinds: int = 0) -> None:
    """Wait until *role* has evaluated a tick, in seconds after the open."""
    expected = (OPEN_NS / SECOND_NS + tick, rewinds)
    async with asyncio.timeout(PATIENCE_S):
        while (figure(role, "tick_unix_seconds"), figure(role, "rewinds_total")) != expected:  # noqa: ASYNC110  # asked for
            await asyncio.sleep(0.005)


async def until_written(cache: Cache, namespace: str, count: int) -> None:
    """Wait until the stream has *count* signals."""
    async with asyncio.timeout(PATIENCE_S):
        while len(await _entries(cache, namespace)) < count:  # noqa: ASYNC110  # nobody pushes how many there are
            await asyncio.sleep(0.005)


def figure(role: Analyzer, name: str) -> float:
    return role.status().figures.get(name, 0.0)


async def _kill_after_ticks_2_and_3(
    broker: MemoryBroker, cache: Cache, namespace: str, stream: AStream, *scanners: ScannerConfiguration
) -> None:
    """Save at tick 1; write the signals of the next two ticks; die."""
    async with an_analyzer(broker, cache, namespace, *scanners, killed=True) as role:
        stream.second(0)
        async with asyncio.timeout(PATIENCE_S):
            while not figure(role, "state_saves_total"):  # noqa: ASYNC110  # figures are asked for
                await asyncio.sleep(0.005)
        stream.second(1)
        stream.second(2)
        await until_written(cache, namespace, 4 * len(scanners))
        assert figure(role, "state_saves_total") == 1.0


async def _entries(cache: Cache, namespace: str) -> list[Entry]:
    return await cache.read_stream(keys.signals(namespace, MARKET, WHOLE))


async def _signals(cache: Cache, namespace: str) -> list[Identity]:
    """Return the stream, which must grow strictly."""
    entries = await _entries(cache, namespace)
    assert [entry.entry_id for entry in entries] == sorted({entry.entry_id for entry in entries})
    signals = [msgspec.json.decode(entry.value, type=Signal) for entry in entries]
    return [(signal.scanner, signal.symbol, (signal.tick_ns - OPEN_NS) // SECOND_NS) for signal in signals]


def _of(scanners: Sequence[ScannerConfiguration], *ticks: int) -> list[Identity]:
    return [(scanner.name, symbol, tick) for tick in ticks for scanner in scanners for symbol in SYMBOLS]
