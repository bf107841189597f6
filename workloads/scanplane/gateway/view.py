"""What the gateway knows of the cache: the newest parts of every board, the newest signals of every scanner, every status.

Pure: it is fed with what was read or pushed, in any order that a reconnect can bring about, and says what changed. The cache is
the truth and this a bounded picture of it; what does not fit is counted.
"""

from collections import deque
from collections.abc import Iterator

from msgspec import Struct

from scanplane.gateway.merge import Board, merge_parts, parse_partition, select_parts
from scanplane.marketdata.results import BoardPart, Signal
from scanplane.telemetry.status import RoleStatus

__all__ = ["MAX_BOARDS", "RECENT_SIGNALS", "EntryId", "RecentSignal", "ScannerKey", "View"]

RECENT_SIGNALS = 200
"""How many signals of each scanner are kept for the snapshot of a new client."""

MAX_BOARDS = 4096
"""How many scanners are followed; more are counted in ``refused``."""

EntryId = tuple[int, int]
ScannerKey = tuple[str, str]
"""Market and scanner."""


class RecentSignal(Struct, frozen=True):
    """A signal, and where it stands: the key of its stream and its id there."""

    stream: str
    entry_id: EntryId
    signal: Signal


class _Stream:
    """How far one stream was read, and what was read lately, by which a push that was already read is known.

    ``seen`` has the evaluation of each id: a recording that is played again gives the same ids, evaluated later.
    """

    def __init__(self) -> None:
        self.position: EntryId = (0, 0)
        self.lately: deque[EntryId] = deque(maxlen=4096)
        self.seen: dict[EntryId, int] = {}

    def note(self, entry_id: EntryId, evaluated_ns: int) -> None:
        """Note an entry as read."""
        if len(self.lately) == self.lately.maxlen:
            self.seen.pop(self.lately[0], None)
        self.lately.append(entry_id)
        self.seen[entry_id] = evaluated_ns
        self.position = entry_id


class View:
    """A bounded picture of one namespace's boards, signals and statuses."""

    def __init__(self) -> None:
        self._parts: dict[ScannerKey, dict[int, dict[int, BoardPart]]] = {}
        self._read_parts: set[tuple[ScannerKey, str]] = set()
        self._signals: dict[ScannerKey, deque[RecentSignal]] = {}
        self._streams: dict[str, _Stream] = {}
        self._newest: dict[str, BoardPart] = {}
        self.statuses: dict[str, RoleStatus] = {}
        self.refused = 0

    def board_keys(self) -> list[ScannerKey]:
        """Return the boards that exist, sorted."""
        return sorted(self._parts)

    def signal_keys(self) -> list[ScannerKey]:
        """Return the scanners that have sent signals, sorted."""
        return sorted(self._signals)

    def markets(self) -> list[str]:
        """Return every market that was seen, sorted."""
        return sorted({market for market, _ in (*self._parts, *self._signals)})

    def put_part(self, part: BoardPart, *, pushed: bool = True) -> bool:
        """Take a part of a board; return whether it changed anything. Raises PartitionNameError.

        A push that was queued before the same value was read comes after it: it is recognised by its times.
        """
        partition = parse_partition(part.partition)
        key = (part.market, part.scanner)
        groups = self._parts.get(key)
        if groups is None:
            if len(self._parts) >= MAX_BOARDS:
                self.refused += 1
                return False
            groups = self._parts[key] = {}
        present = groups.get(partition.count, {}).get(partition.index)
        if present is not None and self._is_known(present, part, pushed=pushed):
            return False
        read_key = (key, part.partition)
        if pushed:
            self._read_parts.discard(read_key)
        else:
            self._read_parts.add(read_key)
        groups.setdefault(partition.count, {})[partition.index] = part
        newest = self._newest.get(part.market)
        if newest is None or part.evaluated_ns >= newest.evaluated_ns:
            self._newest[part.market] = part
        self._drop_old_groups(groups, part)
        return True

    def _is_known(self, present: BoardPart, part: BoardPart, *, pushed: bool) -> bool:
        if part == present:
            return True
        was_read = ((part.market, part.scanner), part.partition) in self._read_parts
        times, present_times = (part.evaluated_ns, part.tick_ns), (present.evaluated_ns, present.tick_ns)
        return pushed and was_read and times < present_times

    @staticmethod
    def _drop_old_groups(groups: dict[int, dict[int, BoardPart]], newest: BoardPart) -> None:
        """Forget another partition count when it is complete in its new number, so that groups do not pile up."""
        chosen, parts = select_parts(groups)
        if len(parts) == chosen and any(part is newest for part in parts.values()):
            for count in [count for count in groups if count != chosen]:
                del groups[count]

    def parts(self) -> list[BoardPart]:
        """Return every part of every board."""
        return [part for groups in self._parts.values() for parts in groups.values() for part in parts.values()]

    def drop_part(self, part: BoardPart) -> bool:
        """Drop *part*, which is gone from the cache, unless it was replaced meanwhile; return whether its board is gone too."""
        key, partition = (part.market, part.scanner), parse_partition(part.partition)
        groups = self._parts.get(key, {})
        parts = groups.get(partition.count, {})
        if parts.get(partition.index) is not part:
            return False
        self._read_parts.discard((key, part.partition))
        del parts[partition.index]
        if not parts:
            del groups[partition.count]
        if not groups:
            del self._parts[key]
        return not groups

    def newest_part(self, market: str) -> BoardPart | None:
        """Return the part that was evaluated last in *market*: its times and label tell of the market as a whole."""
        return self._newest.get(market)

    def board(self, key: ScannerKey) -> Board | None:
        """Return the merged board, or None where there is none."""
        count, parts = self._current_parts(key)
        return merge_parts(parts, count) if parts else None

    def is_whole(self, key: ScannerKey) -> bool:
        """Return whether every partition of a board is there and stands at the same tick."""
        count, parts = self._current_parts(key)
        return len(parts) == count and len({(part.tick_ns, part.columns) for part in parts}) == 1

    def _current_parts(self, key: ScannerKey) -> tuple[int, list[BoardPart]]:
        groups = self._parts.get(key)
        if not groups:
            return 0, []
        count, parts = select_parts(groups)
        return count, list(parts.values())

    def position(self, stream: str) -> EntryId:
        """Return the id after which *stream* is to be read."""
        known = self._streams.get(stream)
        return known.position if known is not None else (0, 0)

    def streams(self) -> list[str]:
        """Return the keys of the streams that were read, sorted."""
        return sorted(self._streams)

    def forget_stream(self, stream: str) -> None:
        """Forget *stream* and its signals: it was removed, and another of its name begins anew (a recording played again)."""
        self._streams.pop(stream, None)
        for key, recent in self._signals.items():
            kept = [each for each in recent if each.stream != stream]
            if len(kept) != len(recent):
                self._signals[key] = deque(kept, maxlen=RECENT_SIGNALS)

    def put_signal(self, stream: str, entry_id: EntryId, signal: Signal) -> bool:
        """Take a signal; return whether it is new."""
        known = self._streams.setdefault(stream, _Stream())
        seen_ns = known.seen.get(entry_id)
        if seen_ns is not None and signal.evaluated_ns <= seen_ns:
            return False
        if seen_ns is not None or entry_id < known.position:
            self.forget_stream(stream)
            known = self._streams[stream] = _Stream()
        known.note(entry_id, signal.evaluated_ns)
        key = (signal.market, signal.scanner)
        recent = self._signals.get(key)
        if recent is None:
            if len(self._signals) >= MAX_BOARDS:
                self.refused += 1
                return False
            recent = self._signals[key] = deque(maxlen=RECENT_SIGNALS)
        recent.append(RecentSignal(stream, entry_id, signal))
        return True

    def recent_signals(self, key: ScannerKey) -> tuple[RecentSignal, ...]:
        """Return the newest signals of a scanner, oldest first."""
        return tuple(self._signals.get(key, ()))

    def newest_signals(self, limit: int, *, market: str = "", scanner: str = "") -> list[RecentSignal]:
        """Return the newest signals of all scanners, or of those asked for, oldest first."""
        found = sorted(self._matching(market, scanner), key=lambda recent: (recent.entry_id, recent.stream))
        return found[-limit:] if limit else []

    def _matching(self, market: str, scanner: str) -> Iterator[RecentSignal]:
        for (its_market, its_scanner), recent in self._signals.items():
            if market in ("", its_market) and scanner in ("", its_scanner):
                yield from recent
