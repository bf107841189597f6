"""What ``scanplane watch`` was told so far, and how it looks. No I/O."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from scanplane.cli.tables import board_table, quote_table, signal_table

__all__ = ["SIGNALS_KEPT", "WatchError", "WatchState"]

SIGNALS_KEPT = 12
SIGNALS_REMEMBERED = 1000


class WatchError(Exception):
    """Watching makes no sense; the text says why. ``code`` is the exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class WatchState:
    """What was told so far.

    ``missing`` are topics whose snapshot is still to come; None before the answer to the subscription.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self.boards: dict[str, dict[str, Any]] = {}
        self.quotes: dict[str, dict[str, Any]] = {}
        self.statuses: dict[str, dict[str, Any]] = {}
        self.signals: deque[dict[str, Any]] = deque(maxlen=SIGNALS_KEPT)
        self.hints: tuple[str, ...] = ()
        self.problem = "connecting"
        self.missing: set[str] | None = None
        self._quote_topics = {topic for topic in topics if topic.startswith("quotes/")}
        self._seen_signals: dict[tuple[str, int], None] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a message of the gateway. Raises WatchError for one that says that the subscription can't be."""
        kind, topic = message["type"], message.get("topic", "")
        if kind == "error":
            raise WatchError(message["message"], 2)
        if kind in {"hello", "lag"}:
            self.problem = message["staleReason"] if message["stale"] else ""
        elif kind == "subscribed":
            self.hints = tuple(message["hints"])
            self.missing = {*message["topics"], *self._quote_topics}
        elif kind == "removed":
            for kept in (self.boards, self.quotes, self.statuses):
                kept.pop(topic, None)
        elif kind in {"snapshot", "update", "signal"}:
            self._take_topic(kind, topic, message)
            if self.missing is not None:
                self.missing.discard(topic)

    def _take_topic(self, kind: str, topic: str, message: Mapping[str, Any]) -> None:
        data = message["data"]
        if topic.startswith("boards/"):
            self.boards[topic] = dict(message)
        elif topic.startswith("quotes/"):
            self.quotes[topic] = data
        elif topic.startswith("status/"):
            self.statuses[topic] = data
        else:
            for signal in [data] if kind == "signal" else data:
                identity = (signal["signalId"], signal["evaluatedNs"])  # the same id is evaluated anew in another run
                if identity not in self._seen_signals:
                    self._seen_signals[identity] = None
                    if len(self._seen_signals) > SIGNALS_REMEMBERED:
                        del self._seen_signals[next(iter(self._seen_signals))]
                    self.signals.append(signal)

    def render(self, rows: int) -> RenderableType:
        """Return all of it as tables."""
        parts: list[RenderableType] = []
        if self.problem:
            parts.append(Text(self.problem, style="bold yellow"))
        parts += [Text(hint, style="yellow") for hint in self.hints if not self.boards]
        for _, message in sorted(self.boards.items()):
            parts.append(board_table(message["data"], message["freshness"], rows=rows))
        if self.quotes:
            parts.append(quote_table(list(self.quotes.values())))
        if self.signals:
            parts.append(signal_table(sorted(self.signals, key=lambda signal: -signal["tickNs"])))
        for topic, status in sorted(self.statuses.items()):
            problems = f": {'; '.join(status['problems'])}" if status["problems"] else ""
            parts.append(Text(f"{topic} {status['phase']}{problems}"))
        return Group(*parts)
