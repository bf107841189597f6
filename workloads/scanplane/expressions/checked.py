"""A text that is known to be an expression: parsed, checked, and not compiled yet.

Whoever only judges Scanners (the planner, and with it the operator) stops here, and needs no NumPy.
"""

from collections.abc import Mapping

from msgspec import Struct

from scanplane.expressions.checker import Checker
from scanplane.expressions.parser import parse
from scanplane.expressions.problems import ProblemCollector
from scanplane.expressions.value_types import FeatureValue, Operation, TypedNode, ValueType
from scanplane.features.catalogue import CATALOGUE, Feature, FeatureType

__all__ = ["CheckedExpression", "check_expression"]


class CheckedExpression(Struct, frozen=True, kw_only=True):
    """An expression without a mistake.

    ``source`` is the text, ``features`` the names of the columns it reads and ``uses_events`` whether an event is among
    them, which is true for one tick only.
    """

    source: str
    tree: TypedNode
    features: frozenset[str]
    uses_events: bool


def check_expression(
    source: str, expected: ValueType, catalogue: Mapping[str, Feature] = CATALOGUE
) -> CheckedExpression:
    """Return what *source* means; it must yield *expected*.

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
    return CheckedExpression(source=source, tree=tree, features=names, uses_events=uses_events)


def _features_of(tree: TypedNode) -> set[str]:
    if isinstance(tree, FeatureValue):
        return {tree.name}
    return set().union(*map(_features_of, tree.arguments)) if isinstance(tree, Operation) else set()
