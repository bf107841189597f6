"""Every example in docs/expressions.md does what the page says."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanplane.expressions import ExpressionError, ValueType
from scanplane.expressions.program import compile_expression
from scanplane.features.catalogue import CATALOGUE, FeatureType

_PAGE = Path(__file__).parents[2] / "docs" / "expressions.md"
_BLOCKS = re.findall(r"^```(\S*)(?: (\S+))?\n(.*?)^```$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
_UNKNOWN = {FeatureType.NUMBER: math.nan, FeatureType.EVENT: False, FeatureType.TEXT: ""}
_WORDS = {"true": True, "false": False, "unknown": math.nan}


def blocks(kind: str) -> list[str]:
    return [text.rstrip("\n") for language, found, text in _BLOCKS if (language, found) == ("cel", kind)]


def value_of(text: str) -> Any:
    return _WORDS[text] if text in _WORDS else text[1:-1] if text[0] == "'" else float(text)


def market(comment: str) -> dict[str, Any]:
    """Return columns of one symbol, from a line such as ``// price = 10, free_float = unknown``."""
    columns = {name: _UNKNOWN[feature.type] for name, feature in CATALOGUE.items()}
    for assignment in comment.removeprefix("// ").split(", "):
        name, value = assignment.split(" = ")
        columns[CATALOGUE[name].name] = value_of(value)
    return {name: np.array([value]) for name, value in columns.items()}


def statements() -> list[tuple[str, str, str]]:
    found = []
    for block in blocks("values"):
        comment, *lines = block.splitlines()
        found += [(comment, *(part.strip() for part in line.rsplit("//", 1))) for line in lines]
    return found


def test_the_page_has_no_example_that_is_not_run() -> None:
    kinds = {kind for language, kind, _ in _BLOCKS if language == "cel"}
    assert kinds == {"condition", "number", "values", "error", "explanation"}
    assert all(language == "cel" for language, _, _ in _BLOCKS)
    assert len(statements()) > 25


@pytest.mark.parametrize("source", blocks("condition"))
def test_a_condition_on_the_page_compiles(source: str) -> None:
    assert compile_expression(source, ValueType.BOOL).features


@pytest.mark.parametrize("source", blocks("number"))
def test_a_ranking_on_the_page_compiles(source: str) -> None:
    assert compile_expression(source, ValueType.NUMBER).features


@pytest.mark.parametrize(("comment", "source", "result"), statements())
def test_a_value_on_the_page_is_what_comes_out(comment: str, source: str, result: str) -> None:
    expected = ValueType.BOOL if result in {"true", "false"} else ValueType.NUMBER
    (value,) = compile_expression(source, expected).evaluate(market(comment)).tolist()
    np.testing.assert_equal(value, value_of(result))


@pytest.mark.parametrize("block", blocks("error"))
def test_an_error_on_the_page_is_what_is_reported(block: str) -> None:
    source, *lines = block.splitlines()
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source, ValueType.BOOL)
    assert str(caught.value).splitlines() == lines


@pytest.mark.parametrize("block", blocks("explanation"))
def test_an_explanation_on_the_page_is_what_is_said(block: str) -> None:
    comment, source, explanation = block.splitlines()
    assert compile_expression(source, ValueType.BOOL).explain(market(comment), 0) == explanation
