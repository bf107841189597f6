"""A provider that holds the connection and sends nothing: the market is ticked on, and people are told that it is stale."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import UpProcess
from support.journeys import SimulatorProcess, wait_for

pytestmark = [pytest.mark.journey, pytest.mark.timeout(180)]

RESOURCES = """
apiVersion: v1
kind: Secret
metadata: {name: provider}
stringData: {apiKey: demo}
---
apiVersion: scanplane.io/v1alpha1
kind: DataPlane
metadata: {name: default}
spec: {gateway: {port: 0}}
---
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: simulated}
spec:
  provider: Massive
  massive: {endpoint: "URL", apiKeySecretRef: {name: provider, key: apiKey}}
  staleAfter: 3s
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec: {assetClass: Stocks, calendar: 24/7}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: everything}
spec: {feedRef: {name: simulated}, marketRef: {name: us-stocks}, channels: [Trades], symbols: ["*"]}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: volume}
spec: {marketRef: {name: us-stocks}, board: {rankBy: volume}}
"""


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[SimulatorProcess]:
    with SimulatorProcess(tmp_path, "load", "--rate", "100", "--symbols", "10") as simulator:
        yield simulator
        simulator.go_on()


def test_a_market_whose_feed_is_silent_grows_stale_and_recovers(provider: SimulatorProcess, tmp_path: Path) -> None:
    resources = tmp_path / "resources.yaml"
    resources.write_text(RESOURCES.replace("URL", provider.url))
    with UpProcess(tmp_path / "up.log", resources) as up:
        wait_for(lambda: freshness_of(up).get("stale") is False, "a fresh board")
        assert freshness_of(up)["staleAfterSeconds"] == 3.25
        provider.fall_silent()
        named = "Feed 'simulated' has sent nothing for "
        wait_for(lambda: freshness_of(up)["staleReason"].startswith(named), "a stale board that names its Feed")
        (market,) = (up.get("/v1/status") or {})["markets"]
        assert market["freshness"]["stale"]
        provider.go_on()
        wait_for(lambda: not freshness_of(up)["stale"], "a fresh board again")
        assert up.stop() == 0


def freshness_of(up: UpProcess) -> dict[str, Any]:
    board = up.get("/v1/boards/us-stocks/volume")
    return {} if board is None else dict(board["freshness"])
