"""An expression that is ready to be evaluated over a whole market."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanplane.expressions.checker import Checker
from scanplane.expressions.compiler import compile_trees
from scanplane.expressions.explanation import Explainer
from scanplane.expressions.parser import parse
from scanplane.expressions.problems import ProblemCollector
from scanplane.expressions.value_types import FeatureValue, Operation, TypedNode, ValueType
from scanplane.features.catalogue import CATALOGUE, Feature, FeatureType

__all__ = ["Program", "compile_expression"]


class Program:
    """A compiled expression. It holds no state: one program may be evaluated from several threads.

    ``source`` is the text, ``value_type`` what it yields, ``features`` the names of the columns it reads and
    ``uses_events`` whether an event is among them, which is true for one tick only.

    Columns are one-dimensional arrays of equal length, one value for each symbol: float64 for a number, with NaN for
    unknown and no infinities; bool for an event; NumPy's unicode for a text. A column that is the same for every symbol
    (``session``) may be a str, a float or an array of no dimension.
    """

    def __init__(self, source: str, tree: TypedNode, *, features: frozenset[str], uses_events: bool) -> None:
        self.source = source
        self.value_type = tree.type
        self.features = features
        self.uses_events = uses_events
        self._tree = tree
        self._run = compile_trees([tree])

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


def _features_of(tree: TypedNode) -> set[str]:
    if isinstance(tree, FeatureValue):
        return {tree.name}
    return set().union(*map(_features_of, tree.arguments)) if isinstance(tree, Operation) else set()


def compile_expression(source: str, expected: ValueType, catalogue: Mapping[str, Feature] = CATALOGUE) -> Program:
    """Return the program of *source*, which must yield *expected*.

    Raises ExpressionError with every problem that was found, each with line, column, message and suggestion.
    """
    problems = ProblemCollector()
    fragments = parse(source, problems)
    checker = Checker(source, catalogue, problems)
    if problems:
        for fragment in fragments:
            checker.check(fragment)
    tree = checker.check_as(fragments[0], expected, "this expression") if fragments and not problems else None
    problems.raise_if_any()
    assert tree is not None, "a check without a problem has a tree"
    names = frozenset(_features_of(tree))
    uses_events = any(catalogue[name].type is FeatureType.EVENT for name in names)
    return Program(source, tree, features=names, uses_events=uses_events)
