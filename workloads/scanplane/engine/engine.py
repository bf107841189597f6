"""The engine of one partition: events in, boards and signals out, no clock and no I/O.

Time is event time: a tick says what instant it is, and everything that depends on time (sessions, the reset at the
beginning of a trading day, windows, cooldowns) depends on ticks and exchange times alone. The same events and ticks in
the same order give the same bytes, however they were grouped into batches, partitioned, or interrupted by restarts.

What a trading day holds is kept from its beginning (see ``sessions``) to that of the next and then forgotten, by the
first tick of the new day, even when no event arrives; symbols that had none in it are released. An event that is older
than the day is stale, which is counted, and not applied. One of the next day is early: it waits for the first tick of that
day, and so does everything before the first tick of all, since nothing else says what day it is. A late event of the same
day, after the close too, changes what its own exchange time says: a trade of 15:59 that arrives at 16:10 still counts for
the regular session's high. What cannot be known by an engine that begins in the middle of a day is unknown: see
``coverage``.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from scanplane.engine.bars import apply_bars
from scanplane.engine.cells import cells_of
from scanplane.engine.columns import Columns
from scanplane.engine.counts import EngineCounts
from scanplane.engine.coverage import GRACE_NS, coverage_of, is_live
from scanplane.engine.decoding import (
    BarBatch,
    EligibilityTable,
    QuoteBatch,
    TradeBatch,
    decode_bars,
    decode_index_values,
    decode_quotes,
    decode_trades,
)
from scanplane.engine.definitions import Moment
from scanplane.engine.early import EarlyEvents, instant_of
from scanplane.engine.evaluation import Evaluation
from scanplane.engine.frame import FeatureFrame
from scanplane.engine.quotes import apply_quotes
from scanplane.engine.reference_data import DayReference, ReferenceData
from scanplane.engine.references import References
from scanplane.engine.scanners import CompiledScanner
from scanplane.engine.sessions import Session, TradingCalendar, TradingDay
from scanplane.engine.snapshots import Header, SnapshotFields, StateReader
from scanplane.engine.state import DAY_COLUMNS, LAYOUT_VERSION, MINUTE_BARS, SECOND_BARS
from scanplane.engine.symbols import SymbolTable
from scanplane.engine.trades import apply_trades
from scanplane.engine.volumes import move_recent, take_up_bars
from scanplane.engine.windows import PRICE_SAMPLES, VOLUME_SAMPLES, Samples
from scanplane.features.catalogue import CATALOGUE, FeatureType
from scanplane.marketdata.batches import Tick, decode_events, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Event
from scanplane.marketdata.partitions import partition_of
from scanplane.marketdata.results import QuoteRow
from scanplane.plan.configuration import AnalyzerConfiguration
from scanplane.resources.market import ReferenceSource

__all__ = ["REFRESH_TICKS", "Engine"]

_BEFORE_TIME = -(2**62)
_NEXT_TICK = 2**63 - 1
"""The day is heard since the next tick, whenever that comes."""
REFRESH_TICKS = 240
"""In so many ticks, usually a minute, each symbol's quote is given again, though no event touched it: windows move on."""

_QUOTED = [name for name, feature in CATALOGUE.items() if feature.type is not FeatureType.EVENT and name != "symbol"]

_AnyBatch = TradeBatch | QuoteBatch | BarBatch
_Batch = TypeVar("_Batch", bound=_AnyBatch)


class Engine:
    """State and scanners of one partition. Raises ExpressionError when a scanner does not compile."""

    def __init__(
        self, configuration: AnalyzerConfiguration, reference: ReferenceData, calendar: TradingCalendar
    ) -> None:
        self._configuration = configuration
        self._calendar = calendar
        sources = (configuration.reference.previous_close, configuration.reference.average_volume)
        self._references = References(reference, configuration.partition, fetches=ReferenceSource.PROVIDER in sources)
        self._scanners = tuple(
            CompiledScanner(scanner, market=configuration.market, partition=str(configuration.partition))
            for scanner in configuration.scanners
        )
        self._eligibility = EligibilityTable(configuration.asset_class)
        self._fields = SnapshotFields()
        self._counts = EngineCounts(
            events={channel.value: 0 for channel in Channel},
            signals_by_scanner={scanner.name: 0 for scanner in self._scanners},
            last_signal_ns_by_scanner={scanner.name: 0 for scanner in self._scanners},
            matches_by_scanner={scanner.name: 0 for scanner in self._scanners},
        )
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._symbols = SymbolTable(self._configuration.max_symbols)
        self._state = Columns(DAY_COLUMNS)
        self._references.begin_anew()
        self._unquoted = np.ones(0, np.bool_)
        self._prices, self._volumes = Samples(PRICE_SAMPLES), Samples(VOLUME_SAMPLES)
        self._day: TradingDay | None = None
        self._day_instant_ns: int | None = None
        self._early = EarlyEvents()
        self._tick_ns = _BEFORE_TIME
        self._since_ns: int | None = None
        self._frame: FeatureFrame | None = None
        self._fields.forget_names()
        for scanner in self._scanners:
            scanner.forget()

    @property
    def counts(self) -> EngineCounts:
        """Totals since the engine was made, as of now."""
        self._counts.symbols = len(self._symbols.names)
        self._counts.refused_symbols = self._symbols.refused
        self._counts.waiting_early_events = len(self._early)
        self._counts.symbols_without_reference = self._references.unknown
        return copy.deepcopy(self._counts)

    @property
    def tick_ns(self) -> int:
        """The instant of the last evaluation, of this engine or of the state that it took up; 0 before the first."""
        return max(0, self._tick_ns)

    @property
    def session(self) -> Session:
        """The session at the last evaluation; closed before the first."""
        if self._day is None or self._tick_ns == _BEFORE_TIME:
            return Session.CLOSED
        return self._day.session_at(self._tick_ns)

    @property
    def missed_beginning_ns(self) -> int | None:
        """Since when the trading day is heard, where what was before is missing; None where nothing is."""
        if self._day is None or self._since_ns in (None, _NEXT_TICK) or coverage_of(self._day, self._since_ns).day:
            return None
        return self._since_ns

    @property
    def outdated_closes(self) -> tuple[TradingDay, TradingDay] | None:
        """The trading day whose previous closes were given, and that of the last tick, where that is a later one."""
        given_ns = self._references.given_day_ns
        if self._day is None or given_ns is None or given_ns >= self._day.begin_ns:
            return None
        return self._calendar.day_at(given_ns), self._day

    def expect(self, fetched: DayReference) -> None:
        """Take a trading day's reference figures: they show from its first tick on, or from the next."""
        self._references.expect(fetched)

    def wanted_reference(self) -> int | None:
        """Return the beginning of the trading day whose reference figures are to be fetched, or fetched again."""
        if self._day is None or self._since_ns is None:
            return None
        return self._references.wanted(self._day, self._tick_ns, self._since_ns)

    def miss_beginning(self) -> None:
        """Know of nothing that was before the next tick: a part of the state, or the beginning of a stream, is lost."""
        self._since_ns = _NEXT_TICK

    def figures(self) -> dict[str, float]:
        """Return the totals as figures for metrics and status, by name."""
        return self.counts.figures()

    def scanner_figures(self) -> dict[str, dict[str, float]]:
        """Return the figures of each scanner, by its name. The last signal's time is event time, 0 before the first."""
        counts = self._counts
        return {
            name: {
                "matches": float(matches),
                "signals_total": float(counts.signals_by_scanner[name]),
                "last_signal_unix_seconds": counts.last_signal_ns_by_scanner[name] / 1e9,
            }
            for name, matches in counts.matches_by_scanner.items()
        }

    def apply(self, channel: Channel, body: bytes) -> int:
        """Decode the body of a batch of *channel* and apply its events; return their number.

        Raises msgspec.DecodeError, with nothing applied.
        """
        count = self._apply(channel, body)
        self._counts.events[channel] += count
        return count

    def _apply(self, channel: Channel, body: bytes) -> int:
        batch: _AnyBatch | None
        match channel:
            case Channel.TRADES:
                batch = decode_trades(body, self._symbols, self._eligibility)
            case Channel.INDEX_VALUES:
                batch = decode_index_values(body, self._symbols)
            case Channel.QUOTES:
                batch = decode_quotes(body, self._symbols)
            case Channel.SECOND_AGGREGATES | Channel.MINUTE_AGGREGATES:
                batch = decode_bars(channel, body, self._symbols)
            case _:
                return len(decode_events(channel, body))  # no feature reads these channels yet
        if batch is None:
            return 0
        day = self._day
        if day is None:
            return self._await_first_tick(channel, body)
        count = len(batch.rows)
        self._frame = None
        self._grow()
        batch = self._within(channel, body, batch, day)
        if len(batch.rows):
            self._apply_within(channel, batch, day)
            self._state["changed"][batch.rows] = True
            self._unquoted[batch.rows] = True
        return count

    def _apply_within(self, channel: Channel, batch: _AnyBatch, day: TradingDay) -> None:
        if isinstance(batch, TradeBatch):
            apply_trades(self._state, day, batch, self._tick_ns, self._counts)
        elif isinstance(batch, QuoteBatch):
            apply_quotes(self._state, batch)
        else:
            kind = SECOND_BARS if channel is Channel.SECOND_AGGREGATES else MINUTE_BARS
            apply_bars(self._state, day, batch, kind, self._tick_ns, self._counts)

    def _grow(self) -> None:
        rows = len(self._symbols.names)
        if rows == self._references.rows:
            return
        self._state.grow(rows)
        self._references.grow(self._symbols.names)
        added = self._state.capacity - len(self._unquoted)
        if added:
            self._unquoted = np.concatenate((self._unquoted, np.ones(added, np.bool_)))

    def _await_first_tick(self, channel: Channel, body: bytes) -> int:
        """Let events wait for the first tick; where it is long in coming, the first of them says the day."""
        events = decode_events(channel, body)
        if len(events) > self._early.room(channel):
            first = next(iter(self._early))[1][0]
            self._day_instant_ns = instant_of(first)
            self._day = self._calendar.day_at(self._day_instant_ns)
            self._release_early()
            return self._apply(channel, body)
        self._early.hold(channel, events, _BEFORE_TIME)
        return len(events)

    def _release_early(self) -> None:
        """Apply what waited for the day that has begun."""
        if len(self._early) and self._day is not None and self._day.begin_ns >= self._early.due_ns:
            for channel, events in self._early.take():
                self._apply(channel, encode_events(events))

    def _within(self, channel: Channel, body: bytes, batch: _Batch, day: TradingDay) -> _Batch:
        instants = _instants_of(batch)
        stale, early, refused = instants < day.begin_ns, instants >= day.next_begin_ns, batch.rows < 0
        applied = ~(stale | early | refused)
        if applied.all():
            return batch
        if early.any():
            self._hold_early(channel, decode_events(channel, body), day)
        self._counts.refused_events += int(np.count_nonzero(refused & ~early))
        self._counts.stale_events += int(np.count_nonzero(stale & ~refused))
        return type(batch)(*(column[applied] for column in msgspec.structs.astuple(batch)))

    def _hold_early(self, channel: Channel, events: list[Event], day: TradingDay) -> None:
        """Let what belongs to the day after *day* wait for its first tick."""
        end_ns = self._calendar.day_at(day.next_begin_ns).next_begin_ns
        early = [event for event in events if instant_of(event) >= day.next_begin_ns]
        held = [event for event in early if instant_of(event) < end_ns]
        self._counts.early_events += len(early) - len(held) + self._early.hold(channel, held, day.next_begin_ns)

    def tick(self, tick: Tick, received_ns: int = 0) -> Evaluation:
        """Evaluate every scanner at an instant of event time; what is behind it was received at *received_ns*, if that is known.

        A tick that is not later than the last one is counted and yields nothing. A rewound tick drops all state first.
        """
        released: list[str] = []
        if tick.rewound:
            self._counts.rewinds += 1
            released = self._symbols.names
            self._begin_anew()
        if tick.tick_ns <= self._tick_ns:
            self._counts.ignored_ticks += 1
            return Evaluation(tick.tick_ns)
        released += self._enter_day(tick.tick_ns, is_live=is_live(tick.tick_ns, received_ns))
        self._release_early()
        move_recent(self._state, self._tick_ns, tick.tick_ns)
        self._tick_ns = tick.tick_ns
        self._take_up_bars()
        frame = self._frame = self._make_frame()
        boards, signals = [], []
        for scanner in self._scanners:
            board, fired, matches = scanner.evaluate(frame)
            if board is not None:
                boards.append(board)
            signals += fired
            self._counts.matches_by_scanner[scanner.name] = matches
            self._counts.signals_by_scanner[scanner.name] += len(fired)
            if fired:
                self._counts.last_signal_ns_by_scanner[scanner.name] = tick.tick_ns
        frame.remember()
        for ring, name in ((self._prices, "price"), (self._volumes, "counted_volume")):
            if ring.is_due(tick.tick_ns):
                ring.take(tick.tick_ns, frame[name])
        changed = self._take_changed(frame)
        self._unquoted[self._counts.evaluations % REFRESH_TICKS : frame.rows : REFRESH_TICKS] = True
        self._counts.evaluations += 1
        self._counts.signals += len(signals)
        gone = tuple(sorted(name for name in released if name not in self._symbols))
        return Evaluation(tick.tick_ns, tuple(boards), tuple(signals), changed, gone)

    def _take_up_bars(self) -> None:
        assert self._day is not None, "a tick has set the day"
        touched = np.flatnonzero(self._state["changed"][: len(self._symbols.names)])
        take_up_bars(self._state, touched, self._day, self._tick_ns)

    def _enter_day(self, tick_ns: int, *, is_live: bool) -> list[str]:
        """Let it be the day of *tick_ns*; return the symbols that are released."""
        day, released = self._calendar.day_at(tick_ns), []
        self._grow()
        if self._day is not None and day.begin_ns != self._day.begin_ns:
            self._counts.day_resets += 1
            released = self._release_unheard()
            self._forget_day()
            self._since_ns = None
        if self._since_ns is None:
            longest_pause_ns = self._configuration.evaluation_interval_ns + GRACE_NS
            has_gap = is_live and tick_ns - self._tick_ns > longest_pause_ns
            self._since_ns = tick_ns if has_gap else day.begin_ns
        elif self._since_ns == _NEXT_TICK:
            self._since_ns = tick_ns
        self._day, self._day_instant_ns = day, tick_ns
        self._references.at_tick(day, tick_ns, self._since_ns, self._symbols.names)
        return released

    def _release_unheard(self) -> list[str]:
        """Release the symbols without an event in the day that ends, and all where they leave no room for as many new ones."""
        names = self._symbols.names
        kept = np.flatnonzero((self._state["heard"] | self._state["changed"])[: len(names)])
        if 2 * len(kept) > self._configuration.max_symbols:
            kept = kept[:0]
        if len(kept) == len(names):
            return []
        stays = np.zeros(len(names), np.bool_)
        stays[kept] = True
        for scanner in self._scanners:
            scanner.memory.grow(len(names))
            scanner.memory.keep(kept)
        self._symbols.keep(kept)
        self._references.forget_rows()
        self._fields.forget_names()
        self._unquoted = np.ones(self._state.capacity, np.bool_)
        return [name for name, stay in zip(names, stays.tolist(), strict=True) if not stay]

    def _forget_day(self) -> None:
        self._unquoted[:] = True
        self._state.clear()
        self._prices.clear()
        self._volumes.clear()

    def _make_frame(self) -> FeatureFrame:
        assert self._day is not None, "a tick or a restored state has set the day"
        self._grow()
        moment = Moment(
            tick_ns=self._tick_ns,
            day=self._day,
            names=self._symbols.array(),
            state=self._state,
            coverage=coverage_of(self._day, self._since_ns or 0),
            reference=self._references.columns,
            curve=self._references.given.curve,
            prices=self._prices,
            volumes=self._volumes,
        )
        return FeatureFrame(moment)

    def _take_changed(self, frame: FeatureFrame) -> tuple[str, ...]:
        changed = frame.state("changed")
        names = frame["symbol"][changed].tolist()
        frame.state("heard")[changed] = True
        changed[:] = False
        return tuple(sorted(names))

    def quotes(self, symbols: Iterable[str] | None = None) -> list[QuoteRow]:
        """Return the features of *symbols* (of all if None) at the last tick, by symbol ascending.

        Ask right after ``tick``: events that were applied since then show already. Symbols that the partition does not
        know are left out, and so are the catalogue's events, which are true for one tick only.
        """
        known = self._symbols.names if symbols is None else [name for name in symbols if name in self._symbols]
        rows = np.fromiter(map(self._symbols.__getitem__, sorted(known)), np.intp, len(known))
        return self._quote_rows(rows)

    def changed_quotes(self, share: int = 0, shares: int = 1) -> list[QuoteRow]:
        """Return the features of the symbols that changed since the last call, as ``quotes`` does.

        These are the ones that an event touched, all of them at the reset of a day, and with every tick a few others, so
        that what time alone changes is not older than ``REFRESH_TICKS`` ticks.

        With *shares* it is one share of the symbols, from 0 to *shares* - 1; whoever asks for one after the other gets all.
        """
        rows = np.flatnonzero(self._unquoted[share : len(self._symbols.names) : shares]) * shares + share
        self._unquoted[rows] = False
        return self._quote_rows(rows[np.argsort(self._symbols.array()[rows])])

    def _quote_rows(self, rows: NDArray[np.intp]) -> list[QuoteRow]:
        if self._tick_ns == _BEFORE_TIME or self._day is None:
            return []
        frame = self._frame or self._make_frame()
        return [
            QuoteRow(
                market=self._configuration.market,
                symbol=symbol,
                tick_ns=self._tick_ns,
                values={name: value for name, value in zip(_QUOTED, cells, strict=True) if value is not None},
            )
            for symbol, cells in zip(frame["symbol"][rows].tolist(), cells_of(frame, _QUOTED, rows), strict=True)
        ]

    def snapshot(self) -> dict[str, bytes | None]:
        """Return the fields of the state that changed since the last snapshot (all at first); None removes one."""
        rows = len(self._symbols.names)
        header = Header(LAYOUT_VERSION, rows, self._day_instant_ns, self._tick_ns, self._since_ns)
        samples = {"price": self._prices, "volume": self._volumes}
        self._grow()
        return self._fields.collect(
            header,
            self._symbols.names,
            self._state,
            samples,
            self._scanners,
            self._early.fields(),
            self._references.encode(),
        )

    def forget_snapshots(self) -> None:
        """Let the next snapshot be a whole one: those before it were lost."""
        self._fields.forget()

    def restore(self, fields: Mapping[str, bytes]) -> None:
        """Take up saved state, before the first event. May be called for several partitions' states: symbols of other
        partitions are skipped, and the newest of the states' clocks counts.

        Raises StateMismatchError, and the engine is as it was.
        """
        reader = StateReader(fields)
        self._fields.assume_stored(fields)
        partition = self._configuration.partition
        mine = [row for row, name in enumerate(reader.names) if partition_of(name, partition.count) == partition.index]
        taken = [(row, self._symbols[reader.names[row]]) for row in mine]
        from_rows, to_rows = np.array([pair for pair in taken if pair[1] >= 0], np.intp).reshape(-1, 2).T
        self._grow()
        for scanner in self._scanners:
            scanner.memory.grow(len(self._symbols.names))
            reader.scanner_into(scanner, from_rows, to_rows)
        if reader.reference is not None:
            self._references.restore(reader.reference)
        tick_ns = max(self._tick_ns, reader.header.tick_ns)
        move_recent(self._state, self._tick_ns, tick_ns)
        self._tick_ns = tick_ns
        self._take_up_early(reader)
        if reader.header.day_instant_ns is None:
            self._hear_since(reader.header.since_ns)
        if reader.header.day_instant_ns is None or not self._take_up_day(reader.header.day_instant_ns):
            return
        self._hear_since(reader.header.since_ns)
        reader.columns_into(self._state, from_rows, to_rows)
        move_recent(self._state, reader.header.tick_ns, tick_ns, to_rows)
        rows = len(self._symbols.names)
        reader.samples_into("price", self._prices, from_rows, to_rows, rows)
        reader.samples_into("volume", self._volumes, from_rows, to_rows, rows)
        if self._day is not None:
            self._references.show(self._day, self._tick_ns, self._symbols.names)

    def _take_up_early(self, reader: StateReader) -> None:
        instant_ns, partition = reader.header.day_instant_ns, self._configuration.partition
        due_ns = _BEFORE_TIME if instant_ns is None else self._calendar.day_at(instant_ns).next_begin_ns
        for channel, events in reader.early:
            mine = [event for event in events if partition_of(event.symbol, partition.count) == partition.index]
            self._counts.early_events += self._early.hold(channel, mine, due_ns)

    def _take_up_day(self, instant_ns: int) -> bool:
        """Say whether a state of the day of *instant_ns* is worth taking up; forget what an older day left."""
        day = self._calendar.day_at(instant_ns)
        if self._day is not None and day.begin_ns < self._day.begin_ns:
            return False
        if self._day is not None and day.begin_ns > self._day.begin_ns:
            self._forget_day()
            self._since_ns = None
        self._day, self._day_instant_ns = day, max(instant_ns, self._day_instant_ns or instant_ns)
        return True

    def _hear_since(self, since_ns: int | None) -> None:
        """Take up since when a state heard its day; of several states of a day the latest counts."""
        if since_ns is not None:
            self._since_ns = max(since_ns, self._since_ns or since_ns)


def _instants_of(batch: _AnyBatch) -> NDArray[np.int64]:
    """Return what says which day an event belongs to: a bar belongs to where it starts."""
    return batch.starts if isinstance(batch, BarBatch) else batch.instants
