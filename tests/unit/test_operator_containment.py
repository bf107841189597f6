"""Whether what is wanted is already there."""

import decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from scanplane_operator.containment import contains, quantity
from support.operator_server_side_apply import apply_manifest, canonical_quantity


@pytest.mark.parametrize(
    ("there", "wanted", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ({"a": None}, {"a": {}}, False),
        ({"a": [1, 2]}, {"a": [1, 2]}, True),
        ({"a": [1, 2, 3]}, {"a": [1, 2]}, False),
        ({"a": [2, 1]}, {"a": [1, 2]}, False),
        ({"args": ["run"]}, {"args": ["run", "x"]}, False),
        ({"tolerations": [{"key": "a", "effect": "e"}]}, {"tolerations": [{"key": "a"}]}, True),
        ({"containers": [{"name": "b"}, {"name": "a", "x": 1}]}, {"containers": [{"name": "a"}]}, True),
        ({"containers": [{"name": "b"}]}, {"containers": [{"name": "a"}]}, False),
        ({"containers": [{"name": "a", "image": "2"}]}, {"containers": [{"name": "a", "image": "1"}]}, False),
        ({"containers": None}, {"containers": [{"name": "a"}]}, False),
        (
            {"volumeMounts": [{"mountPath": "/b", "name": "x"}]},
            {"volumeMounts": [{"mountPath": "/a", "name": "x"}]},
            False,
        ),
        ({"ownerReferences": [{"uid": "1"}, {"uid": "2"}]}, {"ownerReferences": [{"uid": "2"}]}, True),
        ({"ports": [{"name": "x"}, {"name": "a", "port": 1}]}, {"ports": [{"name": "a", "port": 1}]}, True),
        ({"ports": [{"port": 1}, {"port": 2}]}, {"ports": [{"port": 1}]}, False),
        ({"cpu": "1"}, {"cpu": "1000m"}, True),
        ({"cpu": "1"}, {"cpu": "1001m"}, False),
        ({"cpu": "much"}, {"cpu": "1"}, False),
        ({"memory": "2Gi"}, {"memory": "2048Mi"}, True),
        ({"memory": "1Pi"}, {"memory": "1024Ti"}, True),
        ({"cpu": "100u"}, {"cpu": "0.0001"}, True),
        ({"version": "1"}, {"version": "1000m"}, False),
    ],
)
def test_a_table_of_objects(there: object, wanted: object, expected: bool) -> None:  # noqa: FBT001
    assert contains(there, wanted) is expected


@pytest.mark.parametrize("text", ["", "m", "1x", "1mm", "Ki", "1 Gi", "-"])
def test_what_is_no_amount_has_no_number(text: str) -> None:
    assert quantity(text) is None


AMOUNTS = some.builds(
    "{}{}{}".format,
    some.integers(0, 999_999),
    some.sampled_from(["", ".5", ".25", ".125"]),
    some.sampled_from(["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"]),
) | some.builds("{}m".format, some.integers(0, 999_999))  # fmt: skip


@given(AMOUNTS)
def test_an_amount_is_there_however_the_server_writes_it(text: str) -> None:
    assert contains({"memory": canonical_quantity(text)}, {"memory": text})


@given(AMOUNTS, AMOUNTS)
def test_amounts_differ_where_their_numbers_do(one: str, other: str) -> None:
    first, second = quantity(one), quantity(other)
    assert isinstance(first, decimal.Decimal)
    assert contains({"cpu": one}, {"cpu": other}) is (first == second)


PLAIN = some.recursive(
    some.integers() | some.text(max_size=3),
    lambda inner: some.dictionaries(some.sampled_from("abc"), inner, max_size=3) | some.lists(inner, max_size=2),
    max_leaves=6,
)
OBJECTS = some.dictionaries(some.sampled_from("abc"), PLAIN)


@given(OBJECTS, OBJECTS)
def test_what_was_applied_is_there(there: dict[str, object], wanted: dict[str, object]) -> None:
    assert contains(apply_manifest(there, {}, wanted), wanted)


@pytest.mark.parametrize("name", ["selector", "matchLabels", "podSelector"])
def test_a_selector_is_a_whole(name: str) -> None:
    assert contains({"spec": {name: {"a": "1"}, "other": 1}}, {"spec": {name: {"a": "1"}}})
    assert not contains({"spec": {name: {"a": "1", "b": "2"}}}, {"spec": {name: {"a": "1"}}})
