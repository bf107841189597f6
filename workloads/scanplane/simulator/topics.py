"""Topics: which of an asset class's events a client asked for.

A topic is ``EV.SYMBOL`` or ``EV.*``. What a symbol looks like differs between a topic and a message (``C.EUR-USD``,
``C.EUR/USD`` and ``C.C:EUR-USD`` are the same pair), so both are compared in one canonical form.
"""

import functools
from collections.abc import Callable, Iterable

from msgspec import Struct

from scanplane.feeds.massive.messages import MarketMessage
from scanplane.marketdata.channels import AssetClass
from scanplane.marketdata.massive_channels import TOPIC_PREFIXES

__all__ = [
    "ANY",
    "EVENT_TYPES",
    "PATHS",
    "Subscriptions",
    "Topic",
    "canonical_symbol",
    "event_type_of",
    "event_type_of_class",
    "parse_topic",
    "symbol_of",
]

ANY = "*"

PATHS: dict[str, AssetClass] = {
    "/stocks": AssetClass.STOCKS,
    "/options": AssetClass.OPTIONS,
    "/crypto": AssetClass.CRYPTO,
    "/forex": AssetClass.FOREX,
    "/indices": AssetClass.INDICES,
}
"""Where each asset class is served."""

EVENT_TYPES: dict[AssetClass, frozenset[str]] = {
    asset_class: frozenset(prefixes.values()) for asset_class, prefixes in TOPIC_PREFIXES.items()
}
"""The event types that each asset class knows; a topic of any other is met with silence."""


class Topic(Struct, frozen=True):
    """An event type and a symbol in canonical form, or ``*``."""

    event_type: str
    symbol: str


def canonical_symbol(symbol: str) -> str:
    """Return the form in which topics and messages are compared."""
    if symbol.startswith(("X:", "C:")):
        symbol = symbol[2:]
    return symbol.replace("/", "-")


def parse_topic(text: str, asset_class: AssetClass) -> Topic | None:
    """Return the topic that *text* names, or None where *asset_class* knows no such topic."""
    event_type, dot, symbol = text.strip().partition(".")
    if not dot or not symbol or event_type not in EVENT_TYPES[asset_class]:
        return None
    return Topic(event_type, ANY if symbol == ANY else canonical_symbol(symbol))


@functools.cache
def event_type_of_class(kind: type[MarketMessage]) -> str:
    """Return the ``ev`` of a kind of message."""
    return str(kind.__struct_config__.tag)


def event_type_of(message: MarketMessage) -> str:
    """Return the ``ev`` of a message."""
    return event_type_of_class(type(message))


def symbol_of(message: MarketMessage) -> str:
    """Return the symbol of a message in canonical form."""
    return canonical_symbol(message.symbol)


class Subscriptions:
    """What one client takes. Symbols of an event type, or all of them."""

    def __init__(self) -> None:
        self._all: set[str] = set()
        self._symbols: dict[str, set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._all or self._symbols)

    @property
    def topics(self) -> frozenset[Topic]:
        """Everything subscribed."""
        chosen = {Topic(kind, symbol) for kind, symbols in self._symbols.items() for symbol in symbols}
        return frozenset(chosen | {Topic(kind, ANY) for kind in self._all})

    def count(self, event_type: str) -> int:
        """Return how many symbols of *event_type* are subscribed by name."""
        return len(self._symbols.get(event_type, ()))

    def add(self, topic: Topic) -> None:
        """Subscribe."""
        if topic.symbol == ANY:
            self._all.add(topic.event_type)
        else:
            self._symbols.setdefault(topic.event_type, set()).add(topic.symbol)

    def remove(self, topic: Topic) -> None:
        """Unsubscribe; ``EV.*`` takes away every symbol of the event type too."""
        if topic.symbol == ANY:
            self._all.discard(topic.event_type)
            self._symbols.pop(topic.event_type, None)
        elif (symbols := self._symbols.get(topic.event_type)) is not None:
            symbols.discard(topic.symbol)
            if not symbols:
                del self._symbols[topic.event_type]

    def takes_all_of(self, event_types: Iterable[str]) -> bool:
        """Whether every symbol of every one of *event_types* is subscribed."""
        return self._all.issuperset(event_types)

    def takes(self, event_type: str, symbol: str) -> bool:
        """Whether an event of *event_type* for *symbol* (canonical) is subscribed."""
        return event_type in self._all or symbol in self._symbols.get(event_type, ())

    def selector(self) -> Callable[[MarketMessage], bool]:
        """Return a test for messages."""
        everything, symbols = self._all, self._symbols

        def takes(message: MarketMessage) -> bool:
            kind = event_type_of(message)
            return kind in everything or (kind in symbols and symbol_of(message) in symbols[kind])

        return takes
