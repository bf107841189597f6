"""An expression that is ready to be evaluated over a whole market."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanplane.expressions.checked import CheckedExpression, check_expression
from scanplane.expressions.compiler import compile_trees
from scanplane.expressions.explanation import Explainer
from scanplane.expressions.value_types import ValueType
from scanplane.features.catalogue import CATALOGUE, Feature

__all__ = ["Program", "compile_expression"]


class Program:
    """A compiled expression. It holds no state: one program may be evaluated from several threads.

    ``source`` is the text, ``value_type`` what it yields, ``features`` the names of the columns it reads and
    ``uses_events`` whether an event is among them, which is true for one tick only.

    Columns are one-dimensional arrays of equal length, one value for each symbol: float64 for a number, with NaN for
    unknown and no infinities; bool for an event; NumPy's unicode for a text. A column that is the same for every symbol
    (``session``) may be a str, a float or an array of no dimension.
    """

    def __init__(self, checked: CheckedExpression) -> None:
        self.source = checked.source
        self.value_type = checked.tree.type
        self.features = checked.features
        self.uses_events = checked.uses_events
        self._tree = checked.tree
        self._run = compile_trees([checked.tree])

    def __repr__(self) -> str:
        return f"Program({self.source!r})"

    def evaluate(self, columns: Mapping[str, Any]) -> NDArray[Any]:
        """Return one value for each symbol, in an array of its own: a mask for BOOL, float64 with NaN for unknown
        for NUMBER.

        Raises KeyError if a column of ``features`` is missing, ValueError if no column says how many symbols there are.
        """
        (result,) = self._run(columns)
        if result.ndim == 0:
            return np.full(_count_symbols(columns, self.features), result)
        is_column = any(np.may_share_memory(result, columns[name]) for name in self.features)
        return result.copy() if is_column else result

    def explain(self, columns: Mapping[str, Any], row: int) -> str:
        """Return in one line why a symbol matched or did not, such as ``gap_percent 7.31 >= 4 && volume 81000 > 5e4``.

        Only what decided is shown, and what was false stands in ``!(...)``. For a number: its parts and the result.
        """
        return self._explainer.explain(columns, row)

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self._tree)


def _count_symbols(columns: Mapping[str, Any], features: frozenset[str]) -> int:
    for name in (*features, "symbol", *columns):
        if name in columns and np.ndim(columns[name]) == 1:
            return len(columns[name])
    raise ValueError("no column says how many symbols there are")


def compile_expression(source: str, expected: ValueType, catalogue: Mapping[str, Feature] = CATALOGUE) -> Program:
    """Return the program of *source*, which must yield *expected*. Raises ExpressionError as ``check_expression`` does."""
    return Program(check_expression(source, expected, catalogue))
