"""A checked tree to a function over columns.

The tree becomes a short list of steps over registers; equal sub-expressions share one step, constants are computed once,
and a register is used again after its last reader, so that the columns in flight stay few and warm in the processor's
cache. The steps are closures: no text of the author is ever executed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from scanplane.expressions.operations import (
    KEEPS_FINITE,
    NUMBER_OPERATIONS,
    OPERATIONS,
    TAKES_INFINITE,
    Column,
    membership,
    unknown_if_infinite,
)
from scanplane.expressions.value_types import (
    Constant,
    FeatureValue,
    Operation,
    Operator,
    PlainValue,
    TypedNode,
    ValueType,
)

__all__ = ["compile_trees", "quiet"]

_Step = Callable[[list[Column]], None]
_FOLDED = frozenset({Operator.AND, Operator.OR, Operator.GREATEST, Operator.LEAST})
_MAKES_NUMBERS = frozenset(
    {
        Operator.ADD,
        Operator.SUBTRACT,
        Operator.MULTIPLY,
        Operator.DIVIDE,
        Operator.REMAINDER,
        Operator.NEGATE,
        Operator.CONDITIONAL,
        Operator.ABSOLUTE,
        Operator.GREATEST,
        Operator.LEAST,
        Operator.SIZE,
    }
)


def quiet() -> np.errstate:
    """Return the one place where NumPy's warnings end: what they warn of is unknown by definition."""
    return np.errstate(all="ignore")


class _Value(Struct, frozen=True):
    """A numbered value; ``finite`` says that it holds no infinity."""

    number: int
    finite: bool = True


class _Instruction(Struct, frozen=True):
    """Compute ``target`` from ``sources``."""

    function: Callable[..., Column]
    target: int
    sources: tuple[int, ...]


class _Lowering:
    """Numbers each different value of a tree once."""

    def __init__(self) -> None:
        self.constants: dict[int, Column] = {}
        self.features: dict[str, int] = {}
        self.instructions: list[_Instruction] = []
        self._values: dict[tuple[Any, ...], _Value] = {}
        self._count = 0

    def lower(self, node: TypedNode) -> _Value:
        if isinstance(node, Constant):
            return self._constant(node.type, node.value)
        if isinstance(node, FeatureValue):
            if node.name not in self.features:
                self.features[node.name] = self._new()
            return _Value(self.features[node.name])
        if node.operator is Operator.IN:
            return self._membership(node)
        arguments = [self.lower(argument) for argument in node.arguments]
        if node.operator in _FOLDED:
            return self._fold(node.operator, arguments)
        return self._operation(node.operator, arguments, is_number=node.arguments[0].type is ValueType.NUMBER)

    def finite(self, value: _Value) -> _Value:
        """Return *value* without infinities."""
        if value.finite:
            return value
        return self._compute(unknown_if_infinite, ("finite",), (value,), finite=True)

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def _constant(self, value_type: ValueType, value: PlainValue) -> _Value:
        key = ("constant", value_type, value)
        if key not in self._values:
            self._values[key] = _Value(self._new())
            self.constants[self._values[key].number] = np.asarray(value)
        return self._values[key]

    def _fold(self, operator: Operator, arguments: list[_Value]) -> _Value:
        result = arguments[0] if operator in {Operator.AND, Operator.OR} else self.finite(arguments[0])
        for argument in arguments[1:]:
            result = self._operation(operator, [result, argument], is_number=False)
        return result

    def _operation(self, operator: Operator, arguments: list[_Value], *, is_number: bool) -> _Value:
        if operator is Operator.DIVIDE:
            arguments = [arguments[0], self.finite(arguments[1])]
        elif operator not in TAKES_INFINITE:
            arguments = [self.finite(argument) for argument in arguments]
        keeps = operator in KEEPS_FINITE and all(argument.finite for argument in arguments)
        finite = keeps or operator not in _MAKES_NUMBERS
        function = OPERATIONS[operator]
        if is_number and operator in NUMBER_OPERATIONS:
            function = NUMBER_OPERATIONS[operator]
        return self._compute(function, (operator, is_number), tuple(arguments), finite=finite)

    def _membership(self, node: Operation) -> _Value:
        value = self.finite(self.lower(node.arguments[0]))
        constants = [item for item in node.arguments[1:] if isinstance(item, Constant)]
        items = tuple(constant.value for constant in constants)
        found = self._compute(membership(items), ("in", items), (value,), finite=True)
        for other in node.arguments[1:]:
            if not isinstance(other, Constant):
                equal = self._operation(Operator.EQUAL, [value, self.lower(other)], is_number=False)
                found = self._operation(Operator.OR, [found, equal], is_number=False)
        return found

    def _compute(
        self, function: Callable[..., Column], key: tuple[Any, ...], sources: tuple[_Value, ...], *, finite: bool
    ) -> _Value:
        numbers = tuple(source.number for source in sources)
        whole_key = ("step", key, numbers)
        if whole_key not in self._values:
            value = _Value(self._new(), finite)
            if all(number in self.constants for number in numbers):
                self.constants[value.number] = np.asarray(function(*(self.constants[number] for number in numbers)))
            else:
                self.instructions.append(_Instruction(function, value.number, numbers))
            self._values[whole_key] = value
        return self._values[whole_key]


def compile_trees(trees: Sequence[TypedNode]) -> Callable[[Mapping[str, Any]], list[Column]]:
    """Return a function from columns, by feature, to one column for each of *trees*; what they have in common is shared.

    What it returns may be one of the columns, and may have no dimension where it is the same for every symbol.
    """
    lowering = _Lowering()
    with quiet():
        results = [lowering.finite(lowering.lower(tree)).number for tree in trees]
    registers, homes = _allocate(lowering, frozenset(results))
    loads = tuple((homes[number], name) for name, number in lowering.features.items())
    steps = tuple(
        _step(instruction.function, homes[instruction.target], [homes[source] for source in instruction.sources])
        for instruction in lowering.instructions
    )
    result_homes = tuple(homes[result] for result in results)
    as_array = np.asarray

    def run(columns: Mapping[str, Any]) -> list[Column]:
        values = registers.copy()
        for home, name in loads:
            values[home] = as_array(columns[name])
        with quiet():
            for step in steps:
                step(values)
        return [values[home] for home in result_homes]

    return run


def _allocate(lowering: _Lowering, results: frozenset[int]) -> tuple[list[Column], dict[int, int]]:
    """Give every value a register. Constants and features keep theirs; that of a step is free after its last reader."""
    homes: dict[int, int] = {}
    registers: list[Column] = []
    nothing = np.zeros(())
    for number in (*lowering.constants, *lowering.features.values()):
        homes[number] = len(registers)
        registers.append(lowering.constants.get(number, nothing))
    last_reader = {source: place for place, step in enumerate(lowering.instructions) for source in step.sources}
    can_free = {step.target for step in lowering.instructions} - results
    free: list[int] = []
    for place, step in enumerate(lowering.instructions):
        free.extend(homes[s] for s in set(step.sources) if s in can_free and last_reader[s] == place)
        if not free:
            free.append(len(registers))
            registers.append(nothing)
        homes[step.target] = free.pop()
    return registers, homes


def _step(function: Callable[..., Column], target: int, sources: Sequence[int]) -> _Step:
    """Return a closure that computes one register from others."""
    first, second, third = (*sources, 0, 0)[:3]

    def unary(values: list[Column]) -> None:
        values[target] = function(values[first])

    def binary(values: list[Column]) -> None:
        values[target] = function(values[first], values[second])

    def ternary(values: list[Column]) -> None:
        values[target] = function(values[first], values[second], values[third])

    return (unary, binary, ternary)[len(sources) - 1]
