"""A cluster for the session's tests of the operator; each test takes a namespace of its own, or an operator of its own."""

from collections.abc import Iterator

import pytest

from support.operator_process import OperatorProcess
from support.operator_site import OperatorCluster, running_cluster

__all__ = ["operator", "operator_cluster"]


@pytest.fixture(scope="session")
def operator_cluster() -> Iterator[OperatorCluster]:
    """The session's cluster; never take its API server away."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def operator(operator_cluster: OperatorCluster) -> Iterator[OperatorProcess]:
    """An operator for all namespaces that looks often, with the permissions of its design and no other."""
    settings = {"RESYNC_SECONDS": 2, "SECRETS_SECONDS": 0.5, "FIGURES_SECONDS": 1}
    with operator_cluster.operator(**settings) as process:
        yield process
        assert not process.records(containing="Traceback"), process.text()[-4000:]
