"""The same real servers as the integration tests have."""

from support.server_fixtures import *  # noqa: F403  # fixtures are found by their names
