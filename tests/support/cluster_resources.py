"""Resources for journeys on a real cluster: a simulated provider's market with three boards."""

import json
from typing import Any

from support.scanners_namespace import SMALL, ScannersNamespace

__all__ = ["BOARDS", "DATA_PLANE", "EVERYTHING", "apply_resources", "resources"]

BOARDS = ("top-volume", "top-gainers", "leaders")
EVERYTHING = (
    "dataplane/default",
    "feed/massive",
    "market/us-stocks",
    "subscription/us-stocks-seconds",
    *(f"scanner/{name}" for name in BOARDS),
)

_RESOURCES = """
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: massive}
spec:
  provider: Massive
  label: recorded
  massive: {feed: RealTime, endpoint: "ENDPOINT", restEndpoint: "REST", apiKeySecretRef: {name: SECRET, key: apiKey}}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec:
  assetClass: Stocks
  sessions: {premarket: "04:00", postmarket: "CLOSE"}
  reference: {previousClose: Provider, averageVolume: Provider}
  analyzer: {evaluationInterval: INTERVAL}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: us-stocks-seconds}
spec:
  feedRef: {name: massive}
  marketRef: {name: us-stocks}
  channels: [SecondAggregates]
  symbols: ["*"]
  delivery: {timeToLive: 10m}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: top-volume}
spec:
  marketRef: {name: us-stocks}
  board: {rankBy: volume, limit: 50, columns: [price, change_percent, volume, vwap, high_of_day, low_of_day]}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: top-gainers}
spec:
  marketRef: {name: us-stocks}
  where: price >= 1.0 && volume > 10000.0
  board: {rankBy: change_percent, limit: 50, columns: [price, change_percent, gap_percent, volume, premarket_high]}
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: leaders}
spec:
  marketRef: {name: us-stocks}
  where: change_percent >= 3.0
  board: {rankBy: dollar_volume, limit: 20, columns: [price, change_percent, dollar_volume]}
  signal: {when: new_high_of_day, cooldown: 5m}
"""

DATA_PLANE: dict[str, Any] = {
    "apiVersion": "scanplane.io/v1alpha1",
    "kind": "DataPlane",
    "metadata": {"name": "default"},
    "spec": {
        "broker": {"urlSecretRef": {"name": "scanplane-services", "key": "brokerUrl"}},
        "cache": {"urlSecretRef": {"name": "scanplane-services", "key": "cacheUrl"}},
        "workloads": {role: {"resources": SMALL} for role in ("listener", "analyzer", "gateway")},
    },
}


def resources(endpoint: str, secret: str, *, interval: str = "5s", close: str = "20:00") -> str:
    """Return every resource but the DataPlane.

    *endpoint* is the provider's host and port; *interval* (of evaluations) and *close* (of the last session) are of its time.
    """
    text = _RESOURCES.replace("ENDPOINT", f"ws://{endpoint}").replace("REST", f"http://{endpoint}")
    return text.replace("SECRET", secret).replace("INTERVAL", interval).replace("CLOSE", close)


def apply_resources(scanners: ScannersNamespace, *, interval: str = "5s", close: str = "20:00") -> None:
    """Apply everything, for the simulated provider that the chart brings; see ``resources``."""
    scanners.kubectl("apply", "--filename", "-", document=json.dumps(DATA_PLANE))
    text = resources(
        f"scanplane-simulator.{scanners.namespace}:8765", "scanplane-simulator", interval=interval, close=close
    )
    scanners.kubectl("apply", "--filename", "-", document=text)
