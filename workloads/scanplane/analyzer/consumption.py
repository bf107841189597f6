"""One term of work under a baton: consume, apply, evaluate, write, save, acknowledge.

What makes a kill harmless is the order: results are written before the state that covers them is saved, and the state is saved
before the broker is told that the batches behind it are done. So after a kill the broker repeats exactly what the saved
state does not know, and signals that were written already are recognised by scanner, symbol and tick.

A term in a stage that is left ends by itself, when every feed has sealed the partition.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from scanplane.analyzer.daily_reference import DailyReference
from scanplane.analyzer.passage import Admission, Passage
from scanplane.analyzer.positions import Positions, Verdict
from scanplane.analyzer.silence import FeedSilence
from scanplane.analyzer.stages import StageMark
from scanplane.analyzer.writer import ResultWriter
from scanplane.broker.interface import Consumer, Delivery
from scanplane.cache.interface import Cache, CacheUnavailableError, StateLostError
from scanplane.engine import Engine, Evaluation
from scanplane.engine.sessions import Session
from scanplane.marketdata.batches import BatchHeader, decode_tick
from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.roles.backoff import Backoff
from scanplane.roles.tasks import TaskScope
from scanplane.telemetry.traces import UNTRACED, BatchTraces, traceparent_of

__all__ = ["POSITIONS_FIELD", "STAGE_FIELD", "Consumption", "ConsumptionCounts", "Saving"]

_LOG = logging.getLogger(__name__)
POSITIONS_FIELD = "positions"
STAGE_FIELD = "stage"
SAVE_INTERVAL_S = 1.0
MAX_UNSAVED_BATCHES = 2000
QUOTE_SHARES = 4
"""Quotes are written a fourth of the symbols at a time: all at once, they would keep a board waiting every second."""
QUOTE_INTERVAL_S = 0.2
"""The least time between two shares, a little less than the usual one between two ticks."""
SLICE_S = 0.005
WATCH_S = 1.0


class ConsumptionCounts(Struct, kw_only=True):
    """Totals for status and metrics."""

    batches: int = 0
    events: int = 0
    ticks: int = 0
    malformed_batches: int = 0
    saves: int = 0
    saved_bytes: int = 0
    lost_states: int = 0
    rewinds: int = 0
    set_aside_batches: int = 0


class Saving(Struct, frozen=True, kw_only=True):
    """Where a term's state is saved, by whom, and what it says of its stage; *at_once* before anything is consumed."""

    state_key: str
    generation: int
    stage: StageMark
    at_once: bool = False


class _Save(Struct, frozen=True):
    """A state to be saved and the last batch that it covers; None where nothing is to be acknowledged by it."""

    fields: Mapping[str, bytes | None]
    tag: int | None


class Consumption:
    """Joins consumer, engine, writer and cache for as long as the baton is held."""

    def __init__(
        self,
        consumer: Consumer,
        engine: Engine,
        positions: Positions,
        writer: ResultWriter,
        cache: Cache,
        saving: Saving,
        passage: Passage,
        daily: DailyReference,
        forget_signals: Callable[[], Awaitable[None]],
        configuration: AnalyzerConfiguration,
        traces: BatchTraces,
    ) -> None:
        self.counts = ConsumptionCounts()
        self.tick_ns = engine.tick_ns
        self._taken = 0
        self._consumer = consumer
        self._engine = engine
        self._positions = positions
        self._writer = writer
        self._cache = cache
        self._saving_to = saving
        self._passage = passage
        self._daily = daily
        self._forget_signals = forget_signals
        self._data_label = configuration.data_label
        self._stale_after_ns = configuration.stale_after_ns
        self._silence = FeedSilence(configuration.streams, time.time_ns())
        self._traces = traces
        self._saves: asyncio.Queue[_Save] = asyncio.Queue(maxsize=1)
        self._saving = False
        self._applying = asyncio.Lock()  # between batches, engine and positions say the same
        self._mark = ""
        self._unsaved_tag: int | None = None
        self._unsaved_batches = 0
        self._sets_aside = False
        self._is_settled = saving.stage.is_settled
        self._is_new = not engine.tick_ns
        self._last_save = time.monotonic()
        self._last_quotes = time.monotonic()
        self._quote_share = 0
        self._received_ns = 0
        self._traceparent = UNTRACED  # of the newest traced batch that no evaluation has covered yet

    async def run(self, stop: asyncio.Event, *, is_watched: bool = False) -> None:
        """Work until *stop* or the end of the stage; then everything that was applied is written, saved and acknowledged.

        *is_watched* says that the stage is one to be left, whose seals might be lost.
        """
        async with TaskScope() as scope:
            scope.accompany(self._writer.run(), "writes results")
            scope.accompany(self._save_when_asked(), "saves state")
            scope.accompany(self._stop_consumer(stop), "stops consuming")
            if is_watched:
                scope.accompany(self._watch_seals(), "watches for lost seals")
            await scope.run(self._consume_and_finish(stop), "consumes")

    async def _consume_and_finish(self, stop: asyncio.Event) -> None:
        if self._saving_to.at_once:
            await self._save(self._make_save(None))
        await self._consume(stop)
        await self._saves.join()
        self._writer.put((), (), self._engine.changed_quotes())
        if self._unsaved_batches or self._passage.over:
            await self._save(self._make_save(self._unsaved_tag))
        await self._writer.drain()

    async def _watch_seals(self) -> None:
        """See to it that the stage ends where its last seals were lost, or nothing is left that could send one."""
        taken, idle = -1, 0
        while not self._passage.over:
            await asyncio.sleep(WATCH_S)
            with contextlib.suppress(CacheUnavailableError):
                calm = taken == self._taken and await self._consumer.is_exhausted()
                taken, idle = self._taken, idle + 1 if calm else 0
                async with self._applying:
                    await (self._passage.give_up_seals() if idle > 1 else self._passage.look())
        await self._consumer.stop()

    async def _stop_consumer(self, stop: asyncio.Event) -> None:
        await stop.wait()
        await self._consumer.stop()

    async def _consume(self, stop: asyncio.Event) -> None:
        until = time.monotonic() + SLICE_S
        async for delivery in self._consumer:
            if stop.is_set() or self._is_over():
                return
            await self._take(delivery)
            if self._is_over():
                return
            now = time.monotonic()
            if now >= until:
                await asyncio.sleep(0)
                until = time.monotonic() + SLICE_S

    def _is_over(self) -> bool:
        return self._passage.over

    async def _take(self, delivery: Delivery) -> None:
        header = delivery.batch.header
        self._taken += 1
        async with self._applying:
            admission = await self._passage.admit(header)
            if admission is Admission.LET_IN and self._positions.judge(header) is Verdict.NEXT:
                if self._is_new and self._positions.counts.unknown_beginnings:
                    self._engine.miss_beginning()
                    self._is_new = False
                if header.is_seal:
                    await self._passage.look()
                else:
                    await self._apply_readable(header, delivery.batch.body)
            elif admission is Admission.SET_ASIDE:
                # Acknowledging covers all before it, so from here on nothing is: it comes again, and is known by then.
                self._sets_aside = True
                self.counts.set_aside_batches += 1
            if not self._sets_aside:
                self._unsaved_tag = delivery.tag
            self._unsaved_batches += 1
        if not self._saving and self._is_save_due():
            self._request_save()
        # Where the cache is behind we wait: what is not taken stays at the broker, bounded and counted there.
        await self._writer.room()
        if self._unsaved_batches > 2 * MAX_UNSAVED_BATCHES:
            await self._saves.join()

    async def _apply_readable(self, header: BatchHeader, body: bytes) -> None:
        try:
            await self._apply(header, body)
        except msgspec.DecodeError:
            self.counts.malformed_batches += 1

    async def _apply(self, header: BatchHeader, body: bytes) -> None:
        self.counts.batches += 1
        self._received_ns = header.last_received_ns
        if header.channel is not None:
            self._silence.hear(header.feed, header.last_received_ns)
            with self._traces.span_from(header.traceparent, "analyzer.apply") as span:
                self.counts.events += self._engine.apply(header.channel, body)
            if header.traceparent:
                self._traceparent = traceparent_of(span)
            return
        tick = decode_tick(body)
        if not tick.by_host:
            self._silence.hear(header.feed, header.last_received_ns)
        self.counts.ticks += 1
        if tick.rewound:
            await self._begin_recording_anew()
        parent, self._traceparent = self._traceparent or header.traceparent, UNTRACED
        self._daily.serve(self._engine)
        with self._traces.span_from(parent, "analyzer.evaluate") as span:
            self._publish(self._engine.tick(tick, self._received_ns), traceparent_of(span) if parent else UNTRACED)
        self._daily.ask_for(self._engine)
        self.tick_ns = tick.tick_ns
        if time.monotonic() - self._last_quotes >= QUOTE_INTERVAL_S:
            await self._writer.begin()  # the boards are on their way before the quotes are made
            self._write_quotes()

    async def _begin_recording_anew(self) -> None:
        """A recording began again: its signals would be taken for repeats of those of the first time."""
        self.counts.rewinds += 1
        await self._writer.drain()
        await self._forget_signals()
        self._writer.begin_anew()

    def _publish(self, evaluation: Evaluation, traceparent: str) -> None:
        self._writer.forget_quotes(evaluation.released)
        now_ns = time.time_ns()
        silence = self._silence.judge(now_ns, is_open=self._engine.session is not Session.CLOSED)
        stamp: dict[str, Any] = {
            "received_ns": self._received_ns,
            "evaluated_ns": now_ns,
            "data_label": self._data_label,
        }
        board_stamp = {**stamp, "stale_after_ns": self._stale_after_ns, "silence": silence, "traceparent": traceparent}
        self._writer.put(
            [msgspec.structs.replace(board, **board_stamp) for board in evaluation.boards],
            [msgspec.structs.replace(signal, **stamp) for signal in evaluation.signals],
        )

    def _write_quotes(self) -> None:
        self._last_quotes = time.monotonic()
        self._quote_share = (self._quote_share + 1) % QUOTE_SHARES
        self._writer.put((), (), self._engine.changed_quotes(self._quote_share, QUOTE_SHARES))

    def _is_save_due(self) -> bool:
        due = time.monotonic() - self._last_save >= SAVE_INTERVAL_S
        due = due or (self.counts.ticks > 0 and not self._is_settled)  # what the layout before left can go then
        return due or self._unsaved_batches >= MAX_UNSAVED_BATCHES

    def _snapshot(self) -> dict[str, bytes | None]:
        self._is_settled = self._is_settled or self.counts.ticks > 0
        stage = msgspec.structs.replace(self._saving_to.stage, is_settled=self._is_settled)
        return {
            **self._engine.snapshot(),
            POSITIONS_FIELD: self._positions.encode(),
            STAGE_FIELD: msgspec.msgpack.encode(stage),
        }

    def _request_save(self) -> None:
        self._saving = True
        self._saves.put_nowait(self._make_save(self._unsaved_tag))

    def _make_save(self, tag: int | None) -> _Save:
        self._unsaved_tag, self._unsaved_batches = None, 0
        self._last_save = time.monotonic()
        return _Save(self._snapshot(), tag)

    async def _save_when_asked(self) -> None:
        while True:
            save = await self._saves.get()
            await self._save(save)
            self._saving = False
            self._saves.task_done()

    async def _save(self, save: _Save) -> None:
        """Save and acknowledge, for as long as it takes the cache to be there."""
        await self._writer.drain()
        pauses = Backoff()
        saving = self._saving_to
        mark = f"{saving.generation}:{self.counts.saves}"
        while True:
            try:
                await self._cache.save_state(
                    saving.state_key, saving.generation, save.fields, mark=mark, previous_mark=self._mark
                )
            except CacheUnavailableError:
                await asyncio.sleep(pauses.next_seconds())
            except StateLostError as error:
                save = await self._begin_anew(save, error)
            else:
                break
        self._mark = mark
        self.counts.saves += 1
        self.counts.saved_bytes += sum(len(field) for field in save.fields.values() if field is not None)
        if save.tag is not None:
            await self._consumer.acknowledge(save.tag)

    async def _begin_anew(self, save: _Save, error: StateLostError) -> _Save:
        """The cache lost what it had, the engine did not: give it everything again, and return the save of it."""
        self.counts.lost_states += 1
        _LOG.warning("%s; all of it is written again, but signals and what only the cache held are gone", error)
        self._mark = ""
        async with self._applying:
            self._engine.forget_snapshots()
            self._writer.put((), (), self._engine.quotes())
            return self._make_save(save.tag if self._unsaved_tag is None else self._unsaved_tag)
