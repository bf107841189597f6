"""An analyzer in this process, on a broker and a cache in memory: the test writes its stream, batch by batch."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from scanplane.analyzer.role import Analyzer
from scanplane.broker.interface import QueueLimits
from scanplane.broker.memory import MemoryBroker
from scanplane.cache import keys
from scanplane.cache.memory import MemoryCache
from scanplane.marketdata.batches import Batch, BatchHeader, Tick, encode_events, encode_tick
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Event, Trade
from scanplane.marketdata.results import BoardPart, Value
from scanplane.plan.configuration import AnalyzerConfiguration, SecretKey, Stream
from scanplane.roles.interface import RoleServices
from scanplane.roles.secrets import MappingSecrets
from scanplane.telemetry.setup import TelemetrySettings, start_telemetry
from support.engine_market import SECOND_NS

__all__ = ["API_KEY", "BOARD", "Stand", "an_analyzer_stand"]

API_KEY = SecretKey(name="massive", key="apiKey")
BOARD = "board"
"""The name of the scanner whose rows ``Stand.rows`` returns."""

_FEED = "massive"
_PATIENCE_S = 20.0


class Stand:
    """One analyzer after the other, all of the same configuration. ``live`` says that what is sent was just received."""

    live = False

    def __init__(self, configuration: AnalyzerConfiguration, files: Path) -> None:
        self.configuration = msgspec.structs.replace(
            configuration,
            streams=(Stream(feed=_FEED, channels=(Channel.TRADES,), stamps_ticks=True, stale_after_ns=15 * SECOND_NS),),
            time_to_live_ns=60 * SECOND_NS,
        )
        self.broker, self.cache = MemoryBroker(), MemoryCache()
        secrets = MappingSecrets({API_KEY.name: {API_KEY.key: "a-key"}})
        self._services = RoleServices(self.broker, self.cache, secrets, files)
        self._telemetry = start_telemetry(
            TelemetrySettings(service_name="test", instance="test", namespace="tests", prometheus=False)
        )
        self._sequence = 0
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.analyzer = self._make()

    def _make(self) -> Analyzer:
        return Analyzer(self.configuration, self._services, self._telemetry)

    async def start(self) -> None:
        """Start a new analyzer and wait until it works. Raises what ends it before."""
        self.analyzer, self._stop = self._make(), asyncio.Event()
        self._task = asyncio.create_task(self.analyzer.run(self._stop))
        active = asyncio.create_task(self.analyzer.active.wait())
        done, _ = await asyncio.wait({self._task, active}, timeout=_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        active.cancel()
        assert done, "the analyzer does not begin to work"
        if self._task in done:
            await self._end()

    async def stop(self) -> None:
        """Let it end in good order."""
        self._stop.set()
        await self._end()

    async def kill(self) -> None:
        """End it at once, with whatever it has saved."""
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._end()

    async def _end(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            await task

    async def close(self) -> None:
        await self.stop()
        self._telemetry.shutdown()

    async def trade(self, at_ns: int, *trades: tuple[str, float]) -> None:
        """Publish trades of 100 shares, as pairs of symbol and price."""
        await self._publish(Channel.TRADES, [Trade(symbol, at_ns, price, 100.0) for symbol, price in trades])

    async def tick(self, tick_ns: int, *, rewound: bool = False) -> None:
        """Publish a tick and wait until its boards are in the cache."""
        await self._publish(None, Tick(tick_ns, rewound))
        await self.until(lambda: self._board_tick_ns() == tick_ns, f"the board of {tick_ns}")

    async def _publish(self, channel: Channel | None, content: Sequence[Event] | Tick) -> None:
        body = encode_tick(content) if isinstance(content, Tick) else encode_events(content)
        newest_ns = content.tick_ns if isinstance(content, Tick) else content[-1].exchange_ns
        header = BatchHeader(
            feed=_FEED,
            market=self.configuration.market,
            partition=self.configuration.partition,
            channel=channel,
            epoch=1,
            sequence=self._sequence,
            count=1 if isinstance(content, Tick) else len(content),
            first_received_ns=0,
            last_received_ns=newest_ns + SECOND_NS if self.live else 0,
        )
        self._sequence += 1
        limits = QueueLimits(time_to_live_ns=self.configuration.time_to_live_ns, max_bytes=self.configuration.max_bytes)
        async with self.broker.publisher(self.configuration.market, limits, confirms=False) as publisher:
            publisher.publish(Batch(header, body))

    def rows(self) -> dict[str, tuple[Value, ...]]:
        """Return the board's columns by symbol."""
        board = self._board()
        return {} if board is None else {row.symbol: row.values for row in board.rows}

    def _board(self) -> BoardPart | None:
        configuration = self.configuration
        namespace = configuration.services.namespace
        value = self.cache._values.get(keys.board(namespace, configuration.market, BOARD, configuration.partition))
        return None if value is None else msgspec.json.decode(value, type=BoardPart)

    def _board_tick_ns(self) -> int:
        board = self._board()
        return 0 if board is None else board.tick_ns

    async def quoted(self) -> set[str]:
        """Return the symbols that have a quote in the cache."""
        configuration = self.configuration
        return set(await self.cache.read_table(keys.quotes(configuration.services.namespace, configuration.market)))

    def figure(self, name: str) -> float:
        """Return a figure of the status."""
        return self.analyzer.status().figures[name]

    @property
    def problems(self) -> list[str]:
        """What the status complains of."""
        return list(self.analyzer.status().problems)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for *condition*, or fail with *what* did not happen."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not condition():  # noqa: ASYNC110  # a status is asked for, it does not call
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise AssertionError(f"{what} did not happen; problems: {self.problems}") from None


@asynccontextmanager
async def an_analyzer_stand(configuration: AnalyzerConfiguration, files: Path = Path()) -> AsyncIterator[Stand]:
    """Yield a stand without an analyzer; whatever works at the end is stopped."""
    stand = Stand(configuration, files)
    try:
        yield stand
    finally:
        await stand.close()
