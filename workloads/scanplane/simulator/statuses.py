"""What the provider says of a connection itself, word for word."""

from collections.abc import Sequence

import msgspec

from scanplane.feeds.massive.messages import StatusMessage

__all__ = [
    "AUTHENTICATED",
    "AUTHENTICATION_FAILED",
    "AUTHENTICATION_TIMED_OUT",
    "CONNECTED",
    "MAX_CONNECTIONS",
    "NOT_JSON",
    "SLOW_CONSUMER",
    "TOO_MANY_QUOTES",
    "encode_statuses",
    "not_authorized",
    "subscribed",
    "unsubscribed",
]

CONNECTED = StatusMessage(status="connected", message="Connected Successfully")
AUTHENTICATED = StatusMessage(status="auth_success", message="authenticated")
AUTHENTICATION_FAILED = StatusMessage(status="auth_failed", message="authentication failed")
AUTHENTICATION_TIMED_OUT = StatusMessage(status="auth_timeout", message="No authentication request received.")
MAX_CONNECTIONS = StatusMessage(
    status="max_connections", message="Maximum number of websocket connections exceeded. Connection limit reached."
)
SLOW_CONSUMER = StatusMessage(status="slow_consumer", message="The client reads too slowly and is disconnected.")
NOT_JSON = StatusMessage(status="error", message="Invalid JSON")
TOO_MANY_QUOTES = StatusMessage(status="error", message="Maximum number of quote subscriptions exceeded: 1000.")

_ENCODER = msgspec.json.Encoder()


def subscribed(topic: str) -> StatusMessage:
    """The answer to an accepted topic."""
    return StatusMessage(status="success", message=f"subscribed to: {topic}")


def unsubscribed(topic: str) -> StatusMessage:
    """The answer to a topic that is given up."""
    return StatusMessage(status="success", message=f"unsubscribed to: {topic}")


def not_authorized(topic: str) -> StatusMessage:
    """The answer to a topic that the account has no right to."""
    return StatusMessage(status="error", message=f"not authorized to subscribe to: {topic}")


def encode_statuses(statuses: Sequence[StatusMessage]) -> str:
    """Return the frame that holds *statuses*."""
    return _ENCODER.encode(statuses).decode()
