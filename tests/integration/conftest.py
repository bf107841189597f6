"""Real servers for the integration tests; see ``support.server_fixtures``."""

from support.operator_fixtures import *  # noqa: F403  # fixtures are found by their names
from support.server_fixtures import *  # noqa: F403
