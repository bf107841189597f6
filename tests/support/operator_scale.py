"""Many resources in many namespaces: what the operator does at rest, how soon a change is applied, what it holds."""

import json
import queue
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import httpx
from msgspec import Struct

from support.apiserver import ApiServer
from support.operator_documents import (
    SECRET_VALUES,
    Document,
    data_plane,
    feed,
    market,
    scanner,
    secret,
    subscription,
)
from support.operator_process import OperatorProcess, wait_until
from support.operator_site import RESOURCE_KINDS, OperatorCluster, Site, is_true

__all__ = ["ScaleResult", "measure_scale"]

FEEDS = MARKETS = 2
_APPLIED_AT_ONCE = 4


class ScaleResult(Struct, frozen=True, kw_only=True):
    """What was found. Seconds, mebibytes."""

    resources: int
    settled_s: float
    writes_at_rest: int
    rest_s: float
    applied_s: tuple[float, ...]
    passes: int
    resident_mebibytes: float
    resident_at_start_mebibytes: float


def desk(scanners: int) -> list[Document]:
    """Return one namespace's resources: a DataPlane, 2 Feeds, 2 Markets, 5 Subscriptions and its Scanners."""
    channels = ("SecondAggregates", "SecondAggregates", "MinuteAggregates", "MinuteAggregates", "Trades")
    return [
        *(secret(name, SECRET_VALUES[name]) for name in ("massive", "services")),
        data_plane(),
        *(feed(f"feed-{number}") for number in range(FEEDS)),
        *(market(f"market-{number}") for number in range(MARKETS)),
        *(
            subscription(
                f"subscription-{number}", f"feed-{number % FEEDS}", f"market-{number % MARKETS}", channels=[channel]
            )
            for number, channel in enumerate(channels)
        ),
        *(
            scanner(f"scanner-{number}", f"market-{number % MARKETS}", where=f"price > {number}.5 && volume > 1000.0")
            for number in range(scanners)
        ),
    ]


class _Generations:
    """Watches Deployments and tells when one asks for new pods."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._seen: queue.Queue[tuple[str, str, str, float]] = queue.Queue()
        self._revisions: dict[tuple[str, str], str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="generations", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def _watch(self) -> None:
        query = {"watch": "true", "labelSelector": "app.kubernetes.io/managed-by=scanplane-operator"}
        while not self._stop.is_set():
            try:
                with (
                    self._server.client() as http,
                    http.stream("GET", "/apis/apps/v1/deployments", params=query, timeout=None) as response,
                ):
                    for line in response.iter_lines():
                        if self._stop.is_set():
                            return
                        event = json.loads(line)
                        if event["type"] in {"ADDED", "MODIFIED"}:
                            self._see(event["object"])
            except (httpx.HTTPError, ValueError):
                self._stop.wait(0.2)

    def _see(self, deployment: dict[str, Any]) -> None:
        metadata = deployment["metadata"]
        place = (metadata["namespace"], metadata["name"])
        revision = deployment["spec"]["template"]["metadata"]["annotations"]["scanplane.io/revision"]
        if self._revisions.get(place) != revision:
            self._revisions[place] = revision
            self._seen.put((*place, revision, time.monotonic()))

    def forget(self) -> None:
        """Drop what was seen by now."""
        while not self._seen.empty():
            self._seen.get_nowait()

    def wait(self, namespace: str, name: str, within_s: float = 30.0) -> float:
        """Return when the Deployment asked for new pods."""
        deadline = time.monotonic() + within_s
        while True:
            seen = self._seen.get(timeout=max(0.01, deadline - time.monotonic()))
            if seen[:2] == (namespace, name):
                return seen[3]


def measure_scale(
    cluster: OperatorCluster, *, namespaces: int, scanners: int, changes: int, rest_s: float, seed: int = 1
) -> ScaleResult:
    """Make the resources, let them settle, rest, change one Scanner after the other."""
    with cluster.operator() as operator, _Generations(cluster.server) as generations:
        at_start = operator.resident_mebibytes()
        began = time.monotonic()
        sites = _make(cluster, namespaces, scanners)
        for site in sites:
            wait_until(lambda site=site: _is_ready(site), f"all of {site.namespace} Ready", 300, every_s=0.5)  # type: ignore[misc]
        settled_s = time.monotonic() - began
        wait_until_quiet(operator, sites)
        writes = _rest(cluster, operator, sites, rest_s)
        applied = _change(sites, generations, scanners, changes, random.Random(seed))
        return ScaleResult(
            resources=sum(len(site.resources()) for site in sites),
            settled_s=settled_s,
            writes_at_rest=writes,
            rest_s=rest_s,
            applied_s=tuple(applied),
            passes=sum(operator.passes(site.namespace) for site in sites),
            resident_mebibytes=operator.resident_mebibytes(),
            resident_at_start_mebibytes=at_start,
        )


def _make(cluster: OperatorCluster, namespaces: int, scanners: int) -> list[Site]:
    """Apply everything, a few namespaces at a time: one request after the other would be most of the time that all takes."""
    with ThreadPoolExecutor(max_workers=_APPLIED_AT_ONCE) as threads:
        return list(threads.map(lambda _: cluster.site(*desk(scanners)), range(namespaces)))


def _is_ready(site: Site) -> bool:
    """Whether every resource of a namespace is Ready: asked by kind, not a thousand times by name."""
    return all(is_true(each, "Ready") for kind in RESOURCE_KINDS for each in site.every(kind))


def wait_until_quiet(operator: OperatorProcess, sites: Sequence[Site]) -> None:
    """Wait until no namespace has had a pass for a moment."""
    wait_until(
        lambda: min(operator.status()[site.namespace]["lastPassAgeSeconds"] for site in sites) > 1.5,
        "a moment without a pass",
        60,
        every_s=0.5,
    )


def _rest(cluster: OperatorCluster, operator: OperatorProcess, sites: Sequence[Site], rest_s: float) -> int:
    before = sum(len(cluster.writes(site.namespace)) for site in sites)
    until = time.monotonic() + rest_s
    wait_until(lambda: time.monotonic() > until, "the rest is over", rest_s + 10, every_s=1.0)
    assert operator.child.running
    return sum(len(cluster.writes(site.namespace)) for site in sites) - before


def _change(
    sites: Sequence[Site], generations: _Generations, scanners: int, changes: int, choice: random.Random
) -> list[float]:
    found: list[float] = []
    for number in range(changes):
        site, one = choice.choice(sites), choice.randrange(scanners)
        generations.forget()
        began = time.monotonic()
        site.edit("Scanner", f"scanner-{one}", where=f"price > {number}.25")
        found.append(generations.wait(site.namespace, f"scanplane-analyzer-market-{one % MARKETS}-0") - began)
    return found
