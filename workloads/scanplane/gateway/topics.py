"""Topics that a client can subscribe to, and the patterns that name many of them.

A topic is ``boards/<market>/<scanner>``, ``signals/<market>/<scanner>``, ``quotes/<market>/<symbol>`` or
``status/<instance>``. In a pattern a ``*`` stands for one whole segment, and as the last segment for all that follows:
``boards/us-stocks/*``, ``*/us-stocks/*``, ``boards/*/gappers``, ``*``. Quotes are the exception: they are read from the
cache for those who ask, so they are asked for by symbol and no pattern reaches them.
"""

import enum

from msgspec import Struct

__all__ = [
    "MAX_TOPIC_LENGTH",
    "Pattern",
    "TopicError",
    "TopicKind",
    "board_topic",
    "kind_of",
    "parse_pattern",
    "quote_topic",
    "signals_topic",
    "split_quote_topic",
    "status_topic",
]

MAX_TOPIC_LENGTH = 256
_EXAMPLE = "write a topic such as boards/us-stocks/* or quotes/us-stocks/AAPL"


class TopicError(ValueError):
    """A topic or pattern that nothing can ever match; the text says what to write instead."""


class TopicKind(enum.StrEnum):
    """The first segment of a topic."""

    BOARDS = "boards"
    SIGNALS = "signals"
    QUOTES = "quotes"
    STATUS = "status"


_SEGMENTS = {TopicKind.BOARDS: 3, TopicKind.SIGNALS: 3, TopicKind.QUOTES: 3, TopicKind.STATUS: 2}
_SHAPES = {
    TopicKind.BOARDS: "boards/<market>/<scanner>",
    TopicKind.SIGNALS: "signals/<market>/<scanner>",
    TopicKind.QUOTES: "quotes/<market>/<symbol>",
    TopicKind.STATUS: "status/<instance>",
}


def board_topic(market: str, scanner: str) -> str:
    """Return the topic of a board."""
    return f"boards/{market}/{scanner}"


def signals_topic(market: str, scanner: str) -> str:
    """Return the topic of a scanner's signals."""
    return f"signals/{market}/{scanner}"


def quote_topic(market: str, symbol: str) -> str:
    """Return the topic of a symbol's quote; a symbol may itself contain slashes."""
    return f"quotes/{market}/{symbol}"


def status_topic(instance: str) -> str:
    """Return the topic of a role instance's status."""
    return f"status/{instance}"


def kind_of(topic: str) -> TopicKind:
    """Return the kind of an existing topic."""
    return TopicKind(topic.partition("/")[0])


def split_quote_topic(topic: str) -> tuple[str, str]:
    """Return market and symbol of a quote's topic."""
    _, market, symbol = topic.split("/", 2)
    return market, symbol


class Pattern(Struct, frozen=True):
    """A parsed pattern: its text, its segments, and whether its last ``*`` takes all that follows."""

    text: str
    segments: tuple[str, ...]
    open_ended: bool

    @property
    def exact(self) -> bool:
        """Whether it names one topic."""
        return "*" not in self.segments

    def matches(self, topic: str) -> bool:
        """Return whether *topic* is one of those that the pattern names."""
        if self.exact:
            return topic == self.text
        if topic.startswith("quotes/"):
            return False
        segments = topic.split("/")
        fixed = self.segments[:-1] if self.open_ended else self.segments
        if len(segments) <= len(fixed) if self.open_ended else len(segments) != len(fixed):
            return False
        return all(mine in ("*", its) for mine, its in zip(fixed, segments, strict=False))


def parse_pattern(text: str) -> Pattern:
    """Read a topic or pattern. Raises TopicError."""
    if not text or len(text) > MAX_TOPIC_LENGTH or not text.isprintable():
        raise TopicError(f"a topic has 1 to {MAX_TOPIC_LENGTH} printable characters; {_EXAMPLE}")
    kind = text.partition("/")[0]
    if kind == TopicKind.QUOTES:
        return _parse_quote(text)
    segments = tuple(text.split("/"))
    for segment in segments:
        if not segment:
            raise TopicError(f"{text!r} has an empty segment; {_EXAMPLE}")
        if "*" in segment and segment != "*":
            raise TopicError(f"{text!r}: a * stands for a whole segment; write * instead of {segment!r}")
    open_ended = segments[-1] == "*"
    if kind == "*":
        longest = max(_SEGMENTS.values())
        if len(segments) > longest:
            raise TopicError(f"{text!r} has more than {longest} segments, no topic has; {_EXAMPLE}")
        return Pattern(text, segments, open_ended)
    if kind not in _SEGMENTS:
        raise TopicError(f"{text!r} begins with {kind!r}; a topic begins with boards, signals, quotes or status")
    expected = _SEGMENTS[TopicKind(kind)]
    if len(segments) > expected or (len(segments) < expected and not open_ended):
        raise TopicError(f"{text!r} is no topic; write {_SHAPES[TopicKind(kind)]}, or {kind}/* for all")
    return Pattern(text, segments, open_ended)


def _parse_quote(text: str) -> Pattern:
    segments = tuple(text.split("/", 2))
    if len(segments) < _SEGMENTS[TopicKind.QUOTES] or "*" in text or not all(segments):
        raise TopicError(f"{text!r}: quotes are asked for by symbol; write quotes/us-stocks/AAPL")
    return Pattern(text, segments, open_ended=False)
