"""Hostile text: it compiles or is refused, within bounds, and nothing else happens."""

import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanplane.expressions import MAX_DEPTH, MAX_NODES, MAX_SOURCE_CHARACTERS, ExpressionError, Problem, ValueType
from scanplane.expressions.program import Program, compile_expression
from scanplane.features.catalogue import CATALOGUE, FeatureType

_COLUMNS = {
    FeatureType.NUMBER: np.array([np.nan, 0.0, -1.5]),
    FeatureType.EVENT: np.array([True, False, True]),
    FeatureType.TEXT: np.array(["A", "B", "é"]),
}
_MARKET = {name: _COLUMNS[feature.type] for name, feature in CATALOGUE.items()}
_SIGNS = (
    "( ) [ ] { } . , ? : ! - + * / % < <= > >= == != && || = & | ; # @ ' \" \"\"\" ''' \\ r' b' \n \t // 1 1.5 .5 1e3 "
    "0x1F 5u 20M 1e999 true false True null not in and or is between has size math.abs math.greatest startsWith contains( "
    "matches exists(x,x) 'A' r'\\' \u00a0 \ud800 \x00 ≥ “a”"
)
_FRAGMENTS = st.sampled_from([*CATALOGUE, *_SIGNS.split(" ")])


def _problems(source: str, expected: ValueType) -> tuple[Problem, ...] | None:
    """Return what is wrong with a text, or None for a text that compiles, is evaluated and is explained."""
    try:
        program = compile_expression(source, expected)
    except ExpressionError as error:
        return error.problems
    assert program.evaluate(_MARKET).shape == (3,)
    assert len(program.explain(_MARKET, 0).splitlines()) == 1
    return None


def _compiles_or_is_refused(source: str) -> None:
    for expected in (ValueType.BOOL, ValueType.NUMBER):
        problems = _problems(source, expected)
        assert problems is None or len(problems) > 0
        assert all(problem.line >= 1 and problem.column >= 1 for problem in problems or ())
        assert all(str(problem).isprintable() for problem in problems or ())


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=80))
@example("\\")
@example("'\\")
@example("{")
@example("a.b(")
def test_any_text_compiles_or_is_refused(source: str) -> None:
    _compiles_or_is_refused(source)


@settings(max_examples=600, deadline=None)
@given(st.lists(_FRAGMENTS, max_size=25), st.sampled_from(["", " "]))
def test_any_sequence_of_tokens_compiles_or_is_refused(fragments: list[str], separator: str) -> None:
    _compiles_or_is_refused(separator.join(fragments))


@pytest.mark.parametrize(
    "repeated",
    [
        "(",
        "!",
        "-",
        "[",
        "{",
        "f(",
        "math.abs(",
        "1+(",
        "1||1&&1<1+1*(",
        "true?1:",
        "a.",
        "a.b(",
        "a[",
        "!(",
        "1 in [",
        "'",
        "\\",
    ],
)
def test_deep_text_is_refused_from_any_stack(repeated: str) -> None:
    source = (repeated * MAX_SOURCE_CHARACTERS)[:MAX_SOURCE_CHARACTERS]

    def descend(levels: int) -> None:
        if levels:
            descend(levels - 1)
        else:
            with pytest.raises(ExpressionError):
                compile_expression(source, ValueType.BOOL)

    descend(sys.getrecursionlimit() - 800)


def test_depth_is_bounded_also_where_no_bracket_stands() -> None:
    fits = "price" + " + 1" * (MAX_DEPTH - 2) + " > 0"
    assert isinstance(compile_expression(fits, ValueType.BOOL), Program)
    with pytest.raises(ExpressionError, match=f"nested deeper than {MAX_DEPTH} levels"):
        compile_expression("price" + " + 1" * (MAX_DEPTH - 1) + " > 0", ValueType.BOOL)


def test_depth_adds_up_over_brackets_and_chains() -> None:
    source = "price"
    for _ in range(20):
        source = f"({source}{' + 1' * 10})"
    with pytest.raises(ExpressionError, match="nested deeper"):
        compile_expression(f"{source} > 0", ValueType.BOOL)


def test_a_long_chain_of_conditions_is_wide_and_not_deep() -> None:
    source = " || ".join(f"price == {index}" for index in range(200))
    assert compile_expression(source, ValueType.BOOL).evaluate(_MARKET).tolist() == [False, True, False]


def test_the_number_of_operands_is_bounded() -> None:
    items = ",".join("1" for _ in range(MAX_NODES))
    with pytest.raises(ExpressionError, match=f"more than {MAX_NODES} operands and operators"):
        compile_expression(f"price in [{items}]", ValueType.BOOL)


def test_the_length_is_bounded() -> None:
    longest = "true" + " " * (MAX_SOURCE_CHARACTERS - 4)
    assert compile_expression(longest, ValueType.BOOL).evaluate(_MARKET).all()
    with pytest.raises(ExpressionError, match="the expression has 4097 characters, 4096 are allowed"):
        compile_expression(longest + " ", ValueType.BOOL)
