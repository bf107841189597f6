"""Every trade of four symbols on 2013-10-08, and every quote of three of them, as they came over the tape.

Source: the sample data of QuantConnect's LEAN engine, in ``examples/data/us-equities-ticks``. Order: by time (the
source has milliseconds); at the same millisecond trades before quotes, then by symbol, then as in the file. A row that
the source calls suspicious is left out, as LEAN itself does (one quote of IBM). One minute is in memory at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from zoneinfo import ZoneInfo

from scanplane.feeds.massive.messages import MarketMessage, QuoteMessage, TradeMessage
from scanplane.marketdata.channels import AssetClass
from scanplane.simulator.sessions.files import DATA_DIRECTORY, QUOTE_COLUMNS, TRADE_COLUMNS, read_rows
from scanplane.simulator.sessions.interface import Block, ReferenceTicker, SessionFileError
from scanplane.simulator.sessions.lean import condition_ids, exchange_id

__all__ = ["TICK_DAY", "TICK_FOLDER", "TICK_SYMBOLS", "TickSession"]

TICK_DAY = datetime(2013, 10, 8, tzinfo=ZoneInfo("America/New_York"))
TICK_FOLDER = "us-equities-ticks"
TICK_SYMBOLS = ("AIG", "BAC", "IBM", "SPY")
_WITHOUT_QUOTES = "SPY"
_TAPES = {"AIG": 1, "BAC": 1, "IBM": 1, "SPY": 2}

_MIDNIGHT_MS = int(TICK_DAY.timestamp() * 1000)
_PREMARKET_MS = 4 * 3_600_000
_WINDOW_MS = 60_000
_REGULAR_QUOTE = "1"

_Timed = tuple[int, MarketMessage]


def _trades(path: Path, symbol: str) -> Iterator[_Timed]:
    tape = _TAPES[symbol]
    for number, (time_ms, price, size, exchange, conditions, suspicious) in enumerate(
        read_rows(path, TRADE_COLUMNS), start=1
    ):
        if suspicious != "0":
            continue
        at_ms = _MIDNIGHT_MS + int(time_ms)
        yield (
            at_ms,
            TradeMessage(
                symbol=symbol,
                time=at_ms,
                price=float(price),
                size=int(size),
                conditions=condition_ids(conditions),
                exchange=exchange_id(exchange),
                sequence=number,
                trade_id=str(number),
                tape=tape,
            ),
        )


def _quotes(path: Path, symbol: str) -> Iterator[_Timed]:
    tape = _TAPES[symbol]
    for number, (time_ms, bid, bid_size, ask, ask_size, bid_exchange, ask_exchange, condition, suspicious) in enumerate(
        read_rows(path, QUOTE_COLUMNS), start=1
    ):
        if suspicious != "0":
            continue
        at_ms = _MIDNIGHT_MS + int(time_ms)
        yield (
            at_ms,
            QuoteMessage(
                symbol=symbol,
                time=at_ms,
                bid_price=float(bid),
                bid_size=int(bid_size),
                ask_price=float(ask),
                ask_size=int(ask_size),
                sequence=number,
                bid_exchange=exchange_id(bid_exchange),
                ask_exchange=exchange_id(ask_exchange),
                condition=1 if condition == _REGULAR_QUOTE else 0,
                tape=tape,
            ),
        )


class _Source:
    """Rows of one file, taken up to a time."""

    def __init__(self, rows: Iterator[_Timed]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    @property
    def exhausted(self) -> bool:
        return self._next is None

    def take_before(self, limit_ms: int, into: list[_Timed]) -> None:
        timed = self._next
        while timed is not None and timed[0] < limit_ms:
            into.append(timed)
            timed = next(self._rows, None)
        self._next = timed


class TickSession:
    """Trades, quotes or both of some of the four symbols. SPY has no quotes in the source."""

    name = "ticks"
    asset_classes = frozenset({AssetClass.STOCKS})
    start_ns = (_MIDNIGHT_MS + _PREMARKET_MS) * 1_000_000

    def __init__(
        self,
        data: Path = DATA_DIRECTORY,
        *,
        symbols: Sequence[str] = TICK_SYMBOLS,
        trades: bool = True,
        quotes: bool = True,
    ) -> None:
        self._folder = data / TICK_FOLDER
        self._symbols = sorted(symbols)
        self._readers: list[tuple[str, Callable[[Path, str], Iterator[_Timed]]]] = []
        if trades:
            self._readers.append(("trades", _trades))
        if quotes:
            self._readers.append(("quotes", _quotes))

    def reference(self) -> Sequence[ReferenceTicker]:
        """Nothing: the source knows no day before."""
        return ()

    def blocks(self) -> Iterator[Block]:
        """The day, a minute at a time. Raises SessionFileError."""
        try:
            yield from self._merge()
        except ValueError as error:
            raise SessionFileError(f"{self._folder}: a row can't be read: {error}") from error

    def _merge(self) -> Iterator[Block]:
        sources = [
            _Source(read(self._folder / f"{symbol.lower()}_20131008_{kind}.csv.gz", symbol))
            for kind, read in self._readers
            for symbol in self._symbols
            if not (kind == "quotes" and symbol == _WITHOUT_QUOTES)
        ]
        limit_ms = _MIDNIGHT_MS
        while any(not source.exhausted for source in sources):
            limit_ms += _WINDOW_MS
            window: list[_Timed] = []
            for source in sources:
                source.take_before(limit_ms, window)
            if window:
                window.sort(key=itemgetter(0))  # stable: ties stay in the order of the sources
                yield Block([at_ms * 1_000_000 for at_ms, _ in window], [message for _, message in window])
