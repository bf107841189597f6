"""From what was observed to what can be planned: typed resources, the versions that count, and what cannot be read."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from scanplane.plan.inventory import Home, Inventory, ResourceKey
from scanplane.resources.common import PAUSED_ANNOTATION
from scanplane.resources.data_plane import DataPlane
from scanplane.resources.documents import resource_from_object
from scanplane.resources.feed import Feed
from scanplane.resources.kinds import Resource
from scanplane.resources.market import Market
from scanplane.resources.problems import Problem
from scanplane.resources.scanner import Scanner
from scanplane.resources.subscription import Subscription
from scanplane_operator.observed import Observed

__all__ = ["Reading", "is_paused", "pause_asked", "read_inventory", "referenced_config_maps", "referenced_secrets"]

_OBJECT_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", re.ASCII)
"""What may be asked of the API server: a path is made of it, and a status can be written by hand."""

_Kind = TypeVar("_Kind", DataPlane, Feed, Market, Subscription, Scanner)


class Reading(Struct, frozen=True, kw_only=True):
    """An inventory, the resources that are paused, and what is wrong with those that the model does not take."""

    inventory: Inventory
    paused: frozenset[ResourceKey]
    problems: Mapping[ResourceKey, tuple[Problem, ...]]


def is_paused(document: Mapping[str, Any]) -> bool:
    """Whether the operator is asked to leave a resource alone."""
    return pause_asked(document) == "true"


def pause_asked(document: Mapping[str, Any]) -> str:
    """Return what the annotation that pauses says; ``false`` without it."""
    return str((document["metadata"].get("annotations") or {}).get(PAUSED_ANNOTATION, "false"))


def read_inventory(observed: Observed) -> Reading:
    """Return what to plan from. A resource that is being deleted is not there any more."""
    resources: list[Resource] = []
    last_good: dict[ResourceKey, Resource] = {}
    problems: dict[ResourceKey, tuple[Problem, ...]] = {}
    paused: set[ResourceKey] = set()
    for key, document in sorted(observed.resources.items()):
        if document["metadata"].get("deletionTimestamp"):
            continue
        resource = resource_from_object(key.kind, document)
        accepted = _accepted_version(key, document, resource)
        if accepted is not None:
            last_good[key] = accepted
        if is_paused(document):
            paused.add(key)
            resources.extend([] if accepted is None else [accepted])
            continue
        if isinstance(resource, tuple):
            problems[key] = resource
            resources.extend([] if accepted is None else [accepted])
        else:
            resources.append(resource)
    inventory = Inventory(
        namespace=observed.namespace,
        home=Home.CLUSTER,
        data_planes=_of(DataPlane, resources),
        feeds=_of(Feed, resources),
        markets=_of(Market, resources),
        subscriptions=_of(Subscription, resources),
        scanners=_of(Scanner, resources),
        secrets=observed.secrets,
        config_maps=observed.config_maps,
        last_good=last_good,
        malformed=frozenset((problems.keys() | paused) - last_good.keys()),
    )
    return Reading(inventory=inventory, paused=frozenset(paused), problems=problems)


def referenced_secrets(documents: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the names of the Secrets that resources refer to, in their spec or in the version that runs."""
    return frozenset(_names_under(documents, suffix="SecretRef"))


def referenced_config_maps(documents: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the names of the ConfigMaps that resources refer to, in their spec or in the version that runs."""
    return frozenset(_names_under(documents, suffix="configMapRef"))


def _names_under(documents: Iterable[Mapping[str, Any]], *, suffix: str) -> Iterable[str]:
    for document in documents:
        specs = [document.get("spec")]
        if suffix in _accepted_text(document):  # of a thousand Scanners none
            specs.append(_accepted_spec(document))
        for name in (name for spec in specs for name in _references(spec, suffix)):
            if _OBJECT_NAME.fullmatch(name):
                yield name


def _references(value: object, suffix: str) -> Iterable[str]:
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if not isinstance(inner, dict):
            continue
        if str(key).endswith(suffix) and isinstance(inner.get("name"), str):
            yield inner["name"]
        else:
            yield from _references(inner, suffix)


def _accepted_text(document: Mapping[str, Any]) -> str:
    return str(((document.get("status") or {}).get("accepted") or {}).get("spec") or "")


def _accepted_spec(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        spec = msgspec.json.decode(_accepted_text(document) or "null")
    except msgspec.DecodeError:
        return None  # somebody wrote to the status by hand
    return spec if isinstance(spec, dict) else None


def _accepted_version(
    key: ResourceKey, document: Mapping[str, Any], newest: Resource | tuple[Problem, ...]
) -> Resource | None:
    """Return the version that was accepted last; None if there is none or it is of a format of before."""
    spec = _accepted_spec(document)
    if spec is None:
        return None
    resource = newest if spec == document.get("spec") else resource_from_object(key.kind, {**document, "spec": spec})
    return None if isinstance(resource, tuple) else resource


def _of(model: type[_Kind], resources: Iterable[Resource]) -> tuple[_Kind, ...]:
    return tuple(resource for resource in resources if isinstance(resource, model))
