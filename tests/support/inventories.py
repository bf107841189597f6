"""Inventories from YAML texts, for tests of the planner and of what builds on it."""

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from scanplane.plan.inventory import Home, Inventory
from scanplane.resources.kinds import KINDS, Kind

__all__ = ["US_STOCKS", "inventory_of"]

US_STOCKS = """
apiVersion: scanplane.io/v1alpha1
kind: Feed
metadata: {name: massive}
spec:
  provider: Massive
  massive: {feed: RealTime, apiKeySecretRef: {name: massive, key: apiKey}}
---
apiVersion: scanplane.io/v1alpha1
kind: Market
metadata: {name: us-stocks}
spec:
  assetClass: Stocks
  sessions: {premarket: "04:00", postmarket: "20:00"}
  reference: {previousClose: Provider, volumeCurve: File, file: {volumeCurve: curve.csv}}
---
apiVersion: scanplane.io/v1alpha1
kind: Subscription
metadata: {name: us-stocks-seconds}
spec:
  feedRef: {name: massive}
  marketRef: {name: us-stocks}
  channels: [SecondAggregates]
  symbols: ["*"]
---
apiVersion: scanplane.io/v1alpha1
kind: Scanner
metadata: {name: top-gappers}
spec:
  marketRef: {name: us-stocks}
  where: price >= 2.0 && gap_percent >= 4.0
  board: {rankBy: gap_percent, limit: 20}
  signal: {when: new_high_of_day, cooldown: 60s}
"""

_GROUPS = {
    Kind.DATA_PLANE: "data_planes",
    Kind.FEED: "feeds",
    Kind.MARKET: "markets",
    Kind.SUBSCRIPTION: "subscriptions",
    Kind.SCANNER: "scanners",
}


def inventory_of(
    text: str, *, secrets: Mapping[str, Mapping[str, str]] | None = None, **fields: Any
) -> Inventory:  # any field of an Inventory
    """Return the inventory that holds the documents of *text*; a later document of the same name replaces an earlier one."""
    groups: dict[str, dict[str, Any]] = {group: {} for group in _GROUPS.values()}
    for document in yaml.safe_load_all(text):
        kind = Kind(document["kind"])
        resource = msgspec.convert({key: document[key] for key in ("metadata", "spec")}, KINDS[kind].model)
        groups[_GROUPS[kind]][resource.metadata.name] = resource
    return Inventory(
        namespace=fields.pop("namespace", "default"),
        home=fields.pop("home", Home.LOCAL),
        secrets={"massive": {"apiKey": "digest-1"}} if secrets is None else secrets,
        **{group: tuple(resources.values()) for group, resources in groups.items()},
        **fields,
    )
