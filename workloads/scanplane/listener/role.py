"""The listener as a role: one connection, held under a baton, so that the provider never sees two."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from scanplane.broker.interface import BatonHold, BrokerUnavailableError, Publisher, QueueLimits
from scanplane.feeds.factory import open_feed, refused_access
from scanplane.feeds.interface import ConnectionPhase, FeedConnection
from scanplane.listener.frames import FrameBuffer
from scanplane.listener.layouts import LayoutChange
from scanplane.listener.pipeline import Pipeline
from scanplane.listener.routing import Router, RouteState
from scanplane.listener.totals import StreamTotals
from scanplane.plan.configuration import ListenerConfiguration, ReplayConnection, Route, configuration_hash
from scanplane.roles.backoff import Backoff, wait_unless
from scanplane.roles.batons import serve_with_baton
from scanplane.roles.interface import RoleServices
from scanplane.roles.lifecycle import Lifecycle, LifecycleRole
from scanplane.roles.tasks import TaskScope
from scanplane.roles.waiting import while_away
from scanplane.telemetry.setup import Telemetry
from scanplane.telemetry.status import Phase, RoleStatus

__all__ = ["Listener"]

FLUSH_S = 5.0
LOST_CLOSE_S = 0.1
TAKE_OVER_S = 0.3
"""Whoever lost the baton closes its connection within LOST_CLOSE_S of noticing; whoever follows waits for longer than that."""
CONGESTED_BATCHES = 1024


class Listener(LifecycleRole):
    """One listener, made from one configuration; see :class:`scanplane.roles.interface.Role`."""

    def __init__(self, configuration: ListenerConfiguration, services: RoleServices, telemetry: Telemetry) -> None:
        super().__init__(
            Lifecycle(role="listener", instance=configuration.name, configuration=configuration_hash(configuration))
        )
        self._configuration = configuration
        self._services = services
        self._telemetry = telemetry
        self._buffer = FrameBuffer()
        self._connection: FeedConnection | None = None
        self._routers: list[Router] = []
        self._states: dict[str, RouteState] = {}
        self._publishers: dict[str, Publisher] = {}
        self._totals = StreamTotals()
        self._latency = telemetry.latency(
            "receipt_to_publish",
            "From the receipt of a batch's newest event to its hand-over to the broker.",
            role="listener",
            instance=configuration.name,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Live until *stop* is set; see the restart contract."""
        try:
            self._connection = self._open_feed(self._services.files)
            await self._prepare_markets(stop)
            await self._prove_access(stop)
            if not stop.is_set():

                async def work(hold: BatonHold) -> None:
                    await self._work(hold, stop)

                await serve_with_baton(self._services.broker, self.name, work, stop, self._lifecycle)
        finally:
            self._lifecycle.end()
            self._telemetry.forget_latency(self._latency)

    def _open_feed(self, files: Path) -> FeedConnection:
        return open_feed(self._configuration, self._services.secrets.read, files, throttle=self._buffer.room)

    def _is_congested(self) -> bool:
        return any(publisher.counts.waiting_batches > CONGESTED_BATCHES for publisher in self._publishers.values())

    async def _prepare_markets(self, stop: asyncio.Event) -> None:
        """Make the queues before anything is published; a broker that is not there yet is waited for."""
        pauses = Backoff()
        while not stop.is_set():
            try:
                for route in self._configuration.routes:
                    await self._services.broker.prepare_market(route.market, route.partitions, _limits(route))
            except BrokerUnavailableError as error:
                self._lifecycle.report_problem("broker", f"{self.name} waits for the broker: {error}")
                await wait_unless(stop, pauses.next_seconds())
            else:
                self._lifecycle.clear_problem("broker")
                return

    async def _prove_access(self, stop: asyncio.Event) -> None:
        """Do not stand by with a key that the provider refuses: whoever holds the connection now goes on."""
        pauses = Backoff(first_seconds=1.0, longest_seconds=30.0)
        while not stop.is_set():
            refusal = await refused_access(self._configuration, self._services.secrets.read)
            if refusal is None:
                self._lifecycle.clear_problem("access")
                return
            self._lifecycle.report_problem("access", f"{self.name} does not take over: {refusal}")
            await wait_unless(stop, pauses.next_seconds())

    async def _work(self, hold: BatonHold, stop: asyncio.Event) -> None:
        """Hold the connection until *stop*; then close it, publish what was received, and leave the routes' states."""
        assert self._connection is not None
        connection = self._connection
        handed_over = _decode_memo(hold.memo)
        states = handed_over or self._states
        not_before = time.monotonic() + (TAKE_OVER_S if hold.abandoned else 0.0)
        async with AsyncExitStack() as stack:
            stack.callback(self._end_term)
            for route in self._configuration.routes:
                self._publishers[route.market] = await stack.enter_async_context(
                    self._services.broker.publisher(route.market, _limits(route), confirms=route.publisher_confirms)
                )
            hold.leave(_encode_memo(_without_paths(states)))  # in case that this term ends before it has begun
            await asyncio.sleep(max(0.0, not_before - time.monotonic()))
            self._routers = [
                await self._make_router(route, hold.generation, states, stop, is_handed_over=bool(handed_over))
                for route in self._configuration.routes
            ]
            pipeline = Pipeline(
                self._buffer,
                connection.decoder,
                self._routers,
                self._is_streaming,
                self._latency,
                room=self._has_room,
                is_finished=self._is_finished,
            )
            hold.leave(b"")
            self._totals.begin(pipeline, self._routers, self._publishers)
            async with TaskScope() as processing:
                processing.accompany(pipeline.run(), f"{self.name} processes")
                await processing.run(self._read_until(stop, connection), f"{self.name} reads")
            pipeline.end()
            await pipeline.run()
            await self._flush_publishers()
            hold.leave(_encode_memo({router.route.market: router.state for router in self._routers}))

    async def _read_until(self, stop: asyncio.Event, connection: FeedConnection) -> None:
        """Read until *stop*; return only when the connection is closed. Cancelled, the baton is lost, and it closes in haste."""
        reading = asyncio.create_task(connection.run(self._buffer.put), name=f"{self.name} connection")
        stopped = asyncio.create_task(stop.wait(), name="stop of reading")
        try:
            await asyncio.wait([reading, stopped], return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
                await stopped  # a recording was played to its end: what was made of it stays
        except asyncio.CancelledError:
            reading.cancel()
            await asyncio.wait([reading], timeout=LOST_CLOSE_S)  # a second cancellation cuts what is not closed by then
            raise
        finally:
            reading.cancel()
            stopped.cancel()
            await asyncio.gather(reading, stopped, return_exceptions=True)

    async def _flush_publishers(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_S):
                for publisher in self._publishers.values():
                    await publisher.flush()
        except TimeoutError:
            left = sum(publisher.counts.waiting_batches for publisher in self._publishers.values())
            self._lifecycle.log.warning("%d batches could not be published before the hand-over", left)

    def _end_term(self) -> None:
        """Keep what this term has counted, and where it stopped: perhaps nobody else holds the baton before the next."""
        self._totals.end()
        self._states = {router.route.market: router.state for router in self._routers}

    async def _make_router(
        self, route: Route, epoch: int, states: dict[str, RouteState], stop: asyncio.Event, *, is_handed_over: bool
    ) -> Router:
        """Come to the route's number of partitions, whatever it was before, and go on there."""
        configuration = self._configuration
        change = LayoutChange(
            self._services.broker, self._services.cache, configuration.services.namespace, configuration.feed, epoch
        )
        path, state = await while_away(
            lambda: change.enter(route, states.get(route.market), is_handed_over=is_handed_over), stop, self._lifecycle
        )
        return Router(
            configuration.feed,
            route,
            epoch,
            self._publishers[route.market].publish,
            state=state,
            path=path,
            traceparent=self._traceparent,
            is_recording=isinstance(configuration.connection, ReplayConnection),
        )

    def _traceparent(self, first_received_ns: int) -> str:
        return self._telemetry.traces.batch_context(start_ns=first_received_ns or None)

    def _is_streaming(self) -> bool:
        assert self._connection is not None
        return self._connection.counts.phase in {ConnectionPhase.STREAMING, ConnectionPhase.FINISHED}

    def _is_finished(self) -> bool:
        assert self._connection is not None
        return self._connection.counts.phase is ConnectionPhase.FINISHED

    def _has_room(self) -> bool:
        """Whether the broker keeps up; while it is away, the publisher's own bound decides what is dropped."""
        return not self._is_congested() or any(
            not publisher.counts.connected for publisher in self._publishers.values()
        )

    def status(self) -> RoleStatus:
        """The figures of this moment."""
        figures: dict[str, float] = {
            "frames_total": self._buffer.counts.frames,
            "received_bytes_total": self._buffer.counts.bytes,
            "dropped_frames_total": self._buffer.counts.dropped_frames,
            "waiting_bytes": self._buffer.held_bytes,
            **self._latency.figures(),
        }
        if self._connection is not None:
            counts = self._connection.counts
            figures |= {
                "connects_total": counts.connects,
                "disconnects_total": counts.disconnects,
                "authentication_failures_total": counts.authentication_failures,
                "connection_limit_refusals_total": counts.connection_limit_refusals,
                "unacknowledged_topics": len(counts.unacknowledged),
                "streaming": float(counts.phase is ConnectionPhase.STREAMING),
            }
            self._report_connection(counts.last_error, counts.unacknowledged)
        figures |= self._totals.figures()
        return self._lifecycle.status(figures)

    def _report_connection(self, last_error: str, unacknowledged: tuple[str, ...]) -> None:
        assert self._connection is not None
        if self._connection.counts.phase is ConnectionPhase.STREAMING:
            self._lifecycle.clear_problem("provider")
        elif last_error and self._lifecycle.phase is Phase.ACTIVE:
            self._lifecycle.report_problem("provider", last_error)
        if unacknowledged:
            shown = ", ".join(unacknowledged[:5])
            self._lifecycle.report_problem(
                "topics", f"the provider did not acknowledge {len(unacknowledged)} topics: {shown}"
            )
        else:
            self._lifecycle.clear_problem("topics")


def _limits(route: Route) -> QueueLimits:
    return QueueLimits(time_to_live_ns=route.time_to_live_ns, max_bytes=route.max_bytes)


def _encode_memo(states: dict[str, RouteState]) -> bytes:
    return msgspec.json.encode(states) if states else b""


def _without_paths(states: dict[str, RouteState]) -> dict[str, RouteState]:
    """Let whoever is next read again where the feed went: a stay may have been begun."""
    return {market: msgspec.structs.replace(state, path=()) for market, state in states.items()}


def _decode_memo(memo: bytes) -> dict[str, RouteState]:
    """Return the states that the last holder left; none after a kill, and none if it wrote another format."""
    if not memo:
        return {}
    try:
        return msgspec.json.decode(memo, type=dict[str, RouteState])
    except msgspec.DecodeError:
        return {}
