"""Why a symbol matched or did not: the deciding parts, with the values written in."""

from typing import Any

import numpy as np
import pytest

from scanplane.expressions import ValueType
from scanplane.expressions.program import compile_expression

COLUMNS: dict[str, Any] = {
    "symbol": np.array(["AAPL", 'A"B']),
    "session": "regular",
    "price": np.array([7.314159, np.nan]),
    "gap_percent": np.array([7.31, -0.00012345]),
    "relative_volume": np.array([12.4, 5.0]),
    "free_float": np.array([12_345_678.0, 0.0]),
    "previous_close": np.array([4.0, 1e300]),
    "new_high_of_day": np.array([True, False]),
}


def explain(source: str, row: int, expected: ValueType = ValueType.BOOL) -> str:
    return compile_expression(source, expected).explain(COLUMNS, row)


@pytest.mark.parametrize(
    ("source", "row", "explanation"),
    [
        (
            "gap_percent >= 4 && relative_volume >= 5",
            0,
            "gap_percent 7.31 >= 4 && relative_volume 12.4 >= 5",
        ),
        ("gap_percent >= 4 && relative_volume >= 5", 1, "!(gap_percent -0.00012345 >= 4)"),
        ("gap_percent >= 4 || relative_volume >= 13", 0, "gap_percent 7.31 >= 4"),
        ("gap_percent >= 8 || price < 2", 1, "!(gap_percent -0.00012345 >= 8) && !(price unknown < 2)"),
        ("(price > 2 || price > 3) && new_high_of_day", 0, "price 7.31416 > 2 && price 7.31416 > 3 && new_high_of_day"),
        ("!(price > 8) && !!new_high_of_day", 0, "!(price 7.31416 > 8) && new_high_of_day"),
        ("new_high_of_day", 1, "!new_high_of_day"),
        ("has(price)", 1, "!has(price unknown)"),
        ("free_float < 20e6", 0, "free_float 12345678 < 20e6"),
        (
            "symbol == 'AAPL' && session in ['regular', 'closed']",
            0,
            'symbol "AAPL" == "AAPL" && session "regular" in ["regular", "closed"]',
        ),
        ("symbol.startsWith('A\\n')", 1, '!symbol "A\\"B".startsWith("A\\n")'),
        (
            "(price - previous_close) / previous_close * 100 > 4",
            0,
            "(price 7.31416 - previous_close 4) / previous_close 4 * 100 > 4",
        ),
        ("price - (previous_close - 1) > 4", 0, "price 7.31416 - (previous_close 4 - 1) > 4"),
        ("new_high_of_day ? price > 2 : price > 3", 0, "new_high_of_day && price 7.31416 > 2"),
        ("new_high_of_day ? price > 2 : has(symbol)", 1, "!new_high_of_day && has(symbol)"),
        ("(price > 8) == (price > 9)", 0, "(price 7.31416 > 8) == (price 7.31416 > 9)"),
        (
            "-math.least(price, previous_close) < size(symbol)",
            0,
            '-math.least(price 7.31416, previous_close 4) < size(symbol "AAPL")',
        ),
        ("previous_close > 1", 1, "previous_close 1e+300 > 1"),
        ("false || true", 0, "true"),
        ("price in [1, 2, 3, 4, 5, 6]", 1, "!(price unknown in [1, 2, 3, 4, ... 2 more])"),
    ],
)
def test_what_decided_is_shown_as_something_true(source: str, row: int, explanation: str) -> None:
    assert explain(source, row) == explanation


def test_an_explanation_is_of_bounded_length() -> None:
    long = explain(" && ".join(f"gap_percent > -{index}" for index in range(1, 150)), 0)
    assert len(long) == 1000
    assert long.endswith("...")


@pytest.mark.parametrize(
    ("source", "row", "explanation"),
    [
        ("gap_percent", 0, "gap_percent 7.31"),
        ("gap_percent * relative_volume", 0, "gap_percent 7.31 * relative_volume 12.4 = 90.644"),
        ("price / free_float", 1, "price unknown / free_float 0 = unknown"),
        ("has(price) ? price : 0", 1, "has(price unknown) ? price unknown : 0 = 0"),
        ("20e6", 0, "20e6"),
    ],
)
def test_a_number_is_shown_with_its_parts_and_its_result(source: str, row: int, explanation: str) -> None:
    assert explain(source, row, ValueType.NUMBER) == explanation
