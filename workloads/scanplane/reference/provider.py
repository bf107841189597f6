"""Reference data from the provider: the whole market in one call, never one call per symbol.

``GET /v2/snapshot/locale/us/markets/stocks/tickers`` answers with every ticker's previous day: its close is the previous
close (split-adjusted by the provider), its volume stands for the average daily volume.
"""

import asyncio
from collections.abc import Mapping

import aiohttp
import msgspec
from msgspec import Struct

from scanplane.reference.errors import ReferenceDataError

__all__ = ["PreviousDay", "fetch_previous_days"]

SNAPSHOT_PATH = "/v2/snapshot/locale/us/markets/stocks/tickers"
ATTEMPTS = 4
TIMEOUT_S = 30.0
FIRST_PAUSE_S = 0.5
MAX_BYTES = 128 * 1024 * 1024

_REFUSED = {401, 403}
_TRY_AGAIN = {408, 429}


class PreviousDay(Struct, frozen=True):
    """Close (dollars) and volume (shares) of the last trading day; None or 0 where the provider knows none."""

    close: float | None = msgspec.field(name="c", default=None)
    volume: float | None = msgspec.field(name="v", default=None)


class _Ticker(Struct, frozen=True):
    ticker: str
    previous_day: PreviousDay = msgspec.field(name="prevDay", default=PreviousDay())


class _Snapshot(Struct, frozen=True):
    tickers: list[_Ticker] = []


class _TryAgainError(Exception):
    """A failure that may pass."""


async def fetch_previous_days(rest_endpoint: str, api_key: str) -> Mapping[str, PreviousDay]:
    """Return the previous day of every ticker.

    Tries four times with growing pauses; raises ReferenceDataError, whose text holds no key.
    """
    url = rest_endpoint.rstrip("/") + SNAPSHOT_PATH
    problem = ""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), headers={"Authorization": f"Bearer {api_key}"}
    ) as session:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))
            try:
                return _previous_days(url, await _get(session, url))
            except _TryAgainError as error:
                problem = str(error)
    raise ReferenceDataError(f"reference data from {url}: {problem}; tried {ATTEMPTS} times")


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


def _previous_days(url: str, body: bytes) -> dict[str, PreviousDay]:
    try:
        snapshot = msgspec.json.decode(body, type=_Snapshot)
    except msgspec.DecodeError as error:
        raise ReferenceDataError(f"reference data from {url}: the answer is no snapshot of tickers: {error}") from None
    return {ticker.ticker: ticker.previous_day for ticker in snapshot.tickers}
