"""What kopf is told to do with events: ring, and nothing that it does for others' handlers."""

from typing import Any

import kopf
import pytest

from scanplane_operator.handlers import make_registry, make_settings

OBJECT = {"metadata": {"uid": "a", "generation": 1, "name": "one"}, "spec": {"limit": 1}, "status": {"replicas": 2}}


class Bell:
    """Notes who rang: a namespace, and whether for an edit."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, bool]] = []

    def __call__(self, namespace: str, *, is_edit: bool = False) -> None:
        self.rung.append((namespace, is_edit))


async def see(registry: kopf.OperatorRegistry, plural: str, **event: Any) -> None:
    """Let every handler of a kind see an event."""
    handlers = [each for each in registry._watching._handlers if each.selector and each.selector.any_name == plural]
    assert handlers
    for handler in handlers:
        await handler.fn(namespace="desk", body=kopf.Body(OBJECT), **event)  # type: ignore[call-arg, misc]  # kopf's own types


@pytest.mark.parametrize(("plural", "is_edit"), [("scanners", True), ("markets", True), ("deployments", False)])
async def test_an_edit_is_told_from_what_becomes_of_children(plural: str, *, is_edit: bool) -> None:
    bell = Bell()
    registry = make_registry(bell, ["Deployment"], lambda: None)
    await see(registry, plural, type="MODIFIED")
    assert bell.rung == [("desk", is_edit)]
    await see(registry, plural, type="MODIFIED")
    assert bell.rung == ([("desk", True)] if is_edit else [("desk", False)] * 2), "the echo of a status is no edit"


def test_no_object_is_copied_or_written_to_for_the_sake_of_comparing() -> None:
    storage = make_settings().persistence.diffbase_storage
    body, patch = kopf.Body(OBJECT), kopf.Patch()
    essence = storage.build(body=body)
    storage.store(body=body, patch=patch, essence=essence)
    assert (essence, storage.fetch(body=body), patch) == ({}, None, {})
