"""What each operator does to whole columns.

Unknown is NaN. IEEE 754 gives most of the semantics for free: arithmetic with NaN is NaN, a comparison with it is false.
Two things it does not give: ``!=`` would be true, so it is "less or greater" here; and a division by zero or an overflow
would be an infinity that compares as known, so :func:`unknown_if_infinite` turns it into NaN. An infinity stays not
finite through ``+ - *`` and negation, so this is done once, where an operation could make it finite or known again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanplane.expressions.value_types import Operator, PlainValue

__all__ = [
    "KEEPS_FINITE",
    "NUMBER_OPERATIONS",
    "OPERATIONS",
    "TAKES_INFINITE",
    "Column",
    "membership",
    "unknown_if_infinite",
]

Column = NDArray[Any]
"""One value for each symbol, or an array of no dimension: one value for all of them."""

# Where comparing one by one takes as long as searching, measured on 8,000 symbols.
_FEW_TEXTS = 10
_FEW_NUMBERS = 24


def unknown_if_infinite(values: Column) -> Column:
    """Return *values* with NaN for each infinity: x + x * 0 is x for every finite x and NaN for every other."""
    result: Column = values + values * 0.0
    return result


def _differs(left: Column, right: Column) -> Column:
    result: Column = np.less(left, right) | np.greater(left, right)
    return result


def _contains(texts: Column, part: Column) -> Column:
    return np.greater_equal(np.strings.find(texts, part), 0)


def _size(texts: Column) -> Column:
    return np.strings.str_len(texts).astype(np.float64)


def _both(left: Column, right: Column) -> Column:
    """A side that is the same for every symbol, such as the session, costs no pass over the other one."""
    if left.ndim == 0:
        return left and right
    if right.ndim == 0:
        return right and left
    return np.logical_and(left, right)


def _either(left: Column, right: Column) -> Column:
    if left.ndim == 0:
        return left or right
    if right.ndim == 0:
        return right or left
    return np.logical_or(left, right)


def _choose(condition: Column, then: Column, otherwise: Column) -> Column:
    if condition.ndim == 0:
        return then if condition else otherwise
    return np.where(condition, then, otherwise)


OPERATIONS: dict[Operator, Callable[..., Column]] = {
    Operator.AND: _both,
    Operator.OR: _either,
    Operator.NOT: np.logical_not,
    Operator.EQUAL: np.equal,
    Operator.NOT_EQUAL: np.not_equal,
    Operator.LESS: np.less,
    Operator.LESS_EQUAL: np.less_equal,
    Operator.GREATER: np.greater,
    Operator.GREATER_EQUAL: np.greater_equal,
    Operator.ADD: np.add,
    Operator.SUBTRACT: np.subtract,
    Operator.MULTIPLY: np.multiply,
    Operator.DIVIDE: np.divide,
    Operator.REMAINDER: np.fmod,
    Operator.NEGATE: np.negative,
    Operator.CONDITIONAL: _choose,
    Operator.KNOWN: np.isfinite,
    Operator.ABSOLUTE: np.absolute,
    Operator.GREATEST: np.maximum,
    Operator.LEAST: np.minimum,
    Operator.STARTS_WITH: np.strings.startswith,
    Operator.ENDS_WITH: np.strings.endswith,
    Operator.CONTAINS: _contains,
    Operator.SIZE: _size,
}
"""Every operator but IN, with one, two or three arguments; AND, OR, GREATEST and LEAST are folded over more."""

NUMBER_OPERATIONS: dict[Operator, Callable[..., Column]] = {Operator.NOT_EQUAL: _differs}
"""What is different where the arguments are numbers."""

TAKES_INFINITE = frozenset(
    {Operator.ADD, Operator.SUBTRACT, Operator.MULTIPLY, Operator.NEGATE, Operator.ABSOLUTE, Operator.CONDITIONAL}
)
"""Operations that never make an infinity finite or known; the numerator of a division is another such place."""

KEEPS_FINITE = frozenset(
    {
        Operator.NEGATE,
        Operator.ABSOLUTE,
        Operator.CONDITIONAL,
        Operator.REMAINDER,
        Operator.GREATEST,
        Operator.LEAST,
        Operator.SIZE,
    }
)
"""Operations whose result has no infinity where their arguments have none."""


def membership(items: Sequence[PlainValue]) -> Callable[[Column], Column]:
    """Return a function that says which values equal any of *items*, all of one type; unknown equals nothing.

    A short list is compared item by item; a long one is sorted once and searched, which costs its logarithm.
    """
    few = _FEW_TEXTS if items and isinstance(items[0], str) else _FEW_NUMBERS
    if len(items) > few:
        sorted_items = np.unique(np.asarray(items))
        last = len(sorted_items) - 1

        def search(values: Column) -> Column:
            matches: Column = np.equal(sorted_items[np.minimum(sorted_items.searchsorted(values), last)], values)
            return matches

        return search
    arrays = [np.asarray(item) for item in items]

    def compare(values: Column) -> Column:
        found: Column = np.zeros((), np.bool_)
        for item in arrays:
            found = _either(found, np.equal(values, item))
        return found

    return compare
