"""Reference data from the provider: the whole market in one call, never one call per symbol.

``GET /v2/snapshot/locale/us/markets/stocks/tickers`` answers with every ticker's previous day: its close is the previous
close (split-adjusted by the provider), its volume stands for the average daily volume. It also tells the regular session so
far, for those who began after it did.

The snapshot belongs to a trading day. It is cleared about half an hour before premarket begins, turns to the day that comes, and
fills again as symbols trade. So an empty answer is no answer, and the newest update in it tells which day it is of.
"""

import asyncio
import random

import aiohttp
import msgspec
from msgspec import Struct

from scanplane.reference.errors import ReferenceDataError, ReferenceUnavailableError

__all__ = ["DayBar", "PreviousDay", "Snapshot", "fetch_snapshot"]

SNAPSHOT_PATH = "/v2/snapshot/locale/us/markets/stocks/tickers"
ATTEMPTS = 4
TIMEOUT_S = 30.0
FIRST_PAUSE_S = 0.5
MAX_BYTES = 128 * 1024 * 1024

_REFUSED = {401, 403}
_TRY_AGAIN = {408, 429}
_EARLIEST_NS = 631_152_000_000_000_000  # 1990-01-01
_LATEST_NS = 7_258_118_400_000_000_000  # 2200-01-01
_LARGEST_MS = 10**14


class PreviousDay(Struct, frozen=True):
    """Close (dollars) and volume (shares) of the last trading day; None or 0 where the provider knows none."""

    close: float | None = msgspec.field(name="c", default=None)
    volume: float | None = msgspec.field(name="v", default=None)


class DayBar(Struct, frozen=True):
    """The regular session so far, in dollars; None or 0 before the first trade."""

    open: float | None = msgspec.field(name="o", default=None)
    high: float | None = msgspec.field(name="h", default=None)
    low: float | None = msgspec.field(name="l", default=None)


class Snapshot(Struct, frozen=True):
    """Every ticker's previous day, and the day of those that have traded.

    ``newest_ns`` is the newest update of all of them; 0 where nothing has traded since the snapshot was cleared.
    """

    previous: dict[str, PreviousDay]
    days: dict[str, DayBar]
    newest_ns: int


class _Ticker(Struct, frozen=True):
    ticker: str
    previous_day: PreviousDay | None = msgspec.field(name="prevDay", default=None)
    day: DayBar | None = None
    updated: float | None = None


class _Answer(Struct, frozen=True):
    tickers: list[_Ticker] | None = None


class _TryAgainError(Exception):
    """A failure that may pass."""


async def fetch_snapshot(rest_endpoint: str, api_key: str) -> Snapshot:
    """Return the snapshot of the market.

    Tries four times with growing, jittered pauses. Raises ReferenceUnavailableError for what may pass, an empty snapshot among
    it, and ReferenceDataError for what will not. Their texts hold no key.
    """
    url = rest_endpoint.rstrip("/") + SNAPSHOT_PATH
    problem = ""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), headers={"Authorization": f"Bearer {api_key}"}
    ) as session:
        for attempt in range(ATTEMPTS):
            if attempt:
                spread = random.uniform(0.5, 1.0)  # noqa: S311  # many analyzers ask at once: spread, not a secret
                await asyncio.sleep(FIRST_PAUSE_S * 2**attempt * spread)
            try:
                return await asyncio.to_thread(_decode, url, await _get(session, url))
            except _TryAgainError as error:
                problem = str(error)
    raise ReferenceUnavailableError(f"reference data from {url}: {problem}; tried {ATTEMPTS} times")


async def _get(session: aiohttp.ClientSession, url: str) -> bytes:
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status in _REFUSED:
                raise ReferenceDataError(
                    f"reference data from {url}: HTTP {response.status}, the API key is not accepted or not entitled"
                )
            if response.status in _TRY_AGAIN or response.status >= 500:
                raise _TryAgainError(f"HTTP {response.status}")
            if response.status != 200:
                raise ReferenceDataError(
                    f"reference data from {url}: HTTP {response.status}; check the Feed's restEndpoint"
                )
            body = await response.content.read(MAX_BYTES + 1)
            while len(body) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES + 1 - len(body))):
                body += more
    except TimeoutError:
        raise _TryAgainError(f"no answer within {TIMEOUT_S:g} s") from None
    except aiohttp.ClientError as error:
        raise _TryAgainError(f"{type(error).__name__}: {error}") from None
    if len(body) > MAX_BYTES:
        raise ReferenceDataError(f"reference data from {url}: the answer is larger than {MAX_BYTES} bytes")
    return body


def _decode(url: str, body: bytes) -> Snapshot:
    try:
        tickers = msgspec.json.decode(body, type=_Answer).tickers or []
    except msgspec.DecodeError as error:
        raise ReferenceDataError(f"reference data from {url}: the answer is no snapshot of tickers: {error}") from None
    previous = {each.ticker: each.previous_day for each in tickers if each.previous_day is not None}
    if not any(day.close for day in previous.values()):
        raise _TryAgainError("the snapshot is empty: it is being cleared for the next day")
    return Snapshot(
        previous=previous,
        days={each.ticker: each.day for each in tickers if each.day is not None and each.day.high},
        newest_ns=max((_nanoseconds(each.updated) for each in tickers if each.updated), default=0),
    )


def _nanoseconds(updated: float) -> int:
    """Return a provider's time in nanoseconds, its unit told by its magnitude; 0 for what is outside 1990 to 2200."""
    time_ns = int(updated) * (1_000_000 if updated < _LARGEST_MS else 1)
    return time_ns if _EARLIEST_NS <= time_ns <= _LATEST_NS else 0
