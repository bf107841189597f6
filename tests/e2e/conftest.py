"""The same real servers as the integration tests have, and a real cluster."""

import pytest

from support.cluster_fixtures import *  # noqa: F403  # fixtures are found by their names
from support.server_fixtures import *  # noqa: F403  # as above


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every journey on a busy machine the time that it takes; the limit only ends one that hangs."""
    for item in items:
        # Who asks for the cluster first may have to wait until its programs are built.
        if item.get_closest_marker("journey") or "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(1500))
