"""What an expression means, judged by another implementation of CEL."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scanplane.expressions import ValueType
from scanplane.expressions.program import compile_expression
from support.expression_oracle import EVENTS, NUMBERS, Expression, Oracle, conditions, numbers
from support.findings import say

Row = dict[str, Any]

_NUMBER = st.sampled_from(
    [math.nan, math.nan, 0.0, -0.0, 1.0, 2.0, 3.0, -1.0, -4.5, 10.0, 20e6, -20e6, 1e200, -1e200, 1.7e308, 5e-324]
) | st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)
_ROW = st.fixed_dictionaries(
    {
        **dict.fromkeys(NUMBERS, _NUMBER),
        **dict.fromkeys(EVENTS, st.booleans()),
        "symbol": st.sampled_from(["A", "AA", "AAPL", "B", "é", "Z9", "ZZZZZZ"]),
    }
)
_ROWS = st.lists(_ROW, min_size=1, max_size=5)
_SESSION = st.sampled_from(["regular", "premarket", "closed"])


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    oracle = Oracle()
    yield oracle
    say(f"{oracle.expressions:,} expressions and {oracle.values:,} values were judged by cel-python")


def _columns(rows: list[Row], session: str, session_form: str) -> dict[str, Any]:
    columns: dict[str, Any] = {name: np.array([row[name] for row in rows], np.float64) for name in NUMBERS}
    columns |= {name: np.array([row[name] for row in rows], np.bool_) for name in EVENTS}
    columns["symbol"] = np.array([row["symbol"] for row in rows], "<U8")
    forms = {"text": session, "scalar": np.array(session), "column": np.full(len(rows), session)}
    return columns | {"session": forms[session_form]}


_SETTINGS = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@_SETTINGS
@given(conditions(), _ROWS, _SESSION, st.sampled_from(["text", "scalar", "column"]))
def test_a_condition_means_what_cel_says(
    oracle: Oracle, expression: Expression, rows: list[Row], session: str, session_form: str
) -> None:
    program = compile_expression(expression.ours, ValueType.BOOL)
    mask = program.evaluate(_columns(rows, session, session_form))
    assert mask.dtype == np.bool_
    assert mask.shape == (len(rows),)
    assert mask.tolist() == oracle.evaluate(expression, [row | {"session": session} for row in rows])


@_SETTINGS
@given(numbers(), _ROWS, _SESSION, st.sampled_from(["text", "scalar", "column"]))
def test_a_number_is_what_cel_says(
    oracle: Oracle, expression: Expression, rows: list[Row], session: str, session_form: str
) -> None:
    program = compile_expression(expression.ours, ValueType.NUMBER)
    values = program.evaluate(_columns(rows, session, session_form))
    expected = oracle.evaluate(expression, [row | {"session": session} for row in rows])
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, np.array(expected, np.float64))


@settings(max_examples=100, deadline=None)
@given(conditions(), _ROWS)
@example(
    Expression("!(price > 1) || has(price)", "", ""),
    [dict.fromkeys([*NUMBERS], math.nan) | dict.fromkeys(EVENTS, False) | {"symbol": "A"}],
)
def test_an_explanation_is_one_line_and_leaves_the_program_as_it_is(expression: Expression, rows: list[Row]) -> None:
    program = compile_expression(expression.ours, ValueType.BOOL)
    columns = _columns(rows, "regular", "text")
    before = program.evaluate(columns)
    for row in range(len(rows)):
        explanation = program.explain(columns, row)
        assert explanation.strip()
        assert len(explanation.splitlines()) == 1
    np.testing.assert_array_equal(program.evaluate(columns), before)
