"""Results on their way to the cache: boards and quotes conflated, signals complete and in order.

The engine must not wait for the cache. A board that was not written yet is replaced by the next one of the same scanner; a
signal waits until it is written. Signals are appended under numbers that grow, so that a write that is repeated appends nothing
twice. After a crash ticks are evaluated again, perhaps by other scanners, and the same numbers could mean other signals. So what
was written of those ticks is read before (``recall``): a signal of the same scanner, symbol and tick is not written again, and
any other is numbered on.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import ExitStack

import msgspec
from msgspec import Struct

from scanplane.cache import keys
from scanplane.cache.interface import Cache, CacheUnavailableError, Entry, Write
from scanplane.marketdata.partitions import Partition
from scanplane.marketdata.results import BoardPart, QuoteRow, Signal
from scanplane.roles.backoff import Backoff
from scanplane.telemetry.latency import LatencyHistogram
from scanplane.telemetry.traces import UNTRACED, BatchTraces, traceparent_of

__all__ = ["ResultWriter", "WriterCounts"]

_LOG = logging.getLogger(__name__)
_ENCODER = msgspec.json.Encoder()
MAX_WAITING_SIGNALS = 50_000
MAX_STREAM_LENGTH = 100_000
_RECALLED_AT_ONCE = 5000


class WriterCounts(Struct, kw_only=True):
    """Totals for status and metrics."""

    writes: int = 0
    boards: int = 0
    boards_conflated: int = 0
    quotes: int = 0
    signals_repeated: int = 0
    failures: int = 0


class _Written(Struct, frozen=True, rename="camel"):
    """What tells one signal in the stream from another."""

    signal_id: str
    tick_ns: int


_DECODER = msgspec.json.Decoder(_Written)


class ResultWriter:
    """Writes what one analyzer finds, one round trip at a time."""

    def __init__(
        self,
        cache: Cache,
        namespace: str,
        market: str,
        partition: Partition,
        generation: int,
        tick_to_board: LatencyHistogram,
        traces: BatchTraces,
    ) -> None:
        self.counts = WriterCounts()
        self.problem = ""
        self._tick_to_board = tick_to_board
        self._traces = traces
        self._cache = cache
        self._namespace = namespace
        self._market = market
        self._partition = partition
        self._generation = generation
        self._fence_key = keys.state(namespace, market, partition)
        self._stream_key = keys.signals(namespace, market, partition)
        self._boards: dict[str, BoardPart] = {}
        self._quotes: dict[str, QuoteRow] = {}
        self._gone: set[str] = set()
        self._entries: list[Entry] = []
        self._last_id = (0, 0)
        self._written: set[str] = set()
        self._newest_written_ns = 0
        self._work = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    async def recall(self, since_ns: int) -> None:
        """Read which signals of ticks at or after *since_ns* are in the stream. Raises CacheUnavailableError."""
        after = (since_ns // 1_000_000, 0)
        while entries := await self._cache.read_stream(self._stream_key, after, _RECALLED_AT_ONCE):
            for entry in entries:
                self._remember(entry)
            after = self._last_id

    def _remember(self, entry: Entry) -> None:
        self._last_id = entry.entry_id
        try:
            signal = _DECODER.decode(entry.value)
        except msgspec.DecodeError as error:
            _LOG.warning("an entry of %s is no signal and is passed over: %s", self._stream_key, error)
        else:
            self._written.add(signal.signal_id)
            self._newest_written_ns = max(self._newest_written_ns, signal.tick_ns)

    def begin_anew(self) -> None:
        """Forget the stream: it was removed, and what follows begins another."""
        self._last_id, self._newest_written_ns = (0, 0), 0
        self._written.clear()

    def put(self, boards: Iterable[BoardPart], signals: Iterable[Signal], quotes: Iterable[QuoteRow] = ()) -> None:
        """Take the results of one evaluation."""
        for board in boards:
            if board.scanner in self._boards:
                self.counts.boards_conflated += 1
            self._boards[board.scanner] = board
        for quote in quotes:
            self._quotes[quote.symbol] = quote
            self._gone.discard(quote.symbol)
        self._entries.extend(self._entry(signal) for signal in signals if not self._is_written(signal))
        if self._boards or self._quotes or self._entries:
            self._drained.clear()
            self._work.set()

    def forget_quotes(self, symbols: Iterable[str]) -> None:
        """Remove the quotes of *symbols*, unless there are newer ones by then."""
        self._gone.update(symbols)
        for symbol in self._gone & self._quotes.keys():
            del self._quotes[symbol]
        if self._gone:
            self._drained.clear()
            self._work.set()

    async def room(self) -> None:
        """Wait while so many signals wait that the analyzer must wait too."""
        if len(self._entries) >= MAX_WAITING_SIGNALS:
            await self._drained.wait()

    async def begin(self) -> None:
        """Let what was taken so far go out before the caller keeps the processor busy: not its answer is waited for."""
        await asyncio.sleep(0)  # run wakes up
        await asyncio.sleep(0)  # its client sends

    async def drain(self) -> None:
        """Wait until everything taken so far is written."""
        await self._drained.wait()

    async def run(self) -> None:
        """Write for ever; ``problem`` says what is waited for. Raises FencedError when another analyzer has taken over."""
        pauses = Backoff()
        while True:
            await self._work.wait()
            try:
                await self._write()
                pauses.reset()
                self.problem = ""
            except CacheUnavailableError as error:
                self.counts.failures += 1
                self.problem = f"results wait for the cache: {error}"
                await asyncio.sleep(pauses.next_seconds())

    async def _write(self) -> None:
        boards, quotes, gone, entries = self._boards, self._quotes, self._gone, self._entries
        self._boards, self._quotes, self._gone, self._entries = {}, {}, set(), []
        self._work.clear()
        with ExitStack() as spans:
            continued = self._continue_traces(boards.values(), spans)
            write = Write(
                fence_key=self._fence_key,
                generation=self._generation,
                values={self._board_key(board): _ENCODER.encode(board) for board in continued},
                table_rows={keys.quotes(self._namespace, self._market): _rows(quotes)} if quotes else {},
                removed_rows={keys.quotes(self._namespace, self._market): sorted(gone)} if gone else {},
                entries={self._stream_key: entries} if entries else {},
                max_stream_length=MAX_STREAM_LENGTH,
            )
            try:
                repeated = await self._cache.write(write)
            except CacheUnavailableError:
                self._take_back(boards, quotes, gone, entries)
                raise
        now_ns = time.time_ns()
        for board in boards.values():
            self._tick_to_board.record_ns(now_ns - board.received_ns)
        self.counts.writes += 1
        self.counts.boards += len(boards)
        self.counts.quotes += len(quotes)
        self.counts.signals_repeated += repeated
        if not self._work.is_set():
            self._drained.set()

    def _continue_traces(self, boards: Iterable[BoardPart], spans: ExitStack) -> list[BoardPart]:
        """Return *boards* as the gateway is to have them: a traced one carries the span of this write.

        A write has one span for each trace behind it; they end with *spans*.
        """
        carried = {UNTRACED: UNTRACED}
        continued = []
        for board in boards:
            parent = board.traceparent
            if parent not in carried:
                carried[parent] = traceparent_of(spans.enter_context(self._traces.span_from(parent, "cache.write")))
            continued.append(msgspec.structs.replace(board, traceparent=carried[parent]) if parent else board)
        return continued

    def _take_back(
        self, boards: dict[str, BoardPart], quotes: dict[str, QuoteRow], gone: set[str], entries: list[Entry]
    ) -> None:
        """Put what could not be written before what came meanwhile; newer boards and quotes win."""
        self._boards = {**boards, **self._boards}
        newer = {**quotes, **self._quotes}
        self._quotes = {symbol: quote for symbol, quote in newer.items() if symbol not in self._gone}
        self._gone |= gone - self._quotes.keys()
        self._entries = entries + self._entries
        self._work.set()

    def _board_key(self, board: BoardPart) -> str:
        return keys.board(self._namespace, self._market, board.scanner, self._partition)

    def _is_written(self, signal: Signal) -> bool:
        if signal.tick_ns > self._newest_written_ns:
            self._written.clear()  # none of them will come again
        is_written = signal.signal_id in self._written
        self.counts.signals_repeated += is_written
        return is_written

    def _entry(self, signal: Signal) -> Entry:
        """Number the signals of one tick in their order; one that was left out is numbered behind what is there."""
        milliseconds, ordinal = max(signal.tick_ns // 1_000_000, self._last_id[0]), 1
        if milliseconds == self._last_id[0]:
            ordinal = self._last_id[1] + 1
        self._last_id = (milliseconds, ordinal)
        return Entry(self._last_id, _ENCODER.encode(signal))


def _rows(quotes: dict[str, QuoteRow]) -> dict[str, bytes]:
    return {symbol: _ENCODER.encode(quote) for symbol, quote in quotes.items()}
