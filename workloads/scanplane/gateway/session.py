"""One client's conversation, without its socket: who it is, what it wants, what it is told.

Everything that a client can make grow has a bound here: subscriptions, messages a second, bytes that wait.
"""

import difflib
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from scanplane import __version__
from scanplane.gateway.conflation import Outbox
from scanplane.gateway.hub import Hub
from scanplane.gateway.protocol import (
    Auth,
    CloseReason,
    ErrorMessage,
    Hello,
    Lag,
    MessageError,
    Ping,
    Pong,
    RequestId,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    decode_client_message,
    encode_frame,
)
from scanplane.gateway.tokens import Tokens
from scanplane.gateway.topics import Pattern, TopicError, parse_pattern

__all__ = ["MAX_MESSAGES_PER_SECOND", "MAX_SUBSCRIPTIONS", "Session", "SessionRules"]

MAX_SUBSCRIPTIONS = 256
MAX_MESSAGES_PER_SECOND = 50


class SessionRules(Struct, frozen=True, kw_only=True):
    """What holds for every client of a gateway. ``problem`` returns why the gateway is behind, empty if it is not."""

    tokens: Tokens
    max_client_bytes: int
    max_updates_per_second: float
    started_ns: int
    problem: Callable[[], str]


class Session:
    """A client of the hub. *wake* asks the socket to take what waits, *end* to close with a code and a reason."""

    def __init__(
        self, hub: Hub, rules: SessionRules, *, wake: Callable[[], None], end: Callable[[int, str], None]
    ) -> None:
        self.outbox = Outbox(rules.max_client_bytes)
        self.wake = wake
        self.client: str | None = None
        self._hub = hub
        self._rules = rules
        self._end = end
        self._messages_left = MAX_MESSAGES_PER_SECOND
        self._told_conflated = 0

    @property
    def authenticated(self) -> bool:
        """Whether the client is known, or nobody is asked."""
        return self.client is not None

    def open(self, token: str | None) -> None:
        """Begin the conversation; a *token* that is not known is for the caller to refuse."""
        self.client = self._rules.tokens.name_of(token)
        self._say_hello()
        if self.authenticated:
            self._hub.add(self)

    def close(self) -> None:
        """End it; nothing more is sent."""
        self._hub.remove(self)
        self.outbox.clear()

    def overflow(self) -> None:
        """An event did not fit."""
        self._end(*CloseReason.TOO_SLOW)

    def receive(self, text: bytes) -> None:
        """Take a message from the client and answer it."""
        self._messages_left -= 1
        if self._messages_left < 0:
            self._end(CloseReason.POLICY, f"more than {MAX_MESSAGES_PER_SECOND} messages a second")
            return
        try:
            message = decode_client_message(text)
        except MessageError as error:
            self._reply(ErrorMessage(id=None, message=str(error)))
            return
        if isinstance(message, Auth):
            self._authenticate(message)
        elif not self.authenticated:
            self._end(*CloseReason.NO_TOKEN)
        elif isinstance(message, Subscribe):
            self._subscribe(message)
        elif isinstance(message, Unsubscribe):
            self._unsubscribe(message)
        elif isinstance(message, Ping):
            self._reply(Pong(id=message.id, now_ns=time.time_ns()))

    def each_second(self) -> None:
        """Renew the allowance of messages, and tell a client that reads slowly what it missed."""
        self._messages_left = MAX_MESSAGES_PER_SECOND
        if self.outbox.conflated > self._told_conflated and not self.outbox.waiting_events:
            self._told_conflated = self.outbox.conflated
            self._reply(self.lag())

    def lag(self) -> Lag:
        """Return how far behind this client is."""
        problem = self._rules.problem()
        return Lag(
            stale=bool(problem),
            stale_reason=problem,
            conflated=self.outbox.conflated,
            waiting_topics=self.outbox.waiting_topics,
            waiting_bytes=self.outbox.waiting_bytes,
        )

    def tell_lag(self) -> None:
        """Tell the client how far behind things are."""
        self._reply(self.lag())

    def _say_hello(self) -> None:
        problem = self._rules.problem()
        self._reply(
            Hello(
                version=__version__,
                started_ns=self._rules.started_ns,
                authenticated=self.authenticated,
                client=self.client or "",
                max_subscriptions=MAX_SUBSCRIPTIONS,
                max_updates_per_second=self._rules.max_updates_per_second,
                stale=bool(problem),
                stale_reason=problem,
            )
        )

    def _authenticate(self, message: Auth) -> None:
        if self.authenticated:
            self._reply(ErrorMessage(id=message.id, message="this connection is already authenticated"))
            return
        self.client = self._rules.tokens.name_of(message.token)
        if self.client is None:
            self._end(*CloseReason.UNAUTHORIZED)
            return
        self._hub.add(self)
        self._say_hello()

    def _subscribe(self, message: Subscribe) -> None:
        try:
            patterns = [parse_pattern(text) for text in message.topics]
        except TopicError as error:
            self._reply(ErrorMessage(id=message.id, message=str(error)))
            return
        if not patterns:
            self._reply(
                ErrorMessage(id=message.id, message='"topics" is empty; write for example ["boards/us-stocks/*"]')
            )
            return
        wanted = {*self._hub.patterns_of(self), *(pattern.text for pattern in patterns)}
        if len(wanted) > MAX_SUBSCRIPTIONS:
            text = f"more than {MAX_SUBSCRIPTIONS} subscriptions; use a pattern such as boards/us-stocks/*, or unsubscribe others"
            self._reply(ErrorMessage(id=message.id, message=text))
            return
        topics = self._hub.match(self, patterns)
        self._reply(
            Subscribed(
                id=message.id,
                subscriptions=self._hub.patterns_of(self),
                topics=topics,
                hints=_hints(patterns, list(self._hub.topics)),
            )
        )
        self._hub.begin(self, topics)

    def _unsubscribe(self, message: Unsubscribe) -> None:
        self._hub.leave(self, message.topics or self._hub.patterns_of(self))
        self._reply(Unsubscribed(id=message.id, subscriptions=self._hub.patterns_of(self)))

    def _reply(self, message: Struct) -> None:
        if self.outbox.add_event(encode_frame(message)):
            self.wake()
        else:
            self.overflow()

    def fail(self, request_id: RequestId, text: str) -> None:
        """Tell the client of an error that the socket found."""
        self._reply(ErrorMessage(id=request_id, message=text))


def _hints(patterns: Sequence[Pattern], topics: Sequence[str]) -> list[str]:
    """Say for each pattern that matches nothing yet what it might have meant; quotes come as they are asked for."""
    hints = []
    for pattern in patterns:
        if pattern.text.startswith("quotes/") or any(pattern.matches(topic) for topic in topics):
            continue
        close = difflib.get_close_matches(pattern.text, topics, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        hints.append(f"{pattern.text} matches nothing yet{meant}")
    return hints
