"""A syntax tree to a checked one: names against the catalogue of features, types against operators and functions.

Every check answers with a typed node, or with None for what was reported; None is silent further up, so that one
mistake makes one problem.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from scanplane.expressions import syntax
from scanplane.expressions.functions import FUNCTIONS, NAME_HINTS, FunctionSignature, hint_for_function
from scanplane.expressions.problems import ProblemCollector, Span, quote
from scanplane.expressions.value_types import (
    TYPE_OF_FEATURE,
    Constant,
    FeatureValue,
    Operation,
    Operator,
    TypedNode,
    ValueType,
)
from scanplane.features.catalogue import Feature, FeatureType

__all__ = ["Checker"]

_UNKNOWN_WORDS = frozenset({"null", "Null", "NULL", "None", "nil", "nan", "NaN", "NAN", "undefined", "na", "NA"})
_NUMERIC = re.compile(r"[0-9]+(\.[0-9]+)?(e[0-9]+)?")
_ORDERED = frozenset({"<", "<=", ">", ">="})


class Checker:
    """Checks the trees of one source."""

    def __init__(self, source: str, catalogue: Mapping[str, Feature], problems: ProblemCollector) -> None:
        self._source = source
        self._catalogue = catalogue
        self._problems = problems
        self._catalogue_was_listed = False
        self._checks: dict[type[Any], Callable[[Any], TypedNode | None]] = {
            syntax.Invalid: self._invalid,
            syntax.Literal: self._literal,
            syntax.Name: self._name,
            syntax.Not: self._not,
            syntax.Negation: self._negation,
            syntax.Logical: self._logical,
            syntax.Comparison: self._comparison,
            syntax.Arithmetic: self._arithmetic,
            syntax.Membership: self._membership,
            syntax.Conditional: self._conditional,
            syntax.ListLiteral: self._list,
            syntax.Call: self._call,
        }

    def check(self, node: syntax.Node) -> TypedNode | None:
        """Return the checked tree, or None where a problem was added."""
        return self._checks[type(node)](node)

    def check_as(self, node: syntax.Node, expected: ValueType, whose: str) -> TypedNode | None:
        """Return the checked tree if its type is *expected*; *whose* begins the message if it is not."""
        typed = self.check(node)
        if typed is None or typed.type is expected:
            return typed
        message = f"{whose} needs {expected.words}, but this is {typed.type.words}"
        self._problems.add(node.span, message, self._conversion(node, typed, expected))
        return None

    def _conversion(self, node: syntax.Node, typed: TypedNode, expected: ValueType) -> str:
        shown = self._slice(node.span) if isinstance(node, syntax.Name | syntax.Call) else "x"
        if expected is ValueType.BOOL:
            return f"compare it: {shown} > 0" if typed.type is ValueType.NUMBER else f"compare it: {shown} == 'A'"
        if expected is ValueType.NUMBER and typed.type is ValueType.BOOL:
            return f"write {shown} ? 1 : 0"
        if isinstance(typed, Constant) and typed.type is ValueType.TEXT and _is_numeric(typed.value):
            return f"leave out the quotes: {typed.value}"
        if isinstance(typed, Constant) and expected is ValueType.TEXT:
            return f"write '{typed.text}'"
        return ""

    def _slice(self, span: Span) -> str:
        text = " ".join(self._source[span.start : span.end].split())
        is_short = len(text) <= 60 and text.isprintable()
        return text if is_short and text.count("(") == text.count(")") and "//" not in text else "x"

    # Leaves

    def _invalid(self, _node: syntax.Invalid) -> None:
        return None

    def _literal(self, node: syntax.Literal) -> TypedNode:
        if isinstance(node.value, bool):
            return Constant(node.value, ValueType.BOOL, node.text)
        if isinstance(node.value, str):
            return Constant(node.value, ValueType.TEXT, node.text)
        return Constant(node.value, ValueType.NUMBER, node.text)

    def _name(self, node: syntax.Name) -> TypedNode | None:
        feature = self._feature(node)
        return FeatureValue(feature.name, TYPE_OF_FEATURE[feature.type]) if feature else None

    def _feature(self, node: syntax.Name) -> Feature | None:
        feature = self._catalogue.get(node.name)
        if feature is None:
            self._problems.add(node.span, f"unknown feature {quote(node.name)}", self._name_hint(node.name))
        return feature

    def _name_hint(self, name: str) -> str:
        if name in _UNKNOWN_WORDS:
            return "to ask whether x is known, write has(x) or !has(x)"
        if name in FUNCTIONS or name == "has":
            usage = FUNCTIONS[name].usage if name in FUNCTIONS else "has(price)"
            return f"it is a function: write {usage}"
        meant = NAME_HINTS.get(name.lower())
        if meant in self._catalogue:
            return f"did you mean {meant}?"
        close = difflib.get_close_matches(name.lower()[:64], self._catalogue, n=1, cutoff=0.7)
        if close:
            return f"did you mean {close[0]}?"
        if self._catalogue_was_listed:
            return ""
        self._catalogue_was_listed = True
        return f"there are {', '.join(self._catalogue)}"

    # Logic

    def _not(self, node: syntax.Not) -> TypedNode | None:
        if isinstance(node.operand, syntax.Name):
            feature = self._catalogue.get(node.operand.name)
            if feature is not None and feature.type is FeatureType.NUMBER:
                message = f"'!' needs true or false, but {feature.name} is a number"
                self._problems.add(node.operand.span, message, f"write !has({feature.name}) or {feature.name} == 0")
                return None
        operand = self.check_as(node.operand, ValueType.BOOL, "'!'")
        return operand and Operation(Operator.NOT, (operand,), ValueType.BOOL)

    def _logical(self, node: syntax.Logical) -> TypedNode | None:
        operands = [self.check_as(operand, ValueType.BOOL, quote(node.operator)) for operand in node.operands]
        known = tuple(operand for operand in operands if operand is not None)
        return Operation(Operator(node.operator), known, ValueType.BOOL) if len(known) == len(operands) else None

    def _conditional(self, node: syntax.Conditional) -> TypedNode | None:
        condition = self.check_as(node.condition, ValueType.BOOL, "'?'")
        then = self.check(node.then)
        otherwise = None if then is None else self.check_as(node.otherwise, then.type, "':' after such a value")
        if then is None:
            self.check(node.otherwise)
        if condition is None or then is None or otherwise is None:
            return None
        return Operation(Operator.CONDITIONAL, (condition, then, otherwise), then.type)

    # Comparison

    def _comparison(self, node: syntax.Comparison) -> TypedNode | None:
        if self._asks_for_unknown(node) or self._is_chained(node):
            return None
        left, right = self.check(node.left), self.check(node.right)
        if left is None or right is None:
            return None
        if left.type is not right.type:
            message = f"{quote(node.operator)} compares {left.type.words} with {right.type.words}"
            self._problems.add(node.right.span, message, self._comparison_hint(node, left, right))
            return None
        if left.type is ValueType.BOOL and node.operator in _ORDERED:
            message = f"{quote(node.operator)} does not order true and false"
            self._problems.add(node.right.span, message, "write &&, ||, == or !=")
            return None
        return Operation(Operator(node.operator), (left, right), ValueType.BOOL)

    def _comparison_hint(self, node: syntax.Comparison, left: TypedNode, right: TypedNode) -> str:
        for side, typed in ((node.left, left), (node.right, right)):
            if typed.type is ValueType.BOOL:
                return f"write {self._slice(side.span)} alone" if isinstance(side, syntax.Name) else ""
        return self._conversion(node.right, right, left.type) or self._conversion(node.left, left, right.type)

    def _asks_for_unknown(self, node: syntax.Comparison) -> bool:
        for side, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(side, syntax.Name) and side.name in _UNKNOWN_WORDS and side.name not in self._catalogue:
                shown = self._slice(other.span)
                hint = f"write has({shown})" if node.operator == "!=" else f"write !has({shown})"
                self._problems.add(side.span, f"there is no {quote(side.name)}: a value is known or unknown", hint)
                self.check(other)
                return True
        return False

    def _is_chained(self, node: syntax.Comparison) -> bool:
        first = node.left
        if not isinstance(first, syntax.Comparison) or node.operator not in _ORDERED or first.operator not in _ORDERED:
            return False
        middle = self._slice(first.right.span)
        hint = f"write {self._slice(first.left.span)} {first.operator} {middle} && "
        hint += f"{middle} {node.operator} {self._slice(node.right.span)}"
        self._problems.add(node.span, "comparisons do not chain", hint)
        for part in (first.left, first.right, node.right):
            self.check(part)
        return True

    def _membership(self, node: syntax.Membership) -> TypedNode | None:
        value = self.check(node.value)
        if not isinstance(node.container, syntax.ListLiteral):
            container = self.check(node.container)
            if container is not None:
                hint = "write a list: symbol in ['AAPL', 'MSFT']; a part of a text is found by contains"
                message = f"'in' needs a list, but this is {container.type.words}"
                self._problems.add(node.container.span, message, hint)
            return None
        if value is not None and value.type is ValueType.BOOL:
            self._problems.add(node.value.span, "'in' needs a number or a text before it", "write the condition alone")
            return None
        items = [
            self.check(item) if value is None else self.check_as(item, value.type, "this list")
            for item in node.container.items
        ]
        known = tuple(item for item in items if item is not None)
        if value is None or len(known) < len(items):
            return None
        return Operation(Operator.IN, (value, *known), ValueType.BOOL)

    def _list(self, node: syntax.ListLiteral) -> None:
        self._problems.add(node.span, "a list stands only after 'in'", "write for example symbol in ['AAPL', 'MSFT']")

    # Arithmetic

    def _arithmetic(self, node: syntax.Arithmetic) -> TypedNode | None:
        whose = quote(node.operator)
        left = self.check_as(node.left, ValueType.NUMBER, whose)
        right = self.check_as(node.right, ValueType.NUMBER, whose)
        if left is None or right is None:
            return None
        return Operation(Operator(node.operator), (left, right), ValueType.NUMBER)

    def _negation(self, node: syntax.Negation) -> TypedNode | None:
        operand = self.check_as(node.operand, ValueType.NUMBER, "'-'")
        return operand and Operation(Operator.NEGATE, (operand,), ValueType.NUMBER)

    # Functions

    def _call(self, node: syntax.Call) -> TypedNode | None:
        if node.function == "has" and node.target is None:
            return self._has(node)
        signature = FUNCTIONS.get(node.function)
        if signature is None:
            self._unknown_function(node)
            return None
        arguments = node.arguments if node.target is None else (node.target, *node.arguments)
        is_allowed = signature.function if node.target is None else signature.method
        if not is_allowed or not _fits(signature, len(arguments)):
            message = f"{node.function} is not called like this"
            self._problems.add(node.function_span, message, f"write {signature.usage}")
            return None
        parameters = signature.parameters + signature.parameters[-1:] * (len(arguments) - len(signature.parameters))
        typed = [
            self.check_as(argument, parameter, node.function)
            for argument, parameter in zip(arguments, parameters, strict=True)
        ]
        known = tuple(argument for argument in typed if argument is not None)
        return Operation(signature.operator, known, signature.result) if len(known) == len(typed) else None

    def _has(self, node: syntax.Call) -> TypedNode | None:
        if len(node.arguments) != 1 or not isinstance(node.arguments[0], syntax.Name):
            self._problems.add(node.span, "has takes the name of one feature", "write for example has(free_float)")
            return None
        feature = self._feature(node.arguments[0])
        if feature is None:
            return None
        if feature.type is FeatureType.EVENT:
            message = f"has({feature.name}) is always true, because an event is never unknown"
            self._problems.add(node.span, message, f"write {feature.name} alone")
            return None
        if feature.type is FeatureType.TEXT:
            return Constant(value=True, type=ValueType.BOOL, text=f"has({feature.name})")
        value = FeatureValue(feature.name, ValueType.NUMBER)
        return Operation(Operator.KNOWN, (value,), ValueType.BOOL)

    def _unknown_function(self, node: syntax.Call) -> None:
        hint = hint_for_function(node.function)
        if not hint and node.target is None and node.function in self._catalogue:
            hint = f"it is a feature: write {node.function} alone"
        if not hint:
            close = difflib.get_close_matches(node.function[:64], [*FUNCTIONS, "has"], n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are has, {', '.join(FUNCTIONS)}"
        self._problems.add(node.function_span, f"unknown function {quote(node.function)}", hint)


def _fits(signature: FunctionSignature, count: int) -> bool:
    return count == len(signature.parameters) or (signature.variadic and count > len(signature.parameters))


def _is_numeric(value: object) -> bool:
    return isinstance(value, str) and _NUMERIC.fullmatch(value) is not None
