"""The probes over HTTP: a loop that is dead makes the operator's liveness fail, one that fails or waits does not."""

import time
from typing import Any

import aiohttp
import httpx
import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from scanplane.resources.data_plane import LogLevel
from scanplane.telemetry.listening import bind
from scanplane.telemetry.server import Probes, serve_probes
from scanplane_operator.api import Api
from scanplane_operator.liveness import Heart
from scanplane_operator.loops import LoopState, NamespaceLoops
from scanplane_operator.observing import Observer
from scanplane_operator.reconcile import Reconciler
from scanplane_operator.reports import Reporter
from scanplane_operator.settings import PodSettings, Settings
from support.operator_process import OperatorProcess, wait_until
from support.operator_site import OperatorCluster

NOW = 0.0
LONG_AGO = 1000.0

CASES = [
    ("a loop that has just begun a pass", {"last_begun": NOW, "last_ended": LONG_AGO}, 200, 200),
    ("a loop that rests", {"last_begun": 30.0, "last_ended": 29.0}, 200, 200),
    ("a loop whose passes fail", {"last_begun": 1.0, "last_ended": 0.5, "problem": "nobody answers"}, 200, 503),
    ("a loop that waits for its turn", {"last_begun": LONG_AGO, "last_ended": LONG_AGO, "is_waiting": True}, 200, 200),
    ("a loop that is dead", {"last_begun": LONG_AGO, "last_ended": LONG_AGO}, 503, 200),
]


@pytest.mark.server
@pytest.mark.timeout(50 * 60)  # the first run may have to build kube-apiserver
def test_every_watch_of_kopf_is_looked_at(operator_cluster: OperatorCluster) -> None:
    def told(operator: OperatorProcess) -> str:
        response = operator.get("/healthz")
        assert response is not None
        return str(next(each["why"] for each in response.json()["checks"] if each["name"] == "watches"))

    with operator_cluster.operator() as everywhere:
        wait_until(lambda: told(everywhere) == "8 run", "five kinds of ours and three of children")
    with operator_cluster.operator(NAMESPACES="a,b", NETWORK_POLICIES="true") as in_two:
        wait_until(lambda: told(in_two) == "18 run", "nine kinds in each of two namespaces")


@pytest.mark.parametrize(("fields", "live", "ready"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
async def test_probes_tell_how_the_loops_are(fields: dict[str, Any], live: int, ready: int) -> None:
    settings = Settings(pods=PodSettings(image="image:1"), resync_s=120, log_level=LogLevel.INFO)
    async with ApiClient(Configuration(host="http://127.0.0.1:9")) as client, aiohttp.ClientSession() as session:
        api = Api(client)
        observer, reporter = Observer(api, ()), Reporter(session)
        loops = NamespaceLoops(settings, Reconciler(api, observer, reporter, settings.pods, "here"), observer, reporter)
        heart = Heart(loops, settings)
        heart.started = True
        now = time.monotonic()
        ages = {name: now - value for name, value in fields.items() if name.startswith("last_")}
        others = {name: value for name, value in fields.items() if name not in ages}
        loops.states["desk"] = LoopState(namespace="desk", **ages, **others)
        probes = Probes(
            live=heart.live, ready=heart.ready, status=lambda: b"{}", sample=lambda: None, metrics_text=lambda: b""
        )
        with bind("127.0.0.1", 0) as listener:
            async with serve_probes(listener, probes) as server, httpx.AsyncClient(trust_env=False) as http:
                url = f"http://127.0.0.1:{server.port}"
                assert (await http.get(f"{url}/healthz")).status_code == live
                assert (await http.get(f"{url}/readyz")).status_code == ready
