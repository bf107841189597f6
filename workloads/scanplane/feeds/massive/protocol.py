"""The provider's conversation as a state machine without I/O: statuses in, messages to send and failures out.

    connected -> auth -> auth_success -> subscribe -> one "subscribed to" per topic -> streaming

Two traps of the real service. A topic that it does not know, or that the account may not have, gets no answer at all,
so answers are counted against what was asked. And ``max_connections`` comes late, after the acknowledgements, when
everything looks well: it is a failure in every phase.
"""

import enum
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from scanplane.feeds.interface import ConnectionPhase
from scanplane.feeds.massive.messages import Action, StatusMessage
from scanplane.feeds.massive.topics import batches_of

__all__ = ["Failure", "FailureKind", "MassiveSession", "Step", "one_line", "statuses_in"]

_MAX_TEXT = 200


class FailureKind(enum.StrEnum):
    """Why a connection ended, as far as it matters for the next one."""

    LOST = "Lost"
    HANDSHAKE_TIMEOUT = "HandshakeTimeout"
    AUTHENTICATION = "Authentication"
    CONNECTION_LIMIT = "ConnectionLimit"


class Failure(Struct, frozen=True):
    """The end of a connection; ``detail`` is one line for people, without secrets."""

    kind: FailureKind
    detail: str


class Step(Struct, frozen=True):
    """What to do now: texts to send, in order, and the failure, if any, for which the connection is to be closed."""

    send: tuple[str, ...] = ()
    failure: Failure | None = None


_NOTHING = Step()
_FAILED_STATUSES = {
    "auth_failed": FailureKind.AUTHENTICATION,
    "auth_timeout": FailureKind.HANDSHAKE_TIMEOUT,
    "max_connections": FailureKind.CONNECTION_LIMIT,
}
_ORDINARY_STATUSES = frozenset({"connected", "auth_success", "success"})


class MassiveSession:
    """One connection's conversation, from ``connected`` on. Make a new one for each connection."""

    def __init__(self, api_key: str, topics: Sequence[str]) -> None:
        self._api_key = api_key
        self._topics = tuple(topics)
        self._pending = {_comparable(topic): topic for topic in topics}
        self._phase = ConnectionPhase.CONNECTING
        self._notice = ""

    @property
    def phase(self) -> ConnectionPhase:
        """How far the conversation is."""
        return self._phase

    @property
    def notice(self) -> str:
        """The newest complaint of the provider that did not end the connection; empty where there is none."""
        return self._notice

    @property
    def unacknowledged(self) -> tuple[str, ...]:
        """Asked topics without an answer, in the order they were asked; empty until the wait for answers is over."""
        return tuple(self._pending.values()) if self._phase is ConnectionPhase.STREAMING else ()

    def receive(self, statuses: Sequence[StatusMessage]) -> Step:
        """Take statuses of one frame, in order. After the first failure nothing more is sent."""
        send: list[str] = []
        for status in statuses:
            step = self._receive_one(status)
            send.extend(step.send)
            if step.failure is not None:
                return Step(tuple(send), step.failure)
        return Step(tuple(send)) if send else _NOTHING

    def expire(self) -> Step:
        """Take note that the provider's time for the present phase is over."""
        match self._phase:
            case ConnectionPhase.CONNECTING:
                return self._silence("it did not greet")
            case ConnectionPhase.AUTHENTICATING:
                return self._silence("it did not answer to the API key")
            case ConnectionPhase.SUBSCRIBING:
                self._phase = ConnectionPhase.STREAMING
            case _:
                pass
        return _NOTHING

    def _receive_one(self, status: StatusMessage) -> Step:
        if (kind := _FAILED_STATUSES.get(status.status)) is not None:
            return Step(failure=Failure(kind, f"the provider said {self._quoted(status)}"))
        if status.status == "connected" and self._phase is ConnectionPhase.CONNECTING:
            self._phase = ConnectionPhase.AUTHENTICATING
            return Step((_encode("auth", self._api_key),))
        if status.status == "auth_success" and self._phase is ConnectionPhase.AUTHENTICATING:
            self._phase = ConnectionPhase.SUBSCRIBING if self._pending else ConnectionPhase.STREAMING
            return Step(tuple(_encode("subscribe", params) for params in batches_of(self._topics)))
        if status.status == "success":
            self._acknowledge(status.message)
        elif status.status not in _ORDINARY_STATUSES:
            self._notice = f"the provider said {self._quoted(status)}"
        return _NOTHING

    def _acknowledge(self, message: str) -> None:
        verb, _, topics = message.partition(":")
        if verb.strip().lower() != "subscribed to":
            return
        for topic in topics.split(","):
            self._pending.pop(_comparable(topic.strip()), None)
        if not self._pending and self._phase is ConnectionPhase.SUBSCRIBING:
            self._phase = ConnectionPhase.STREAMING

    def _silence(self, what: str) -> Step:
        return Step(failure=Failure(FailureKind.HANDSHAKE_TIMEOUT, f"the provider is silent: {what}"))

    def _quoted(self, status: StatusMessage) -> str:
        return f"{one_line(status.status, self._api_key)}: {one_line(status.message, self._api_key)}"


def statuses_in(frame: bytes) -> tuple[list[StatusMessage], bool]:
    """Return the status messages of *frame* and whether it holds, or may hold, anything else."""
    try:
        value = msgspec.json.decode(frame)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return [], True
    elements = value if isinstance(value, list) else [value]
    statuses = []
    for element in elements:
        if isinstance(element, dict) and element.get("ev") == "status":
            status, message = element.get("status"), element.get("message")
            statuses.append(
                StatusMessage(
                    status=status if isinstance(status, str) else "",
                    message=message if isinstance(message, str) else "",
                )
            )
    return statuses, len(statuses) < len(elements)


def one_line(text: str, secret: str) -> str:
    """Return *text* as one short printable line in which *secret* does not occur."""
    if secret:
        text = text.replace(secret, "***")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 3] + "..."


def _comparable(topic: str) -> str:
    """Currency pairs are asked for with a dash and written with a slash in data; either is taken in an answer."""
    return topic.replace("/", "-")


def _encode(action: str, params: str) -> str:
    return msgspec.json.encode(Action(action=action, params=params)).decode()
