"""Whether the definitions in the cluster are as new as this operator.

The API server drops fields that a definition does not know, without a word: a spec would lose what somebody wrote, and a
status what the operator did. Helm upgrades definitions only where ``crds.enabled`` is true, so this happens. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from scanplane.resources.common import API_GROUP, API_VERSION
from scanplane.resources.crds import custom_resource_definition
from scanplane.resources.kinds import KINDS

__all__ = ["OPENAPI_PATH", "outdated"]

OPENAPI_PATH = f"/openapi/v3/apis/{API_VERSION}"
_MOST_NAMED = 3


def outdated(served: Mapping[str, Any]) -> str:
    """Return in one line which fields the API server does not know, empty if it knows all; *served* is its OpenAPI."""
    schemas = (served.get("components") or {}).get("schemas") or {}
    by_kind = {str(name).rpartition(".")[2]: schema for name, schema in schemas.items()}
    missing: list[str] = []
    for info in KINDS.values():
        version = custom_resource_definition(info)["spec"]["versions"][0]
        ours = version["schema"]["openAPIV3Schema"]["properties"]
        known = (by_kind.get(info.kind.value) or {}).get("properties") or {}
        for part in ("spec", "status"):
            missing += _unknown(ours[part], known.get(part) or {}, f"{info.kind.value} {part}")
    if not missing:
        return ""
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    return (
        f"the definitions of {API_GROUP} are older than this operator and drop {', '.join(missing[:_MOST_NAMED])}{more}"
    )


def _unknown(ours: Mapping[str, Any], known: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the paths of *ours* that are not in *known*, the outermost of each."""
    if known.get("x-kubernetes-preserve-unknown-fields"):
        return
    theirs = known.get("properties") or {}
    for name, field in (ours.get("properties") or {}).items():
        if name in theirs:
            yield from _unknown(field, theirs[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}"
    for inner in ("items", "additionalProperties"):
        if isinstance(ours.get(inner), Mapping) and isinstance(known.get(inner), Mapping):
            yield from _unknown(ours[inner], known[inner], f"{path}[]")
