"""Events that came before the tick that begins their trading day: kept until it comes.

Several Feeds deliver to a market, and one of them is its clock. What the others send can be ahead of it, by moments or by the
quarter of an hour that it is delayed; and where no interval ends at the beginning of a day, the first tick is late for all.
"""

from collections.abc import Iterator, Mapping

from scanplane.marketdata.batches import decode_events, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Bar, Event

__all__ = ["EARLY", "MAX_EARLY_EVENTS", "EarlyEvents", "Run", "instant_of", "read_early"]

Run = tuple[Channel, list[Event]]

EARLY = "early:"
MAX_EARLY_EVENTS = 100_000
"""Of each channel; of trades these are 30 MB of memory and 4 MB of saved state."""
_CHUNK = 1000


class EarlyEvents:
    """Events of each channel in the order of their arrival, due when a day begins at ``due_ns`` or later."""

    def __init__(self) -> None:
        self.due_ns = 0
        self._chunks: dict[Channel, list[list[Event]]] = {}
        self._encoded: dict[str, bytes] = {}

    def __len__(self) -> int:
        return sum(len(events) for _, events in self)

    def __iter__(self) -> Iterator[Run]:
        for channel, chunks in self._chunks.items():
            for events in chunks:
                yield channel, events

    def room(self, channel: Channel) -> int:
        """Return how many more events of *channel* can be kept."""
        return MAX_EARLY_EVENTS - sum(map(len, self._chunks.get(channel, ())))

    def hold(self, channel: Channel, events: list[Event], due_ns: int) -> int:
        """Keep what there is room for of *events* until a day begins at *due_ns* or later; return how many there is none for."""
        kept = events[: self.room(channel)]
        if kept:
            self.due_ns = min(self.due_ns, due_ns) if self._chunks else due_ns
            self._append(channel, kept)
        return len(events) - len(kept)

    def _append(self, channel: Channel, events: list[Event]) -> None:
        chunks = self._chunks.setdefault(channel, [[]])
        position = 0
        while position < len(events):
            if len(chunks[-1]) == _CHUNK:
                chunks.append([])
            added = events[position : position + _CHUNK - len(chunks[-1])]
            chunks[-1].extend(added)
            position += len(added)
            self._encoded.pop(_name(channel, len(chunks) - 1), None)

    def take(self) -> list[Run]:
        """Return everything, and keep nothing."""
        taken = list(self)
        self.clear()
        return taken

    def clear(self) -> None:
        """Keep nothing."""
        self._chunks, self._encoded = {}, {}

    def fields(self) -> Mapping[str, bytes]:
        """Return what is to be saved, by the names of fields."""
        for channel, chunks in self._chunks.items():
            for index, events in enumerate(chunks):
                name = _name(channel, index)
                if name not in self._encoded:
                    self._encoded[name] = encode_events(events)
        return self._encoded


def read_early(fields: Mapping[str, bytes]) -> list[Run]:
    """Read what :meth:`EarlyEvents.fields` gave out. Raises ValueError, and DecodeError, which is one, for anything else."""
    names = sorted(name for name in fields if name.startswith(EARLY))
    channels = [Channel(name.removeprefix(EARLY).partition(":")[0]) for name in names]
    return [(channel, decode_events(channel, fields[name])) for channel, name in zip(channels, names, strict=True)]


def instant_of(event: Event) -> int:
    """Return what says which day an event belongs to: a bar belongs to where it starts."""
    return event.start_ns if isinstance(event, Bar) else event.exchange_ns


def _name(channel: Channel, index: int) -> str:
    return f"{EARLY}{channel}:{index:03}"
