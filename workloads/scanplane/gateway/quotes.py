"""Quotes for those who ask: rows of the cache's tables, read for all clients at once.

Analyzers write thousands of quotes without pushing them. So the gateway reads, twice a second, just the symbols
that some client has subscribed to, one round trip a market, and publishes the rows that changed.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from scanplane.cache import keys
from scanplane.cache.interface import Cache, CacheUnavailableError
from scanplane.gateway.freshness import Freshness
from scanplane.gateway.hub import Hub
from scanplane.gateway.topics import quote_topic, split_quote_topic
from scanplane.marketdata.results import QuoteRow

__all__ = ["MAX_QUOTES", "QuotePoller", "UnknownQuote", "read_quotes"]

MAX_QUOTES = 5000
"""How many different symbols are read for all clients together; more are counted and not read."""

_LOG = logging.getLogger(__name__)
_ROWS_AT_ONCE = 1000
_INTERVAL_SECONDS = 0.5
_DECODER = msgspec.json.Decoder(QuoteRow)


class UnknownQuote(Struct, frozen=True, rename="camel"):
    """What stands for a symbol of which the market knows nothing (yet)."""

    market: str
    symbol: str
    known: bool = False


async def read_quotes(cache: Cache, namespace: str, market: str, symbols: Sequence[str]) -> list[QuoteRow | None]:
    """Read the quotes of *symbols*. Raises CacheUnavailableError and msgspec.DecodeError."""
    rows: list[QuoteRow | None] = []
    for start in range(0, len(symbols), _ROWS_AT_ONCE):
        values = await cache.read_rows(keys.quotes(namespace, market), symbols[start : start + _ROWS_AT_ONCE])
        rows += [None if value is None else _DECODER.decode(value) for value in values]
    return rows


class QuotePoller:
    """Publishes the quotes that clients subscribed to."""

    def __init__(
        self,
        cache: Cache,
        namespace: str,
        hub: Hub,
        judge: Callable[[QuoteRow], Freshness],
        max_updates_per_second: float,
    ) -> None:
        self.refused = 0
        self.malformed = 0
        self._cache = cache
        self._namespace = namespace
        self._hub = hub
        self._judge = judge
        self._interval_seconds = max(_INTERVAL_SECONDS, 1.0 / max_updates_per_second)
        self._published: dict[str, QuoteRow | None] = {}

    async def run(self) -> None:
        """Read and publish until cancelled; an unreachable cache is the follower's to report."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                await self._poll()
            except CacheUnavailableError as error:
                _LOG.debug("quotes are not read: %s", error)

    async def _poll(self) -> None:
        wanted = sorted(self._hub.exact_topics("quotes/"))
        if len(wanted) > MAX_QUOTES:
            self.refused += len(wanted) - MAX_QUOTES
            wanted = wanted[:MAX_QUOTES]
        for topic in self._published.keys() - set(wanted):
            del self._published[topic]
            self._hub.drop_topic(topic)
        by_market: dict[str, list[str]] = {}
        for topic in wanted:
            market, symbol = split_quote_topic(topic)
            by_market.setdefault(market, []).append(symbol)
        for market, symbols in by_market.items():
            try:
                rows = await read_quotes(self._cache, self._namespace, market, symbols)
            except msgspec.DecodeError as error:
                self.malformed += 1
                _LOG.warning("quotes of %s can't be read: %s", market, error, extra={"market": market})
                continue
            for symbol, row in zip(symbols, rows, strict=True):
                self._publish(market, symbol, row)

    def _publish(self, market: str, symbol: str, row: QuoteRow | None) -> None:
        topic = quote_topic(market, symbol)
        if topic in self._published and self._published[topic] == row:
            return
        self._published[topic] = row
        if row is None:
            self._hub.publish(topic, UnknownQuote(market, symbol), lambda: None)
        else:
            self._hub.publish(topic, row, lambda: self._judge(row))
