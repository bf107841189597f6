"""``cluster``: a real Kubernetes for the whole session, with the image of this checkout in it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support import kubernetes_build
from support.cluster import Cluster
from support.cluster_choice import open_cluster


@pytest.fixture(scope="session", autouse=True)
def shown(pytestconfig: pytest.Config) -> Iterator[None]:
    """What is said is seen: pytest captures the very descriptors, so it is asked to let go meanwhile."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    if capture is None:
        yield
        return
    before, kubernetes_build.uncaptured = kubernetes_build.uncaptured, capture.global_and_fixture_disabled
    yield
    kubernetes_build.uncaptured = before


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
