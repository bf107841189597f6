"""The API server away, hanging, without our definitions: the operator waits, says so once, goes on, and ends when told to."""

import signal
import time
from collections.abc import Iterator

import pytest

from support.findings import say
from support.operator_documents import namespace_of_everything, scanner
from support.operator_process import OperatorProcess, wait_until
from support.operator_site import OperatorCluster, Site, install_crds, running_cluster

pytestmark = [pytest.mark.server, pytest.mark.timeout(50 * 60)]  # the first run may have to build kube-apiserver

AWAY_S = 60.0
ENDS_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[OperatorCluster]:
    """A cluster of this module's own, since its API server is taken away; without definitions at first."""
    with running_cluster(crds=False) as cluster:
        yield cluster


def said(operator: OperatorProcess) -> list[str]:
    """Return every warning and error, and what is no record at all."""
    levels = {"warning", "error", "critical", "unstructured"}
    return [str(each["message"]) for each in operator.records() if str(each["level"]).lower() in levels]


def ended(operator: OperatorProcess, when: str) -> None:
    """End it and check that it does so in order, and soon."""
    began = time.monotonic()
    code = operator.end(signal.SIGTERM, ENDS_WITHIN_S)
    say(f"\nSIGTERM {when}: ended with {code} after {time.monotonic() - began:.1f} s")
    assert code == 0, operator.text()[-3000:]
    assert "Traceback" not in operator.text()


def test_without_definitions_it_waits_and_goes_on_when_they_come(cluster: OperatorCluster) -> None:
    kubeconfig = cluster.kubeconfig()
    with cluster.operator(kubeconfig) as operator:
        wait_until(lambda: said(operator), "it says what it waits for")
        assert operator.probe("/readyz") == 503
        assert operator.probe("/healthz") == 200
        ended(operator, "while the definitions are missing")
        assert len(said(operator)) == 1
        say(f"\n{said(operator)[0]}")
        assert "install the CRDs" in said(operator)[0]
    with cluster.operator(kubeconfig) as operator:
        wait_until(lambda: said(operator), "it says what it waits for")
        install_crds(cluster.server)
        wait_until(lambda: operator.probe("/readyz") == 200, "ready")
        cluster.site(*namespace_of_everything()).wait_ready()
        assert len(said(operator)) == 1


def test_definitions_of_before_are_told_and_make_it_unready(cluster: OperatorCluster) -> None:
    install_crds(cluster.server)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/feeds.scanplane.io"
    definition = cluster.request("GET", path)
    fields = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    del fields["lastRestart"], definition["metadata"]["managedFields"]
    cluster.request("PUT", path, definition)
    wanted = "older than this operator and drop Feed status.lastRestart"
    with cluster.operator(RESYNC_SECONDS=1) as operator:
        site = cluster.site(*namespace_of_everything())
        wait_until(lambda: any(wanted in line for line in said(operator)), "it says what is dropped")
        site.wait_ready()
        before = site.revisions()["listener-massive"]
        site.edit("Feed", "massive", maxConnections=2, massive={"feed": "Delayed"})
        wait_until(lambda: site.revisions()["listener-massive"] > before, "the work goes on all the same")
        response = operator.get("/readyz")
        assert response is not None
        assert response.status_code == 503
        assert wanted in response.text
        install_crds(cluster.server)
        wait_until(lambda: operator.probe("/readyz") == 200, "ready with the new definitions")
        assert len([line for line in said(operator) if wanted in line]) == 1


def outlive(operator: OperatorProcess, seconds: float) -> set[int]:
    """Look at the probes for as long; return every answer of the liveness probe."""
    answers: set[int] = set()
    until = time.monotonic() + seconds

    def look() -> bool:
        answers.add(operator.probe("/healthz"))
        return time.monotonic() > until

    wait_until(look, "the outage ends", seconds + 30, every_s=0.5)
    assert operator.probe("/readyz") == 503
    return answers


def generation(site: Site) -> int:
    """Return how often what the analyzer's Deployment asks for was changed."""
    return int(site.get("Deployment", "scanplane-analyzer-us-stocks-0")["metadata"]["generation"])


@pytest.fixture(scope="module")
def settled(cluster: OperatorCluster) -> Iterator[tuple[OperatorProcess, Site]]:
    install_crds(cluster.server)
    with cluster.operator(RESYNC_SECONDS=5) as operator:
        site = cluster.site(*namespace_of_everything())
        site.wait_ready()
        yield operator, site


@pytest.mark.parametrize("how", ["gone", "hanging"])
def test_an_api_server_that_is_away_for_a_minute(
    cluster: OperatorCluster, settled: tuple[OperatorProcess, Site], how: str
) -> None:
    operator, site = settled
    before = len(said(operator))
    server = cluster.server.process
    if how == "gone":
        server.kill()
    else:
        server.suspend()
    try:
        wait_until(lambda: operator.probe("/readyz") == 503, "not ready", 60)
        answers = outlive(operator, AWAY_S)
    finally:
        if how == "gone":
            server.start()
        else:
            server.resume()
    began = time.monotonic()
    wait_until(lambda: operator.probe("/readyz") == 200, "ready again", 60)
    recovered = time.monotonic() - began
    version = generation(site)
    site.edit("Scanner", "gappers", where=f"price > 7.{len(how)}")
    wait_until(lambda: generation(site) == version + 1, "a change is applied", 60)
    applied = time.monotonic() - began
    site.wait_ready(within_s=90)  # Kubernetes' own controllers take their time to come back
    lines = said(operator)[before:]
    say(
        f"\n{how} for {AWAY_S:.0f} s: {len(lines)} lines of warnings; ready {recovered:.1f} s, a change applied {applied:.1f} s"
    )
    say(f"after it was back: {lines}")
    assert answers == {200}
    assert len(lines) <= 6, lines
    assert operator.records(containing="is reconciled again")


def test_it_ends_in_order_whatever_it_does(cluster: OperatorCluster, settled: tuple[OperatorProcess, Site]) -> None:
    kubeconfig = cluster.kubeconfig()
    site = settled[1]
    with cluster.operator(kubeconfig) as operator:
        wait_until(lambda: operator.passes(site.namespace), "a pass")
        ended(operator, "at rest")
    with cluster.operator(kubeconfig) as operator:
        wait_until(lambda: operator.passes(site.namespace), "a pass")
        cluster.server.process.suspend()
        try:
            operator.child.send(signal.SIGCONT)  # nothing to it but a moment in which it looks at Secrets
            ended(operator, "while the API server hangs")
        finally:
            cluster.server.process.resume()
    with cluster.operator(kubeconfig, RESYNC_SECONDS=1) as operator:
        wait_until(lambda: operator.passes(site.namespace), "a pass")
        site.apply(*(scanner(f"more-{number}") for number in range(20)))
        ended(operator, "in a pass")
    cluster.server.process.kill()
    try:
        with cluster.operator(kubeconfig) as operator:
            wait_until(lambda: said(operator), "it says that nobody answers")
            assert operator.probe("/healthz") == 200
            ended(operator, "without an API server")
            assert len(said(operator)) == 1, said(operator)
    finally:
        cluster.server.process.start()
