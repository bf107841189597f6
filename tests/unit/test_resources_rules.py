"""Each rule between fields says the same in CEL and in Python."""

from collections.abc import Iterator

import celpy
import pytest
from celpy.adapter import json_to_cel
from celpy.celtypes import DurationType
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.resources.common import Rule, duration_ns
from scanplane.resources.kinds import KINDS, Kind
from scanplane.resources.schema import SchemaNode, spec_schema
from support.resource_documents import AGREED, specs, values


def rules_below(node: SchemaNode, path: str) -> Iterator[tuple[str, SchemaNode, Rule]]:
    yield from ((path, node, rule) for rule in node.rules)
    for name, child in node.properties.items():
        yield from rules_below(child, f"{path}.{name}")


RULES = [
    pytest.param(node, rule, id=f"{path}: {rule.message}")
    for kind in Kind
    for path, node, rule in rules_below(spec_schema(KINDS[kind].model), kind.value)
]
ENVIRONMENT = celpy.Environment()


def evaluate(rule: Rule, value: object) -> bool:
    program = ENVIRONMENT.program(ENVIRONMENT.compile(rule.expression))
    return bool(program.evaluate({"self": json_to_cel(value)}))  # type: ignore[arg-type]  # JSON values, all of them


@pytest.mark.parametrize(("node", "rule"), RULES)
def test_a_rule_in_python_is_the_rule_in_cel(node: SchemaNode, rule: Rule) -> None:
    answers = set()

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(values(node))
    def agree(value: object) -> None:
        answer = evaluate(rule, value)
        assert rule.holds(value) is answer
        answers.add(answer)

    agree()
    assert answers == {True, False}, "only one side was tried"


@pytest.mark.parametrize(("node", "rule"), RULES)
def test_a_rule_says_what_to_write_and_points_at_a_field_that_exists(node: SchemaNode, rule: Rule) -> None:
    assert 10 < len(rule.message) < 120
    for part in rule.at.split(".") if rule.at else ():
        node = node.properties[part]


@given(st.integers(0, 999_999), st.sampled_from(["ms", "s", "m", "h"]))
def test_a_duration_is_as_long_as_cel_says(number: int, unit: str) -> None:
    text = f"{number}{unit}"
    long = DurationType(text)
    assert duration_ns(text) == (long.days * 86_400 + long.seconds) * 10**9 + long.microseconds * 1000


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "1000000s", "5s\n", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 5s"):
        duration_ns(text)


def test_the_table_tries_every_kind_both_ways() -> None:
    assert {(kind, good) for _, kind, _, good in AGREED} == {
        (kind.value, good) for kind in Kind for good in (True, False)
    }
    assert len(AGREED) > 60
    assert len({name for name, *_ in AGREED}) == len(AGREED)


def test_generated_specs_exist_for_every_kind() -> None:
    assert all(specs(kind) is not None for kind in Kind)
