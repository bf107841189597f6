"""From a listener's configuration to its feed's connection."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from scanplane.feeds.interface import FeedConnection
from scanplane.feeds.massive.connection import MassiveFeedConnection
from scanplane.feeds.massive.topics import topics_of
from scanplane.feeds.replay.connection import ReplayFeedConnection
from scanplane.plan.configuration import ListenerConfiguration, MassiveConnection, SecretKey

__all__ = ["open_feed"]


def open_feed(
    configuration: ListenerConfiguration,
    read_secret: Callable[[SecretKey], str],
    files: Path,
    throttle: Callable[[], Awaitable[None]] | None = None,
) -> FeedConnection:
    """Return the connection that *configuration* asks for; nothing is opened before it runs.

    Relative paths start from *files*. *throttle* holds back a source that can wait
    (:class:`scanplane.feeds.replay.connection.ReplayFeedConnection`); a live one cannot.
    Raises what *read_secret* raises.
    """
    connection = configuration.connection
    if isinstance(connection, MassiveConnection):
        topics = topics_of(connection.asset_class, (route.channels for route in configuration.routes))
        return MassiveFeedConnection(connection.endpoint, read_secret(connection.api_key).strip(), topics)
    return ReplayFeedConnection(files / connection.path, connection.speed, throttle=throttle)
