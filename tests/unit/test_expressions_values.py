"""What a program answers: one value for each symbol, unknown where something it needs is unknown."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scanplane.expressions import ValueType
from scanplane.expressions.operations import OPERATIONS
from scanplane.expressions.program import compile_expression
from scanplane.expressions.value_types import Operator
from scanplane.features.catalogue import Feature, FeatureType, Unit

NAN = np.nan
COLUMNS: dict[str, Any] = {
    "symbol": np.array(["AAPL", "AMD", "MSFT", "TSLA"], "<U8"),
    "session": "regular",
    "price": np.array([10.0, 0.0, NAN, -4.0]),
    "previous_close": np.array([8.0, 0.0, 5.0, NAN]),
    "volume": np.array([100.0, 200.0, 300.0, 400.0]),
    "new_high_of_day": np.array([True, False, True, False]),
}


def mask(source: str, columns: Mapping[str, Any] = COLUMNS) -> list[bool]:
    result = compile_expression(source, ValueType.BOOL).evaluate(columns)
    assert result.dtype == np.bool_
    return result.tolist()


def values(source: str, columns: Mapping[str, Any] = COLUMNS) -> NDArray[np.float64]:
    result = compile_expression(source, ValueType.NUMBER).evaluate(columns)
    assert result.dtype == np.float64
    return result


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">="])
def test_every_comparison_with_an_unknown_value_is_false(operator: str) -> None:
    assert mask(f"price {operator} 1")[2] is False
    assert mask(f"1 {operator} price")[2] is False
    assert mask(f"price {operator} previous_close")[2:] == [False, False]
    assert mask(f"price {operator} price")[2] is False


def test_has_asks_what_is_known() -> None:
    assert mask("has(price)") == [True, True, False, True]
    assert mask("!has(price)") == [False, False, True, False]
    assert mask("has(symbol)") == [True] * 4


def test_logic_has_two_values_so_a_negated_comparison_with_unknown_is_true() -> None:
    assert mask("!(price > 5)") == [False, True, True, True]
    assert mask("has(price) && !(price > 5)") == [False, True, False, True]


@pytest.mark.parametrize(
    "source", ["price + 1", "1 - price", "price * 0", "price / 2", "2 % price", "-price", "math.abs(price)"]
)
def test_arithmetic_with_an_unknown_value_is_unknown(source: str) -> None:
    assert np.isnan(values(source)).tolist()[2] is True


def test_greatest_and_least_of_an_unknown_value_are_unknown() -> None:
    np.testing.assert_array_equal(values("math.greatest(price, 3, 1)"), [10, 3, NAN, 3])
    np.testing.assert_array_equal(values("math.least(price, 3, 1)"), [1, 0, NAN, -4])


def test_division_by_zero_and_overflow_are_unknown_and_stay_so() -> None:
    np.testing.assert_array_equal(values("volume / price"), [10, NAN, NAN, -100])
    np.testing.assert_array_equal(values("volume % price"), [0, NAN, NAN, 0])
    assert mask("volume / price > 1 || volume / price <= 1") == [True, False, False, True]
    assert np.isnan(values("1 / (volume / 0)")).all()
    assert np.isnan(values("math.least(volume * 1e308 * 10, 3)")).all()
    assert np.isnan(values("1 % (volume * 1e308 * 10)")).all()
    assert mask("(volume / 0) in [1]") == [False] * 4
    assert np.isnan(values("volume * 1e308 * 10 - volume * 1e308 * 10")).all()


def test_division_is_never_integer_division() -> None:
    np.testing.assert_array_equal(values("1 / 2"), [0.5] * 4)
    np.testing.assert_array_equal(values("-7 % 4"), [-3] * 4)


def test_a_conditional_chooses_row_by_row() -> None:
    np.testing.assert_array_equal(values("has(price) ? price : previous_close"), [10, 0, 5, -4])
    assert mask("new_high_of_day ? symbol == 'AAPL' : price == 0") == [True, True, False, False]


def test_texts_are_compared_searched_and_measured() -> None:
    assert mask("symbol == 'AMD' || symbol.startsWith('T')") == [False, True, False, True]
    assert mask("symbol.endsWith('L') || symbol.contains('SF')") == [True, False, True, False]
    assert mask("symbol in ['AMD', \"TSLA\"]") == [False, True, False, True]
    assert mask("symbol < 'B'") == [True, True, False, False]
    assert mask("size(symbol) == 3 && symbol.size() == 3") == [False, True, False, False]
    assert mask(r"symbol == r'A\D' || symbol == 'A\x4dD' || symbol == '''AMD'''") == [False, True, False, False]


def test_a_long_list_is_searched_as_a_short_one() -> None:
    texts = ", ".join(f"'X{index}'" for index in range(50))
    assert mask(f"symbol in [{texts}, 'AMD', 'ZZ']") == [False, True, False, False]
    assert mask(f"symbol in [{texts}]") == [False] * 4
    numbers = ", ".join(map(str, range(100, 150)))
    assert mask(f"price in [{numbers}, 10, 0]") == [True, True, False, False]
    assert mask("price in []") == [False] * 4
    assert mask("price in [volume / 10, -4, 0.0]") == [True, True, False, True]


@pytest.mark.parametrize("session", ["regular", np.array("regular"), np.str_("regular"), np.full(4, "regular")])
def test_a_session_is_one_text_or_a_column(session: Any) -> None:
    columns = COLUMNS | {"session": session}
    assert mask("session == 'regular' && new_high_of_day", columns) == [True, False, True, False]
    assert mask("session == 'closed' && new_high_of_day", columns) == [False] * 4
    assert mask("new_high_of_day || session != 'closed'", columns) == [True] * 4
    assert mask("session == 'regular'", columns) == [True] * 4
    np.testing.assert_array_equal(values("session == 'regular' ? volume : 0", columns), [100, 200, 300, 400])


def test_what_is_the_same_for_every_symbol_still_has_one_value_for_each() -> None:
    assert mask("true") == [True] * 4
    np.testing.assert_array_equal(values("20e6 + .5"), [20000000.5] * 4)
    with pytest.raises(ValueError, match="no column says how many symbols there are"):
        compile_expression("true", ValueType.BOOL).evaluate({"session": "regular"})


def test_an_answer_is_an_array_of_its_own() -> None:
    columns = {name: np.array(column) for name, column in COLUMNS.items()}
    for source, expected, feature in (
        ("price", ValueType.NUMBER, "price"),
        ("new_high_of_day", ValueType.BOOL, "new_high_of_day"),
    ):
        answer = compile_expression(source, expected).evaluate(columns)
        answer[:] = 0
        np.testing.assert_array_equal(columns[feature], COLUMNS[feature])


def test_a_choice_that_is_a_column_is_not_that_column() -> None:
    columns = {name: np.array(column) for name, column in COLUMNS.items()}
    answer = compile_expression("session == 'regular' ? price : volume", ValueType.NUMBER).evaluate(columns)
    assert not np.shares_memory(answer, columns["price"])


def test_no_warning_of_numpy_escapes() -> None:
    columns = COLUMNS | {"price": np.array([1.7e308, 0.0, NAN, -1.7e308])}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(all="raise"):
            program = compile_expression(
                "price * price / 0 + 0.0 / 0.0 + price % 0 - 1e308 * 1e308 > 1", ValueType.BOOL
            )
            assert not program.evaluate(columns).any()
            assert program.explain(columns, 0)


def test_a_program_says_what_it_reads() -> None:
    program = compile_expression("price > 2 && has(free_float) && new_high_of_day", ValueType.BOOL)
    assert program.source == "price > 2 && has(free_float) && new_high_of_day"
    assert program.value_type is ValueType.BOOL
    assert program.features == {"price", "free_float", "new_high_of_day"}
    assert program.uses_events
    assert not compile_expression("price > 2", ValueType.BOOL).uses_events


def test_a_missing_column_is_named() -> None:
    with pytest.raises(KeyError, match="vwap"):
        compile_expression("vwap > 2", ValueType.BOOL).evaluate(COLUMNS)


def test_another_catalogue_brings_other_names() -> None:
    tilt = Feature(name="tilt", type=FeatureType.NUMBER, unit=Unit.NONE, definition="", source="")
    program = compile_expression("tilt > 1", ValueType.BOOL, {"tilt": tilt})
    assert program.evaluate({"tilt": np.array([0.0, 2.0])}).tolist() == [False, True]


def test_equal_parts_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    divisions: list[Any] = []

    def divide(left: Any, right: Any) -> Any:
        divisions.append((left, right))
        return np.divide(left, right)

    monkeypatch.setitem(OPERATIONS, Operator.DIVIDE, divide)
    source = "price / volume > 2 || price / volume < 1 || volume / price > 3 || 3 > price / volume"
    compile_expression(source, ValueType.BOOL).evaluate(COLUMNS)
    assert len(divisions) == 2


def test_two_lists_over_one_feature_are_two_questions() -> None:
    assert mask("symbol in ['AMD'] || symbol in ['TSLA']") == [False, True, False, True]
