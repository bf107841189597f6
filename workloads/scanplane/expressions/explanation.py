"""Why an expression is true or false for one symbol, in one line of CEL with the values written in.

Only what decided is shown: of a true ``||`` the true sides, of a false ``&&`` the false ones, those as ``!(...)``; so
every part that is shown is true. The same operations as in a compiled expression compute it, on columns of one row.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from scanplane.expressions.compiler import compile_trees
from scanplane.expressions.operations import Column
from scanplane.expressions.value_types import (
    Constant,
    FeatureValue,
    Operation,
    Operator,
    PlainValue,
    TypedNode,
    ValueType,
)

__all__ = ["Explainer"]

_SIGNIFICANT_DIGITS = 6
_SHOWN_ITEMS = 4
_MAX_CHARACTERS = 1000
_PRECEDENCE = {
    Operator.CONDITIONAL: 0,
    Operator.OR: 1,
    Operator.AND: 2,
    Operator.EQUAL: 3,
    Operator.NOT_EQUAL: 3,
    Operator.LESS: 3,
    Operator.LESS_EQUAL: 3,
    Operator.GREATER: 3,
    Operator.GREATER_EQUAL: 3,
    Operator.IN: 3,
    Operator.ADD: 4,
    Operator.SUBTRACT: 4,
    Operator.MULTIPLY: 5,
    Operator.DIVIDE: 5,
    Operator.REMAINDER: 5,
}
_RELATION = 3
_UNARY = 6
_ATOM = 7
_TIGHT = frozenset({Operator.NOT, Operator.NEGATE})
_METHODS = frozenset({Operator.STARTS_WITH, Operator.ENDS_WITH, Operator.CONTAINS})
_FUNCTIONS = frozenset({Operator.ABSOLUTE, Operator.GREATEST, Operator.LEAST, Operator.SIZE, Operator.KNOWN})


class _Shown(Struct, frozen=True):
    """How a part is written, and how tightly it holds together: CEL's precedence."""

    text: str
    precedence: int = _ATOM

    def inside(self, precedence: int) -> str:
        return self.text if self.precedence >= precedence else f"({self.text})"


class Explainer:
    """Explains rows of one tree. Every part of the tree is compiled once, with all others."""

    def __init__(self, tree: TypedNode) -> None:
        self._tree = tree
        parts = {id(part): part for part in _parts(tree)}
        self._places = {identity: place for place, identity in enumerate(parts)}
        self._run = compile_trees(list(parts.values()))
        self._features = sorted({part.name for part in parts.values() if isinstance(part, FeatureValue)})

    def explain(self, columns: Mapping[str, Any], row: int) -> str:
        """Return what made the tree what it is in one *row*; for a number its parts and the result."""
        values = self._run({name: _cell(columns[name], row) for name in self._features})
        writer = _Writer(self._places, [value.item() for value in values])
        if self._tree.type is ValueType.BOOL:
            return _bounded(writer.condition(self._tree).text)
        shown = writer.value(self._tree).text
        is_leaf = isinstance(self._tree, FeatureValue | Constant)
        return _bounded(shown) if is_leaf else f"{_bounded(shown)} = {_format(writer.compute(self._tree))}"


def _parts(tree: TypedNode) -> Iterator[TypedNode]:
    if isinstance(tree, Operation):
        for argument in tree.arguments:
            yield from _parts(argument)
    yield tree


def _cell(column: Any, row: int) -> Column:  # noqa: ANN401 - a column may be an array or one text for all symbols
    array: Column = np.asarray(column)
    return array if array.ndim == 0 else array[row]


class _Writer:
    """Writes one row, given the value of every part."""

    def __init__(self, places: Mapping[int, int], values: list[PlainValue]) -> None:
        self._places = places
        self._values = values

    def compute(self, node: TypedNode) -> PlainValue:
        return self._values[self._places[id(node)]]

    def condition(self, node: TypedNode) -> _Shown:
        """Show a bool as something true: itself, or its negation."""
        is_true = bool(self.compute(node))
        if isinstance(node, Operation) and node.operator in {Operator.AND, Operator.OR}:
            return self._logical(node, is_true=is_true)
        if isinstance(node, Operation) and node.operator is Operator.NOT:
            return self.condition(node.arguments[0])
        if isinstance(node, Operation) and node.operator is Operator.CONDITIONAL:
            condition, then, otherwise = node.arguments
            chosen = then if self.compute(condition) else otherwise
            return _Shown(f"{self.condition(condition).text} && {self.condition(chosen).text}", 2)
        shown = self.value(node)
        return shown if is_true else _Shown(f"!{shown.inside(_ATOM)}", _UNARY)

    def _logical(self, node: Operation, *, is_true: bool) -> _Shown:
        decides = node.operator is Operator.OR
        sides = node.arguments
        if is_true is decides:
            sides = tuple(side for side in sides if bool(self.compute(side)) is decides)
        shown = list(dict.fromkeys(self.condition(side).text for side in sides))
        return _Shown(" && ".join(shown), 2 if len(shown) > 1 else _UNARY)

    def value(self, node: TypedNode) -> _Shown:
        """Show any node with the values of its features."""
        if isinstance(node, Constant):
            text = json.dumps(node.value) if isinstance(node.value, str) else node.text
            return _Shown(text)
        if isinstance(node, FeatureValue):
            if node.type is ValueType.BOOL:
                return _Shown(node.name)
            return _Shown(f"{node.name} {_format(self.compute(node))}")
        return self._operation(node)

    def _operation(self, node: Operation) -> _Shown:
        shown = [self.value(argument) for argument in node.arguments]
        operator = node.operator
        if operator in _FUNCTIONS:
            return _Shown(f"{operator.value}({', '.join(part.text for part in shown)})")
        if operator in _METHODS:
            return _Shown(f"{shown[0].inside(_ATOM)}.{operator.value}({shown[1].text})")
        if operator in _TIGHT:
            return _Shown(f"{operator.value[0]}{shown[0].inside(_ATOM)}", _UNARY)
        precedence = _PRECEDENCE[operator]
        if operator is Operator.CONDITIONAL:
            condition, then, otherwise = (part.inside(1) for part in shown)
            return _Shown(f"{condition} ? {then} : {otherwise}", precedence)
        first = shown[0].inside(precedence + (precedence == _RELATION))
        if operator is Operator.IN:
            items = [part.text for part in shown[1 : 1 + _SHOWN_ITEMS]]
            if len(shown) > 1 + _SHOWN_ITEMS:
                items.append(f"... {len(shown) - 1 - _SHOWN_ITEMS} more")
            return _Shown(f"{first} in [{', '.join(items)}]", precedence)
        others = [part.inside(precedence + 1) for part in shown[1:]]
        return _Shown(f" {operator.value} ".join((first, *others)), precedence)


def _bounded(text: str) -> str:
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 3] + "..."


def _format(value: PlainValue) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if not math.isfinite(value):
        return "unknown"
    if value != 0 and not 1e-6 <= abs(value) < 1e15:
        return f"{value:.{_SIGNIFICANT_DIGITS}g}"
    digits_before_point = math.floor(math.log10(abs(value))) + 1 if value else 1
    text = f"{value:.{max(0, _SIGNIFICANT_DIGITS - digits_before_point)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
