"""What every configuration shares: broker, cache, telemetry, digests, and the defaults of a DataPlane."""

import hashlib
from collections.abc import Iterable

import msgspec

from scanplane.plan.acceptance import Acceptance
from scanplane.plan.configuration import SecretKey, Services
from scanplane.plan.inventory import Home, Inventory
from scanplane.resources.common import SecretKeyReference, duration_ns
from scanplane.resources.data_plane import DataPlane, DataPlaneSpec, LogLevel, Telemetry
from scanplane.resources.kinds import Kind

__all__ = [
    "DEFAULT_NAME",
    "credentials_digest",
    "data_plane_spec",
    "digest",
    "is_there",
    "secret_key",
    "services_named",
    "services_of",
    "sources_of",
]

DEFAULT_NAME = "default"


def secret_key(reference: SecretKeyReference) -> SecretKey:
    """Return a reference as configurations hold it."""
    return SecretKey(name=reference.name, key=reference.key)


def data_plane_spec(acceptance: Acceptance) -> DataPlaneSpec:
    """Return the spec of the DataPlane in use; an empty one where there is none."""
    data_plane: DataPlane | None = acceptance.data_planes.get(DEFAULT_NAME)
    return DataPlaneSpec() if data_plane is None else data_plane.spec


def services_named(spec: DataPlaneSpec) -> list[tuple[str, SecretKeyReference]]:
    """Return what a DataPlane names of ``broker`` and ``cache``, each with the Secret key of its URL."""
    named = (("broker", spec.broker), ("cache", spec.cache))
    return [(name, service.url_secret_ref) for name, service in named if service is not None]


def is_there(inventory: Inventory, reference: SecretKeyReference) -> bool:
    """Whether the Secret and the key in it are there."""
    return reference.key in inventory.secrets.get(reference.name, {})


def services_of(acceptance: Acceptance) -> Services:
    """Return broker, cache and telemetry with every default decided."""
    spec = data_plane_spec(acceptance)
    telemetry = spec.telemetry or Telemetry()
    inventory = acceptance.inventory
    urls = {
        name: secret_key(url)
        for name, url in services_named(spec)
        if inventory.home is not Home.LOCAL or is_there(inventory, url)
    }
    return Services(
        namespace=inventory.namespace,
        broker_url=urls.get("broker"),
        cache_url=urls.get("cache"),
        log_level=telemetry.log_level or LogLevel.INFO,
        otlp_endpoint=telemetry.otlp_endpoint,
        trace_ratio=0.01 if telemetry.trace_ratio is None else telemetry.trace_ratio,
        export_interval_ns=duration_ns(telemetry.export_interval or "10s"),
    )


def credentials_digest(inventory: Inventory, keys: Iterable[SecretKey | str | None]) -> str:
    """Return one digest over the named Secret keys (a plain name: the whole Secret), so that a rotation is a change."""
    lines: list[str] = []
    for key in keys:
        match key:
            case SecretKey(name=name, key=field):
                lines.append(f"{name}/{field}={inventory.secrets.get(name, {}).get(field, '')}")
            case str():
                lines.extend(
                    f"{key}/{field}={value}" for field, value in sorted(inventory.secrets.get(key, {}).items())
                )
            case None:
                pass
    return hashlib.sha256("\n".join(sorted(set(lines))).encode()).hexdigest()[:16]


def digest(*parts: object) -> str:
    """Return a short digest of anything that msgspec can encode.

    A field that is left out counts as one that is not there, so that a release may add some without taking every resource
    for edited.
    """
    written = _without_none(msgspec.to_builtins(parts))
    return hashlib.sha256(msgspec.json.encode(written, order="sorted")).hexdigest()[:16]


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list | tuple) else value


def sources_of(parts: Iterable[tuple[Kind, str, object]]) -> dict[str, str]:
    """Return, for each resource that a configuration was made from, a digest of what it contributed."""
    return {f"{kind}/{name}": digest(part) for kind, name, part in parts}
