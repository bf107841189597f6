"""Resources and Secrets for tests of the operator, as the API takes them."""

import base64
from collections.abc import Mapping
from typing import Any

__all__ = [
    "PLURALS",
    "SECRET_VALUES",
    "config_map",
    "data_plane",
    "feed",
    "market",
    "namespace_of_everything",
    "scanner",
    "secret",
    "subscription",
]

Document = dict[str, Any]

PLURALS = {
    "DataPlane": ("scanplane.io/v1alpha1", "dataplanes"),
    "Feed": ("scanplane.io/v1alpha1", "feeds"),
    "Market": ("scanplane.io/v1alpha1", "markets"),
    "Subscription": ("scanplane.io/v1alpha1", "subscriptions"),
    "Scanner": ("scanplane.io/v1alpha1", "scanners"),
    "ConfigMap": ("v1", "configmaps"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "Pod": ("v1", "pods"),
    "ResourceQuota": ("v1", "resourcequotas"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "Deployment": ("apps/v1", "deployments"),
    "ReplicaSet": ("apps/v1", "replicasets"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "Event": ("events.k8s.io/v1", "events"),
    "Role": ("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings"),
}
"""How the API names the kinds that tests ask for."""

SECRET_VALUES = {
    "massive": {"apiKey": "opened-sesame-4711"},
    "services": {
        "brokerUrl": "amqp://scanplane:velvet-hammer-23@broker:5672/",
        "cacheUrl": "redis://:copper-lantern-42@cache:6379/0",
    },
    "clients": {"trader": "token-of-a-trader-99"},
}
"""Values that must be seen in no log, event, status or ConfigMap."""


def _document(kind: str, name: str, **body: object) -> Document:
    return {"apiVersion": PLURALS[kind][0], "kind": kind, "metadata": {"name": name}, **body}


def secret(name: str, values: Mapping[str, str]) -> Document:
    """Return a Secret."""
    return _document(
        "Secret", name, data={key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    )


def config_map(name: str, values: Mapping[str, str]) -> Document:
    """Return a ConfigMap of the user's."""
    return _document("ConfigMap", name, data=dict(values))


def data_plane(**spec: object) -> Document:
    """Return the DataPlane; *spec* over what every test needs."""
    services = {
        "broker": {"urlSecretRef": {"name": "services", "key": "brokerUrl"}},
        "cache": {"urlSecretRef": {"name": "services", "key": "cacheUrl"}},
    }
    return _document("DataPlane", "default", spec={**services, **spec})


def feed(name: str = "massive", **massive: object) -> Document:
    """Return a Feed of the real provider; the account allows as many connections as there can be."""
    key = {"apiKeySecretRef": {"name": "massive", "key": "apiKey"}}
    settings = {"feed": "RealTime", **key, **massive}
    return _document("Feed", name, spec={"provider": "Massive", "maxConnections": 100, "massive": settings})


def market(name: str = "us-stocks", **spec: object) -> Document:
    """Return a Market of one partition."""
    sessions = {"premarket": "04:00", "postmarket": "20:00"}
    return _document("Market", name, spec={"assetClass": "Stocks", "calendar": "XNYS", "sessions": sessions, **spec})


def subscription(name: str, feed_name: str = "massive", market_name: str = "us-stocks", **spec: object) -> Document:
    """Return a Subscription to every symbol's seconds."""
    references = {"feedRef": {"name": feed_name}, "marketRef": {"name": market_name}}
    return _document(
        "Subscription", name, spec={**references, "channels": ["SecondAggregates"], "symbols": ["*"], **spec}
    )


def scanner(name: str, market_name: str = "us-stocks", **spec: object) -> Document:
    """Return a Scanner with a board."""
    board = {"rankBy": "volume", "limit": 20}
    return _document(
        "Scanner", name, spec={"marketRef": {"name": market_name}, "where": "price > 1.0", "board": board, **spec}
    )


def namespace_of_everything() -> list[Document]:
    """Return one feed, one market, one subscription, two scanners, and what they refer to."""
    return [
        *(secret(name, values) for name, values in SECRET_VALUES.items()),
        data_plane(),
        feed(),
        market(),
        subscription("seconds"),
        scanner("top-volume"),
        scanner("gappers", where="gap_percent >= 4.0"),
    ]
