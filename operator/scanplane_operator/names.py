"""What things are called: labels, annotations, object names. See ``docs/design/0006-operator.md``."""

from typing import Any

from scanplane.plan.configuration import (
    AnalyzerConfiguration,
    ListenerConfiguration,
    RoleConfiguration,
    role_of,
)
from scanplane.plan.inventory import ResourceKey
from scanplane.plan.services import DEFAULT_NAME
from scanplane.resources.kinds import Kind

__all__ = [
    "APPLIED",
    "CHANGE_CAUSE",
    "COMPONENT",
    "CONFIGURATION",
    "FEED",
    "FIELD_MANAGER",
    "INSTANCE",
    "MANAGED_BY",
    "MARKET",
    "POD_SETTINGS",
    "RESTART_REASON",
    "REVISION",
    "STATUS_MANAGER",
    "labels_of",
    "metadata_of",
    "object_name",
    "owner_of",
    "selector_of",
    "selector_text",
]

FIELD_MANAGER = "scanplane-operator"
STATUS_MANAGER = "scanplane-operator-status"

_NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
INSTANCE = "app.kubernetes.io/instance"
MANAGED_BY = "app.kubernetes.io/managed-by"

FEED = "scanplane.io/feed"
MARKET = "scanplane.io/market"
"""Labels that say whose listener or analyzer it is."""

APPLIED = "scanplane.io/applied"
"""On every child: digest of what was wanted when it was written last."""

CONFIGURATION = "scanplane.io/configuration"
"""On a pod template: hash of the role's configuration."""

REVISION = "scanplane.io/revision"
"""On a pod template: hash of all that a process starts with, configuration, image and pod settings."""

POD_SETTINGS = "scanplane.io/pod-settings"
"""On a Deployment: digests of what DataPlane and Market ask of its pods, the image aside."""

RESTART_REASON = "scanplane.io/restart-reason"
"""On a pod template: why it took the place of the one before."""

CHANGE_CAUSE = "kubernetes.io/change-cause"
"""On a Deployment: what ``kubectl rollout history`` shows."""


def object_name(configuration: RoleConfiguration) -> str:
    """Return the name of a role instance's Deployment, and the beginning of its other objects' names."""
    return f"scanplane-{configuration.name}"


def owner_of(configuration: RoleConfiguration) -> ResourceKey:
    """Return the resource that a role instance belongs to and goes with."""
    match configuration:
        case ListenerConfiguration(feed=feed):
            return ResourceKey(Kind.FEED, feed)
        case AnalyzerConfiguration(market=market):
            return ResourceKey(Kind.MARKET, market)
        case _:
            return ResourceKey(Kind.DATA_PLANE, DEFAULT_NAME)


def labels_of(configuration: RoleConfiguration) -> dict[str, str]:
    """Return the labels of every object of a role instance, its pods included."""
    labels = {
        _NAME: "scanplane",
        COMPONENT: role_of(configuration),
        INSTANCE: configuration.name,
        MANAGED_BY: FIELD_MANAGER,
    }
    match configuration:
        case ListenerConfiguration(feed=feed):
            labels[FEED] = feed
        case AnalyzerConfiguration(market=market):
            labels[MARKET] = market
        case _:
            pass
    return labels


def selector_of(configuration: RoleConfiguration) -> dict[str, str]:
    """Return the labels that tell a role instance's pods from all others."""
    return {_NAME: "scanplane", INSTANCE: configuration.name}


def selector_text(labels: dict[str, str]) -> str:
    """Return a label selector as the API and the scale subresource take it."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def metadata_of(
    configuration: RoleConfiguration, name: str, namespace: str, owner: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the metadata of a child; *owner* is an owner reference."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": labels_of(configuration)}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    return metadata
