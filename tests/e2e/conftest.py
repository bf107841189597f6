"""The same real servers as the integration tests have."""

import pytest

from support.server_fixtures import *  # noqa: F403  # fixtures are found by their names


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every journey on a busy machine the time that it takes; the limit only ends one that hangs."""
    for item in items:
        if item.get_closest_marker("journey"):
            item.add_marker(pytest.mark.timeout(1500))
