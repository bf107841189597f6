"""``cluster``: a real Kubernetes for the whole session, with the image of this checkout in it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support.cluster import Cluster
from support.cluster_choice import open_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The session's cluster; work in namespaces of your own (``cluster.namespace()``)."""
    with ExitStack() as stack:
        missing = ""
        try:
            yield stack.enter_context(open_cluster())
        except RuntimeError as error:
            missing = str(error)
        if missing:
            pytest.fail(missing, pytrace=False)
