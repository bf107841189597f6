"""From a listener's configuration to its feed's connection."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from scanplane.feeds.interface import FeedConnection
from scanplane.feeds.massive.connection import MassiveFeedConnection
from scanplane.feeds.massive.credentials import refusal_of
from scanplane.feeds.massive.topics import topics_of
from scanplane.feeds.replay.connection import ReplayFeedConnection
from scanplane.plan.configuration import ListenerConfiguration, MassiveConnection, SecretKey

__all__ = ["open_feed", "refused_access"]


def open_feed(
    configuration: ListenerConfiguration,
    read_secret: Callable[[SecretKey], str],
    files: Path,
    throttle: Callable[[], Awaitable[None]] | None = None,
) -> FeedConnection:
    """Return the connection that *configuration* asks for; nothing is opened before it runs.

    Relative paths start from *files*. *throttle* is awaited between frames: while it waits, a recording stops, and a
    provider's data stays in its own buffers, which is late but not lost until the provider's patience ends.
    Raises what *read_secret* raises.
    """
    connection = configuration.connection
    if isinstance(connection, MassiveConnection):
        topics = topics_of(connection.asset_class, (route.channels for route in configuration.routes))
        return MassiveFeedConnection(
            connection.endpoint, read_secret(connection.api_key).strip(), topics, throttle=throttle
        )
    return ReplayFeedConnection(files / connection.path, connection.speed, throttle=throttle)


async def refused_access(configuration: ListenerConfiguration, read_secret: Callable[[SecretKey], str]) -> str | None:
    """Return why the provider does not let us in, as far as that can be told without a connection; None otherwise."""
    connection = configuration.connection
    if isinstance(connection, MassiveConnection) and connection.rest_endpoint:
        return await refusal_of(connection.rest_endpoint, read_secret(connection.api_key).strip())
    return None
