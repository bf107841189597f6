"""Plays a session to whoever listens.

Without hold the session is a real market: it goes on whether anyone listens or not, and what nobody heard is lost and
counted. With hold (and always at speed 0) an event is taken from the session only to be written to a connection that
is open at that moment, so a client that closes properly and reads until it is closed misses nothing and gets nothing
twice: the next client continues with the very next event. After a reset or a killed client, what was on its way is lost.
"""

import asyncio
import bisect
import contextlib
import time
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from scanplane.feeds.massive.messages import MarketMessage
from scanplane.simulator import statuses
from scanplane.simulator.accounting import ConnectionBook
from scanplane.simulator.audience import Audience
from scanplane.simulator.client import Client, Dismissal
from scanplane.simulator.clock import SessionClock
from scanplane.simulator.frames import FrameCutter, encode_frame, text_frame
from scanplane.simulator.hostile import HostileFrames
from scanplane.simulator.sessions.interface import Block, PreparedBlock, Session
from scanplane.simulator.settings import Cut, Ending, SimulatorSettings, Start
from scanplane.simulator.topics import Subscriptions, canonical_symbol, event_type_of_class

__all__ = ["Player"]

_MOST_AT_ONCE = 2000
_PATIENT_BYTES = 1024 * 1024
_LONGEST_SLEEP_S = 0.05
_CONFIRM_S = 30.0
_GOING_AWAY = 1001
_POLICY_VIOLATION = 1008


class _EventType(Struct, frozen=True, gc=False):
    """As much of a message as says what it is."""

    ev: str = ""


class _Peek(_EventType, frozen=True, gc=False):
    """As much of any message as routing needs."""

    sym: str | None = None
    pair: str | None = None
    T: str | None = None
    p: str | float | None = None

    @property
    def symbol(self) -> str:
        """The symbol in canonical form, wherever the message keeps it."""
        named = self.sym or self.pair or self.T or self.p
        return canonical_symbol(named) if isinstance(named, str) else ""


_RAW_FRAME: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_PEEK = msgspec.json.Decoder(_Peek)
_EVENT_TYPE = msgspec.json.Decoder(_EventType)


def _peek(event: msgspec.Raw) -> _Peek:
    """Look into an event; one without a readable symbol is for those who take every symbol, one without a type for nobody."""
    with contextlib.suppress(msgspec.DecodeError, ValueError):
        return _PEEK.decode(event)
    with contextlib.suppress(msgspec.DecodeError, ValueError):
        return _Peek(_EVENT_TYPE.decode(event).ev)
    return _Peek()


def _select(payload: bytes, subscriptions: Subscriptions) -> tuple[bytes, int]:
    """Return *payload* with only what is subscribed, and how many events these are."""
    chosen = []
    for raw in _RAW_FRAME.decode(payload):
        peek = _peek(raw)
        if subscriptions.takes(peek.ev, peek.symbol):
            chosen.append(bytes(raw))
    return b"[" + b",".join(chosen) + b"]", len(chosen)


class Player:
    """One session, played once. Figures: ``events`` taken from the session, ``unheard`` of them with nobody listening."""

    def __init__(self, session: Session, settings: SimulatorSettings, audience: Audience, book: ConnectionBook) -> None:
        self.clock = SessionClock(session.start_ns, settings.speed)
        self.started = asyncio.Event()
        self.finished = asyncio.Event()
        self.holding = False
        self.events = 0
        self.unheard = 0
        self.hostile = HostileFrames(settings.hostile_rate, settings.hostile_kinds, settings.seed)
        self._session = session
        self._settings = settings
        self._audience = audience
        self._book = book
        fewest, most = settings.frame_events
        self._cutter = FrameCutter(fewest, most, mixed=settings.mixed_frames, seed=settings.seed)
        self._event_cuts = sorted(
            (cut for cut in settings.cuts if cut.after_events is not None), key=lambda cut: cut.after_events or 0
        )
        self._timed_cuts = sorted(
            (cut for cut in settings.cuts if cut.after_events is None), key=lambda cut: cut.after_seconds or 0.0
        )
        self._started_at = 0.0

    async def run(self) -> None:
        """Wait for the beginning, play everything, see that it has arrived, end as the settings say."""
        if self._settings.start is Start.FIRST_CLIENT or self._settings.holds:
            await self._audience.assemble()
        blocks = self._session.blocks()
        self.started.set()
        self._started_at = time.monotonic()
        self.clock.run()
        for block in blocks:
            if isinstance(block, PreparedBlock):
                await self._play_prepared(block)
            else:
                await self._play(block)
        self.clock.stop()
        async with asyncio.TaskGroup() as tasks:
            for client in self._audience.listening:
                tasks.create_task(client.confirm(_CONFIRM_S))
        self.finished.set()
        if self._settings.ending is Ending.CLOSE:
            self._dismiss_everyone("end of session")

    def cut(self, *, abrupt: bool) -> None:
        """Cut every connection now."""
        if abrupt:
            for client in self._audience:
                client.reset()
        else:
            self._dismiss_everyone("cut")

    def _dismiss_everyone(self, why: str) -> None:
        for client in self._audience:
            client.dismiss(Dismissal(why, None, _GOING_AWAY))

    async def _play(self, block: Block) -> None:
        times, messages = block.times_ns, block.messages
        position, count = 0, len(messages)
        while position < count:
            await self._wait_for(times[position])
            end = min(position + _MOST_AT_ONCE, count)
            if self._settings.speed:
                end = max(position + 1, bisect.bisect_right(times, self.clock.now_ns, position, end))
            if self._event_cuts:
                end = min(end, position + max(1, (self._event_cuts[0].after_events or 0) - self.events))
            self.clock.advance_to(times[end - 1])
            await self._publish(messages[position:end])
            position = end

    async def _play_prepared(self, block: PreparedBlock) -> None:
        await self._wait_for(block.time_ns)
        self.clock.advance_to(block.time_ns)
        listening = self._audience.listening
        total = sum(block.counts)
        whole: bytes | None = None
        for client in listening:
            subscriptions = client.subscriptions
            if block.event_types is not None and subscriptions.takes_all_of(block.event_types):
                whole = whole or b"".join(map(text_frame, block.payloads))
                client.write(whole, frames=len(block.payloads), events=total)
                continue
            selected = [chosen for chosen in (_select(body, subscriptions) for body in block.payloads) if chosen[1]]
            wire = b"".join(text_frame(body) for body, _ in selected)
            client.write(wire, frames=len(selected), events=sum(number for _, number in selected))
        await self._account(listening, total)

    async def _wait_for(self, time_ns: int) -> None:
        """Return when an event of *time_ns* is due and, with hold, somebody listens at this very moment."""
        while True:
            self._cut_by_time()
            if self._settings.holds and not self._audience.listening:
                self.clock.stop()
                self.holding = True
                await self._audience.assemble()
                self.holding = False
                self.clock.run()
            remaining = self.clock.seconds_until(time_ns)
            if remaining <= 0:
                return
            await asyncio.sleep(min(remaining, _LONGEST_SLEEP_S))

    async def _publish(self, messages: Sequence[MarketMessage]) -> None:
        listening = self._audience.listening
        event_types = {event_type_of_class(kind) for kind in set(map(type, messages))}
        whole: tuple[bytes, int] | None = None
        for client in listening:
            if client.subscriptions.takes_all_of(event_types):
                whole = whole or self._wire(messages)
                client.write(whole[0], frames=whole[1], events=len(messages))
            elif chosen := list(filter(client.subscriptions.selector(), messages)):
                wire, frames = self._wire(chosen)
                client.write(wire, frames=frames, events=len(chosen))
        await self._account(listening, len(messages))

    def _wire(self, messages: Sequence[MarketMessage]) -> tuple[bytes, int]:
        parts = []
        for frame in self._cutter.cut(messages):
            parts.append(text_frame(encode_frame(frame)))
            if (hostile := self.hostile.next()) is not None:
                parts.append(text_frame(hostile))
        return b"".join(parts), len(parts)

    async def _account(self, listening: Sequence[Client], count: int) -> None:
        self.events += count
        if not listening:
            self.unheard += count
        while self._event_cuts and self.events >= (self._event_cuts[0].after_events or 0):
            self.cut(abrupt=self._event_cuts.pop(0).abrupt)
        await asyncio.sleep(0)  # neither a write nor a drain gives way while the socket takes everything
        for client in listening:
            if self._settings.speed == 0:
                await client.drain()
            elif self._settings.patient:
                await self._wait_for_client(client)
            elif client.waiting_bytes > self._settings.max_buffer_bytes:
                self._book.slow_consumers += 1
                client.dismiss(Dismissal("slow consumer", statuses.SLOW_CONSUMER, _POLICY_VIOLATION))

    async def _wait_for_client(self, client: Client) -> None:
        """Let session time stand still until the client has taken most of what was written."""
        if client.waiting_bytes > _PATIENT_BYTES:
            self.clock.stop()
            await client.drain()
            self.clock.run()

    def _cut_by_time(self) -> None:
        elapsed = time.monotonic() - self._started_at
        while self._timed_cuts and elapsed >= (self._timed_cuts[0].after_seconds or 0.0):
            cut: Cut = self._timed_cuts.pop(0)
            self.cut(abrupt=cut.abrupt)
