"""Definitions of before are told by what they would drop."""

import copy
from typing import Any

import pytest

from scanplane.resources.common import API_GROUP
from scanplane.resources.crds import custom_resource_definition
from scanplane.resources.kinds import KINDS
from scanplane_operator.definitions import outdated


@pytest.fixture
def served() -> dict[str, Any]:
    """What an API server says of our own definitions."""
    schemas = {}
    for info in KINDS.values():
        version = custom_resource_definition(info)["spec"]["versions"][0]
        schemas[f"io.{API_GROUP}.v1alpha1.{info.kind}"] = copy.deepcopy(version["schema"]["openAPIV3Schema"])
    return {"components": {"schemas": schemas}}


def properties(served: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = served["components"]["schemas"][f"io.{API_GROUP}.v1alpha1.{kind}"]["properties"]
    return found


def test_our_own_are_new_enough(served: dict[str, Any]) -> None:
    assert outdated(served) == ""


def test_newer_ones_are_too(served: dict[str, Any]) -> None:
    properties(served, "Feed")["spec"]["properties"]["futuristic"] = {"type": "string"}
    assert outdated(served) == ""


def test_what_older_ones_drop_is_named_with_its_place(served: dict[str, Any]) -> None:
    del properties(served, "Feed")["spec"]["properties"]["massive"]["properties"]["endpoint"]
    del properties(served, "Market")["status"]["properties"]["conditions"]["items"]["properties"]["reason"]
    told = outdated(served)
    assert told.startswith("the definitions of scanplane.io are older than this operator and drop ")
    assert "Feed spec.massive.endpoint" in told
    assert "Market status.conditions[].reason" in told


def test_a_kind_that_is_not_served_lacks_all_of_its_fields_and_a_few_are_named(served: dict[str, Any]) -> None:
    del served["components"]["schemas"][f"io.{API_GROUP}.v1alpha1.Scanner"]
    told = outdated(served)
    assert "Scanner spec." in told
    assert told.count("Scanner ") == 3
    assert told.endswith(" more")
