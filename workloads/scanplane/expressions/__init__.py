"""Scanner expressions: CEL, type-checked against the feature catalogue and compiled to NumPy.

One evaluation covers every symbol of a market. Text becomes tokens (``lexer``), a syntax tree (``parser``), a checked
tree (``checker``) and steps over columns (``compiler``). What evaluates stands in ``program``, apart from what only
checks, which this page names. No expression library is needed at run time; one is the oracle
of the differential tests. What authors of scanners need to know stands in ``docs/expressions.md``.
"""

from scanplane.expressions.checked import CheckedExpression, check_expression
from scanplane.expressions.parser import MAX_DEPTH, MAX_NODES, MAX_SOURCE_CHARACTERS
from scanplane.expressions.problems import ExpressionError, Problem
from scanplane.expressions.value_types import ValueType

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_SOURCE_CHARACTERS",
    "CheckedExpression",
    "ExpressionError",
    "Problem",
    "ValueType",
    "check_expression",
]
