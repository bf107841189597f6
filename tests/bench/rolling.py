"""A changed resource on a real node: from `kubectl patch` to the board that is made by the new configuration."""

import time
from contextlib import ExitStack
from itertools import pairwise

import httpx

from bench.report import Better, Figure, PartResult
from scanplane.resources.feed import MassiveFeedName
from support.cluster_choice import open_cluster
from support.cluster_resources import EVERYTHING, apply_resources
from support.scanners_namespace import ScannersNamespace, installed, wait_until

__all__ = ["measure"]

CHANGES = 9
PATIENCE_S = 60.0
_FEEDS = [name for name in MassiveFeedName if not name.startswith("Delayed")]
"""Each is another connection by way of the same endpoint: a change that no analyzer is concerned with."""

_MEANING = (
    "The chart on a real one-node Kubernetes on this machine, RabbitMQ, Redis and the simulated provider in pods; 200 bars a "
    "second. A Scanner's limit is patched until the gateway gives a board of that limit: the operator's pass, a new analyzer "
    "pod, its start beside the old one, the hand-over of baton and state, the first board. Then a Feed is patched: how long the "
    "provider has no connection, by its own book."
)


def measure() -> PartResult:
    """Install, change, ask."""
    with ExitStack() as stack:
        cluster = stack.enter_context(open_cluster())
        arguments = ["--rate", "200", "--symbols", "100", "--channel", "SecondAggregates"]
        values = {"simulator.enabled": True, "simulator.session": "load", "simulator.speed": 1}
        scanners = stack.enter_context(installed(cluster, {**values, "simulator.arguments": arguments}))
        apply_resources(scanners, interval="250ms")
        scanners.wait_ready(*EVERYTHING)
        wait_until(lambda: bool(scanners.board("top-volume")), "the first board")
        live = [_change_scanner(scanners, 20 + change) for change in range(CHANGES)]
        for change in range(CHANGES):
            scanners.patch("feed/massive", {"massive": {"feed": _FEEDS[change]}})
            scanners.wait_ready("feed/massive")
        book = scanners.simulator()
    gaps = [(after["openedNs"] - before["closedNs"]) / 1e6 for before, after in pairwise(book["log"])]
    return PartResult(
        title="Changes on a real node",
        meaning=_MEANING,
        figures=(
            Figure(name="changed Scanner to its new board", unit="s", values=tuple(live), better=Better.LESS, goal=3.0),
            Figure(
                name="provider without a connection, at a changed Feed",
                unit="ms",
                values=tuple(gaps),
                better=Better.LESS,
                goal=100.0,
                remark=f"{book['connections']['maximum']} connection at once at most",
            ),
        ),
    )


def _change_scanner(scanners: ScannersNamespace, limit: int) -> float:
    """Return the seconds from the patch to the first board that was made by it."""
    address = scanners.get("service/scanplane-gateway")["spec"]["clusterIP"]
    with httpx.Client(base_url=f"http://{address}:8080", timeout=5) as client:
        scanners.patch("scanner/top-volume", {"board": {"limit": limit}})
        began = time.monotonic()
        while client.get("/v1/boards/us-stocks/top-volume").json()["data"]["limit"] != limit:
            if time.monotonic() - began > PATIENCE_S:
                raise TimeoutError(f"no board of {limit} rows within {PATIENCE_S:.0f} s")
            time.sleep(0.02)
        elapsed = time.monotonic() - began
    scanners.wait_ready("scanner/top-volume", "market/us-stocks")
    return elapsed
