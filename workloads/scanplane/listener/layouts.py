"""Leaving one number of partitions for another: what a listener does before it publishes its first batch in a new layout.

It writes to the cache where it goes, then ends its stay in every partition that it left with a seal that the broker
has confirmed, then writes that it did. Whoever is killed in between is followed by one that reads what was begun and seals
again; a second seal does no harm. See ``docs/design/0007-repartition.md``.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from scanplane.broker.interface import Broker, BrokerUnavailableError, QueueLimits
from scanplane.cache import keys
from scanplane.cache.interface import Cache, Write
from scanplane.listener.routing import RouteState
from scanplane.marketdata.batches import Batch, BatchHeader
from scanplane.marketdata.layouts import Path, Seal, Stay, decode_path, encode_path, with_seal, with_stay
from scanplane.marketdata.partitions import Partition
from scanplane.plan.configuration import Route

__all__ = ["LayoutChange", "make_seals"]

CONFIRM_S = 10.0


class LayoutChange:
    """Brings one feed's path up to a route's number of partitions, under the baton of generation *epoch*."""

    def __init__(self, broker: Broker, cache: Cache, namespace: str, feed: str, epoch: int) -> None:
        self._broker = broker
        self._cache = cache
        self._namespace = namespace
        self._feed = feed
        self._epoch = epoch

    async def enter(
        self, route: Route, state: RouteState | None, *, is_handed_over: bool
    ) -> tuple[Path, RouteState | None]:
        """Return the path whose last stay is that of *route*, and the state to go on from there; every earlier stay is sealed.

        A *state* that the last holder handed over says where the feed went; of another one somebody may have gone on since.
        Raises BrokerUnavailableError and CacheUnavailableError; then nothing may be published, and it is done again.
        """
        if state is not None and state.path and is_handed_over:
            known = state.path
        else:
            known = await self._read(route.market)
        stay = Stay(
            partitions=route.partitions,
            since=self._epoch,
            time_to_live_ns=route.time_to_live_ns,
            max_bytes=route.max_bytes,
        )
        path = with_stay(known, stay)
        if path != known:
            await self._write(route.market, path)
        for left in path[:-1]:
            if left.seal is None:
                path = with_seal(path, left.since, await self._leave(route.market, left, state))
                await self._write(route.market, path)
        if state is not None and (not state.path or state.path[-1].since != path[-1].since):
            state = RouteState(clock=state.clock)
        return path, state

    async def _leave(self, market: str, stay: Stay, state: RouteState | None) -> Seal:
        seals = make_seals(self._feed, market, stay, self._epoch, state)
        limits = QueueLimits(time_to_live_ns=stay.time_to_live_ns, max_bytes=stay.max_bytes)
        async with self._broker.publisher(market, limits, confirms=True) as publisher:
            for seal in seals:
                publisher.publish(seal)
            try:
                async with asyncio.timeout(CONFIRM_S):
                    await publisher.flush()
            except TimeoutError:
                raise BrokerUnavailableError(
                    f"{self._feed} can't leave {stay.partitions} partitions of {market}: the broker confirms nothing"
                ) from None
            if publisher.counts.confirmed_batches < len(seals):
                raise BrokerUnavailableError(f"the broker refused to let {self._feed} leave partitions of {market}")
        return Seal(seals[0].header.numbered_since, tuple(seal.header.sequence for seal in seals))

    async def _read(self, market: str) -> Path:
        (row,) = await self._cache.read_rows(keys.paths(self._namespace, market), [self._feed])
        try:
            return () if row is None else decode_path(row)
        except msgspec.DecodeError:
            return ()  # of another version: this feed's path begins anew

    async def _write(self, market: str, path: Path) -> None:
        rows = {keys.paths(self._namespace, market): {self._feed: encode_path(path)}}
        fence = keys.path_fence(self._namespace, market, self._feed)
        await self._cache.write(Write(fence_key=fence, generation=self._epoch, table_rows=rows))


def make_seals(feed: str, market: str, stay: Stay, epoch: int, state: RouteState | None) -> Sequence[Batch]:
    """Return the seal of each partition of *stay*, numbered on from *state* where that is of the same stay."""
    numbered_since, sequences = epoch, (0,) * stay.partitions
    if state is not None and state.path and state.path[-1].since == stay.since and state.sequences:
        numbered_since, sequences = state.numbered_since, state.sequences
    return [
        Batch(
            BatchHeader(
                feed=feed,
                market=market,
                partition=Partition(index, stay.partitions),
                channel=None,
                epoch=epoch,
                sequence=sequence,
                count=0,
                first_received_ns=0,
                last_received_ns=0,
                numbered_since=numbered_since,
                first_sequence=sequence,
                layout_since=stay.since,
                is_seal=True,
            ),
            b"",
        )
        for index, sequence in enumerate(sequences)
    ]
