"""One look at a namespace: every list and every referenced Secret, all of it or nothing."""

import asyncio
import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from scanplane.plan.inventory import ResourceKey
from scanplane.resources.common import API_VERSION
from scanplane.resources.kinds import KINDS, Kind
from scanplane_operator.api import Api, ApiError, all_of
from scanplane_operator.names import FIELD_MANAGER, MANAGED_BY, REVISION
from scanplane_operator.observed import CHILD_KINDS, Child, ObjectKey, Observed, PodReport
from scanplane_operator.reading import referenced_config_maps, referenced_secrets

__all__ = ["Observer", "child_path", "resource_path"]

_DIGEST_ROUNDS = 20_000
MAX_DIGESTS = 20_000
"""Secrets whose digests are kept; more than are looked at in turn would make each look a slow one."""


def resource_path(namespace: str, kind: Kind, name: str = "") -> str:
    """Return where the API serves a kind of ours, or one resource of it."""
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{KINDS[kind].plural}"
    return f"{path}/{name}" if name else path


def child_path(namespace: str, kind: str, name: str = "") -> str:
    """Return where the API serves a kind of child, or one of them."""
    child = CHILD_KINDS[kind]
    path = f"{child.path}/namespaces/{namespace}/{child.plural}"
    return f"{path}/{name}" if name else path


class Observer:
    """Looks at namespaces, at every kind of child: also at those that were made under other settings and have to go.

    *made* are the kinds that are made now; whoever may not even list another one has none of it.
    """

    def __init__(self, api: Api, made: Iterable[str]) -> None:
        self._api = api
        self._made = frozenset(made)
        self._digests: dict[tuple[str, str], tuple[str, dict[str, str]]] = {}

    async def look(self, namespace: str, reports: Mapping[str, tuple[PodReport, ...]]) -> Observed:
        """Return what is there. Raises ApiError or ApiUnavailableError: who knows half must not act."""
        selector = f"{MANAGED_BY}={FIELD_MANAGER}"
        base = f"/api/v1/namespaces/{namespace}"
        apps = f"/apis/apps/v1/namespaces/{namespace}"
        lists = [self._api.list(resource_path(namespace, kind)) for kind in Kind]
        lists += [self._children(namespace, kind, selector) for kind in CHILD_KINDS]
        lists.append(self._api.list(f"{apps}/replicasets", selector=selector))
        lists.append(self._api.list(f"{base}/pods", selector=selector))
        found = await all_of(lists)
        resources = {
            ResourceKey(kind, document["metadata"]["name"]): document
            for kind, documents in zip(Kind, found, strict=False)
            for document in documents
        }
        children: dict[ObjectKey, Child] = {
            # the items of a list do not say what they are
            ObjectKey(kind, child["metadata"]["name"]): {
                "apiVersion": CHILD_KINDS[kind].api_version,
                "kind": kind,
                **child,
            }
            for kind, listed in zip(CHILD_KINDS, found[len(Kind) :], strict=False)
            for child in listed
        }
        secrets, config_maps = await asyncio.gather(
            self.secrets(namespace, referenced_secrets(resources.values())),
            self.config_maps(namespace, referenced_config_maps(resources.values())),
        )
        return Observed(
            namespace=namespace,
            resources=resources,
            secrets=secrets,
            config_maps=config_maps,
            children=children,
            taken_back=frozenset(key for key, child in children.items() if _is_taken_back(child)),
            replica_sets=tuple(found[-2]),
            pods=tuple(found[-1]),
            reports=reports,
        )

    async def _children(self, namespace: str, kind: str, selector: str) -> list[dict[str, Any]]:
        try:
            return await self._api.list(child_path(namespace, kind), selector=selector, managers=kind == "Deployment")
        except ApiError as error:
            if error.status == 403 and kind not in self._made:
                return []
            raise

    async def secrets(self, namespace: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return a digest for each key of the named Secrets; those that are not there are left out."""
        ordered = sorted(names)
        found = await all_of([self._api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}") for name in ordered])
        return {
            name: await self._secret_digests(secret)
            for name, secret in zip(ordered, found, strict=True)
            if secret is not None
        }

    async def config_maps(self, namespace: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return a digest for each key of the named ConfigMaps; those that are not there are left out."""
        ordered = sorted(names)
        found = await all_of([self._api.get(child_path(namespace, "ConfigMap", name)) for name in ordered])
        return {
            name: {key: _digest(value.encode()) for key, value in (config_map.get("data") or {}).items()}
            for name, config_map in zip(ordered, found, strict=True)
            if config_map is not None
        }

    async def _secret_digests(self, secret: Mapping[str, Any]) -> dict[str, str]:
        """Return the digests of a Secret's values: slow ones, since a configuration shows what is made of them."""
        metadata = secret["metadata"]
        place, version = (metadata["namespace"], metadata["name"]), f"{metadata['uid']} {metadata['resourceVersion']}"
        known = self._digests.pop(place, ("", {}))
        if known[0] != version:
            known = (version, await asyncio.to_thread(_slow_digests, secret.get("data") or {}, "/".join(place)))
        self._digests[place] = known
        while len(self._digests) > MAX_DIGESTS:
            self._digests.pop(next(iter(self._digests)))
        return known[1]


def _is_taken_back(child: Child) -> bool:
    """Whether somebody else wrote the version of a Deployment's pods last, by the server's own account of its fields."""
    if child["kind"] != "Deployment":
        return False
    for entry in child["metadata"].get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply":
            fields: Mapping[str, Any] = entry.get("fieldsV1") or {}
            for name in ("f:spec", "f:template", "f:metadata", "f:annotations"):
                fields = fields.get(name) or {}
            return f"f:{REVISION}" not in fields
    return True


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:16]


def _slow_digests(data: Mapping[str, str], place: str) -> dict[str, str]:
    return {key: _slow_digest(base64.b64decode(value), f"{place}/{key}") for key, value in data.items()}


def _slow_digest(value: bytes, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", value, salt.encode(), _DIGEST_ROUNDS, 8).hex()
