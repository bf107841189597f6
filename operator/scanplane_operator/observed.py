"""What one pass of the operator saw of one namespace. Immutable; every decision is made from it alone."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from scanplane.plan.inventory import ResourceKey
from scanplane.telemetry.status import RoleStatus

__all__ = ["CHILD_KINDS", "Child", "ChildKind", "ObjectKey", "Observed", "PodPlace", "PodReport"]

Child = Mapping[str, Any]
"""An object as the API server gives it."""


class ChildKind(Struct, frozen=True):
    """A kind of object that the operator makes: how the API names it."""

    kind: str
    api_version: str
    plural: str

    @property
    def path(self) -> str:
        """Where the API serves it, before the namespace."""
        return f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"


CHILD_KINDS: Mapping[str, ChildKind] = {
    each.kind: each
    for each in (
        ChildKind("ConfigMap", "v1", "configmaps"),
        ChildKind("Service", "v1", "services"),
        ChildKind("Deployment", "apps/v1", "deployments"),
        ChildKind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
        ChildKind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
    )
}
"""In the order in which they are written: what a pod needs is there before it starts."""


class ObjectKey(Struct, frozen=True, order=True):
    """An object within the namespace; written ``Deployment/scanplane-gateway``."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


class PodPlace(Struct, frozen=True):
    """Where a pod can be asked: its role instance and its address."""

    uid: str
    instance: str
    address: str


class PodReport(Struct, frozen=True):
    """What a pod said of itself at ``taken_ns`` (host clock)."""

    pod_uid: str
    status: RoleStatus
    taken_ns: int


class Observed(Struct, frozen=True, kw_only=True):
    """A namespace.

    ``resources`` are ours as the API gave them; ``children`` are objects with our label; ``foreign`` are objects of others
    that bear a name which we would need; ``taken_back`` are Deployments whose version somebody else wrote last, as
    ``kubectl rollout undo`` does. ``secrets`` and ``config_maps`` hold a digest for each key of those that resources
    refer to. ``refused`` are writes of this pass that the API server refused, with its reason. ``reports`` are by role
    instance, the newest first.
    """

    namespace: str
    resources: Mapping[ResourceKey, Mapping[str, Any]]
    secrets: Mapping[str, Mapping[str, str]] = {}
    config_maps: Mapping[str, Mapping[str, str]] = {}
    children: Mapping[ObjectKey, Child] = {}
    foreign: frozenset[ObjectKey] = frozenset()
    taken_back: frozenset[ObjectKey] = frozenset()
    refused: Mapping[ObjectKey, str] = {}
    replica_sets: tuple[Child, ...] = ()
    pods: tuple[Child, ...] = ()
    reports: Mapping[str, tuple[PodReport, ...]] = {}
