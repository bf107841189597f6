"""The messages of ``/v1/stream``: one JSON object in each text frame, in both directions.

A client says what it wants with ``action``; the gateway answers with ``type``. Every topic begins with a ``snapshot`` and goes on
with ``update`` (boards, quotes, status) or ``signal`` messages. ``sequence`` counts the versions of a topic in this
gateway process: in a board a jump means that newer versions replaced older ones for a client that reads slowly; between signals
there is no jump, since a client that can't take every signal is disconnected.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from websockets.frames import Frame, Opcode

from scanplane.gateway.freshness import Freshness
from scanplane.gateway.topics import MAX_TOPIC_LENGTH

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Auth",
    "ClientMessage",
    "CloseReason",
    "ErrorMessage",
    "Hello",
    "Lag",
    "MessageError",
    "Ping",
    "Pong",
    "Removed",
    "Subscribe",
    "Subscribed",
    "TopicMessage",
    "Unsubscribe",
    "Unsubscribed",
    "decode_client_message",
    "encode_frame",
]

MAX_MESSAGE_BYTES = 65_536
"""A client's longest message."""

RequestId = str | int | None
_EXAMPLE = '{"action": "subscribe", "topics": ["boards/us-stocks/*"], "id": 1}'


class CloseReason:
    """Why the gateway closes a stream: WebSocket close codes, the ones from 4000 on being its own."""

    GOING_AWAY = (1001, "the gateway is stopping; connect again")
    POLICY = 1008
    UNSUPPORTED = (1003, "send text frames with JSON")
    TOO_SLOW = (4008, "too slow: signals no longer fit into the bytes kept for one client")
    UNAUTHORIZED = (4401, "the token is not known")
    NO_TOKEN = (4401, 'no token came; send {"action": "auth", "token": "..."} first')
    SILENT = (4408, "no answer to a ping")


class MessageError(ValueError):
    """A client's message can't be understood; the text says what to write."""


class Subscribe(Struct, frozen=True, tag="subscribe", tag_field="action", forbid_unknown_fields=True):
    """Ask for topics or patterns."""

    topics: list[str]
    id: RequestId = None


class Unsubscribe(Struct, frozen=True, tag="unsubscribe", tag_field="action", forbid_unknown_fields=True):
    """Take back topics or patterns as they were asked for; an empty list takes back all."""

    topics: list[str]
    id: RequestId = None


class Ping(Struct, frozen=True, tag="ping", tag_field="action", forbid_unknown_fields=True):
    """Ask for a pong (browsers can't send WebSocket pings)."""

    id: RequestId = None


class Auth(Struct, frozen=True, tag="auth", tag_field="action", forbid_unknown_fields=True):
    """Say who the client is; the first message where no header did."""

    token: str
    id: RequestId = None

    def __repr__(self) -> str:
        return "Auth(token=***)"


ClientMessage = Subscribe | Unsubscribe | Ping | Auth


class Hello(Struct, frozen=True, kw_only=True, tag="hello", tag_field="type", rename="camel"):
    """The first message. ``client`` is the name that the token stands for, empty without tokens or before ``auth``.

    ``started_ns`` tells gateways and their restarts apart: sequence numbers begin anew with another one.
    """

    version: str
    started_ns: int
    authenticated: bool
    client: str
    max_subscriptions: int
    max_updates_per_second: float
    stale: bool
    stale_reason: str = ""


class Subscribed(Struct, frozen=True, kw_only=True, tag="subscribed", tag_field="type", rename="camel"):
    """What is subscribed now, the topics that newly match (each begins with a snapshot), and hints on what matches nothing."""

    id: RequestId
    subscriptions: Sequence[str]
    topics: Sequence[str]
    hints: Sequence[str] = ()


class Unsubscribed(Struct, frozen=True, kw_only=True, tag="unsubscribed", tag_field="type", rename="camel"):
    """What is still subscribed."""

    id: RequestId
    subscriptions: Sequence[str]


class TopicMessage(Struct, frozen=True, kw_only=True, rename="camel"):
    """``snapshot``, ``update`` or ``signal``: a topic's content with its sequence number and freshness.

    ``data`` is a board, a quote, a status, a signal, or (in the snapshot of a signals topic) the newest signals, oldest first.
    """

    type: str
    topic: str
    sequence: int
    freshness: Freshness | None
    data: Any


class Lag(Struct, frozen=True, kw_only=True, tag="lag", tag_field="type", rename="camel"):
    """How far behind things are: whether the gateway lost its cache (``stale``), and what this client missed by reading slowly.

    ``conflated`` counts the versions that newer ones replaced since the connection was opened.
    """

    stale: bool
    stale_reason: str
    conflated: int
    waiting_topics: int
    waiting_bytes: int


class Removed(Struct, frozen=True, kw_only=True, tag="removed", tag_field="type", rename="camel"):
    """A topic is gone: its scanner was removed. Should it come back, it begins with a snapshot."""

    topic: str


class Pong(Struct, frozen=True, kw_only=True, tag="pong", tag_field="type", rename="camel"):
    """The answer to a ping; ``now_ns`` is the gateway's clock."""

    id: RequestId
    now_ns: int


class ErrorMessage(Struct, frozen=True, kw_only=True, tag="error", tag_field="type", rename="camel"):
    """A message was refused; the text says what to write. The connection stays open."""

    id: RequestId
    message: str


_DECODER: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_ENCODER = msgspec.json.Encoder()


def decode_client_message(text: bytes) -> ClientMessage:
    """Read a client's message. Raises MessageError."""
    try:
        message = _DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise MessageError(f"{error}; write for example {_EXAMPLE}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MessageError(f"this is no JSON; write for example {_EXAMPLE}") from None
    if isinstance(message, Subscribe | Unsubscribe):
        too_long = [topic for topic in message.topics if len(topic) > MAX_TOPIC_LENGTH]
        if too_long:
            raise MessageError(f"a topic has at most {MAX_TOPIC_LENGTH} characters")
    return message


def encode_frame(message: Struct) -> bytes:
    """Encode *message* as a whole WebSocket text frame, ready for the socket of any client.

    A server's frames are not masked, so the same bytes go to everybody.
    """
    return bytes(Frame(Opcode.TEXT, _ENCODER.encode(message)).serialize(mask=False))
