"""An endless, cheap load of trades or second bars at a given rate, for measuring what stands behind the socket.

Frames are encoded once and played in a circle; only the times (and of bars the accumulated volume, which must not fall)
are written anew, as digits at known places. An event's time is the host's clock at the moment it is *due*, whether or
not the simulator is late, so that a latency measured from it hides nothing.
"""

import random
import time
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from scanplane.feeds.massive.messages import MarketMessage, SecondBarMessage, TradeMessage
from scanplane.marketdata.channels import AssetClass, Channel
from scanplane.simulator.frames import FrameCutter, encode_frame
from scanplane.simulator.sessions.interface import PreparedBlock, ReferenceTicker

__all__ = ["LoadSession"]

_TEMPLATES = 256
_LARGEST_BLOCK = 500
_BLOCK_S = 0.005
_NEWEST_MS = 1_111_111_111_111  # 13 digits that stand where a time will be written
_OLDER_MS = _NEWEST_MS - 1000
_ACCUMULATED = 222_222_222_222
_ACCUMULATED_BASE = 100_000_000_000
_MOST_SYMBOLS = 26**4


class _Template(Struct, frozen=True):
    """Encoded frames with the places of the digits to be written."""

    text: npt.NDArray[np.uint8]
    bounds: Sequence[tuple[int, int]]
    counts: Sequence[int]
    newest: npt.NDArray[np.int64]
    older: npt.NDArray[np.int64]
    accumulated: npt.NDArray[np.int64]


def _places(text: bytes, number: int) -> npt.NDArray[np.int64]:
    """Return the places of *number*'s digits in *text*, a row for each time that it occurs."""
    digits = b":%d" % number
    starts, at = [], text.find(digits)
    while at >= 0:
        starts.append(at + 1)
        at = text.find(digits, at + 1)
    return np.array(starts, dtype=np.int64).reshape(-1, 1) + np.arange(len(digits) - 1)


def _write_digits(text: npt.NDArray[np.uint8], places: npt.NDArray[np.int64], number: int) -> None:
    if len(places):
        text[places] = np.frombuffer(b"%d" % number, dtype=np.uint8)


class LoadSession:
    """*rate* events a second (0: as fast as they are taken) of *symbols* symbols for *seconds* (None: without end)."""

    name = "load"
    asset_classes = frozenset({AssetClass.STOCKS})

    def __init__(
        self,
        *,
        rate: float,
        symbols: int = 8000,
        channel: Channel = Channel.TRADES,
        seconds: float | None = None,
        frame_events: tuple[int, int] = (500, 500),
        seed: int = 0,
    ) -> None:
        if not 1 <= symbols <= _MOST_SYMBOLS:
            raise ValueError(f"a load has 1 to {_MOST_SYMBOLS} symbols, not {symbols}")
        self.start_ns = time.time_ns()
        self._rate = rate
        self._symbols = symbols
        self._channel = channel
        self._seconds = seconds
        self._frame_events = frame_events
        self._seed = seed
        self._block_events = _LARGEST_BLOCK if rate == 0 else max(1, min(_LARGEST_BLOCK, round(rate * _BLOCK_S)))

    def reference(self) -> Sequence[ReferenceTicker]:
        """A previous close of 10 dollars and a volume of a million shares for everything."""
        return tuple(ReferenceTicker(_symbol(number), 10.0, 1_000_000.0) for number in range(self._symbols))

    def blocks(self) -> Iterator[PreparedBlock]:
        """A block every few milliseconds; times are the host's. What takes long is done at the call, before the clock runs."""
        return self._play(self._make_templates())

    def _play(self, templates: Sequence[_Template]) -> Iterator[PreparedBlock]:
        first = templates[0]
        kinds = frozenset({"T" if self._channel is Channel.TRADES else "A"})
        interval_ns = 0.0 if self._rate == 0 else sum(first.counts) / self._rate * 1e9
        base_ns = time.time_ns()
        for number in count():
            elapsed_ns = int(number * interval_ns) if interval_ns else time.time_ns() - base_ns
            if self._seconds is not None and elapsed_ns >= self._seconds * 1e9:
                return
            template = templates[number % len(templates)]
            now_ms = (base_ns + elapsed_ns) // 1_000_000
            _write_digits(template.text, template.newest, now_ms)
            _write_digits(template.text, template.older, now_ms - 1000)
            _write_digits(template.text, template.accumulated, _ACCUMULATED_BASE + number)
            text = template.text.tobytes()
            yield PreparedBlock(
                self.start_ns + elapsed_ns, [text[start:end] for start, end in template.bounds], template.counts, kinds
            )

    def _make_templates(self) -> list[_Template]:
        chance = random.Random(self._seed)  # noqa: S311  # repeatable, not secret
        fewest, most = self._frame_events
        cutter = FrameCutter(fewest, most, seed=self._seed)
        return [
            _make_template([self._message(chance) for _ in range(self._block_events)], cutter)
            for _ in range(_TEMPLATES)
        ]

    def _message(self, chance: random.Random) -> MarketMessage:
        symbol = _symbol(int(self._symbols * chance.random() ** 2))
        price = round(10.0 * (1.0 + 0.05 * chance.gauss(0.0, 0.3)), 2)
        size = chance.choice((1, 50, 100, 100, 200, 500))
        if self._channel is Channel.TRADES:
            return TradeMessage(
                symbol=symbol, time=_NEWEST_MS, price=price, size=size, exchange=4, trade_id="1", tape=3, sequence=1
            )
        return SecondBarMessage(
            symbol=symbol,
            start=_OLDER_MS,
            end=_NEWEST_MS,
            open=price,
            high=round(price + 0.02, 2),
            low=round(price - 0.02, 2),
            close=price,
            volume=size,
            vwap=price,
            accumulated_volume=_ACCUMULATED,
            official_open=10.0,
            session_vwap=10.0,
            average_size=size,
        )


def _symbol(number: int) -> str:
    """Return the *number*-th four-letter ticker, from AAAA."""
    letters = []
    for _ in range(4):
        number, letter = divmod(number, 26)
        letters.append(chr(ord("A") + letter))
    return "".join(reversed(letters))


def _make_template(messages: Sequence[MarketMessage], cutter: FrameCutter) -> _Template:
    frames = list(cutter.cut(messages))
    payloads = [encode_frame(frame) for frame in frames]
    text = b"".join(payloads)
    ends = np.cumsum([len(payload) for payload in payloads]).tolist()
    return _Template(
        text=np.frombuffer(text, dtype=np.uint8).copy(),
        bounds=list(zip([0, *ends[:-1]], ends, strict=True)),
        counts=[len(frame) for frame in frames],
        newest=_places(text, _NEWEST_MS),
        older=_places(text, _OLDER_MS),
        accumulated=_places(text, _ACCUMULATED),
    )
