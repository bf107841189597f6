"""The checked tree: every node has a type, every name is a feature, every call is an operation that exists.

There are three types. A number is CEL's double; integers are written for convenience and become doubles. An event is a
bool. What an operation does to a whole column stands in :mod:`scanplane.expressions.operations`.
"""

import enum

from msgspec import Struct

from scanplane.features.catalogue import FeatureType

__all__ = [
    "TYPE_OF_FEATURE",
    "Constant",
    "FeatureValue",
    "Operation",
    "Operator",
    "PlainValue",
    "TypedNode",
    "ValueType",
]


class ValueType(enum.StrEnum):
    """The type of a value; the names are CEL's."""

    NUMBER = "double"
    BOOL = "bool"
    TEXT = "string"

    @property
    def words(self) -> str:
        """The type as a message calls it."""
        return {"double": "a number", "bool": "true or false", "string": "a text"}[self.value]


PlainValue = float | str | bool
"""One value as Python has it."""

TYPE_OF_FEATURE = {
    FeatureType.NUMBER: ValueType.NUMBER,
    FeatureType.TEXT: ValueType.TEXT,
    FeatureType.EVENT: ValueType.BOOL,
}
"""The type that a feature has in an expression."""


class Operator(enum.StrEnum):
    """What can be done; the value is how CEL writes it."""

    AND = "&&"
    OR = "||"
    NOT = "!"
    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_EQUAL = "<="
    GREATER = ">"
    GREATER_EQUAL = ">="
    IN = "in"
    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    REMAINDER = "%"
    NEGATE = "-_"
    CONDITIONAL = "?:"
    KNOWN = "has"
    ABSOLUTE = "math.abs"
    GREATEST = "math.greatest"
    LEAST = "math.least"
    STARTS_WITH = "startsWith"
    ENDS_WITH = "endsWith"
    CONTAINS = "contains"
    SIZE = "size"


class Constant(Struct, frozen=True):
    """A value that is the same for every symbol; ``text`` is how it was written."""

    value: PlainValue
    type: ValueType
    text: str


class FeatureValue(Struct, frozen=True):
    """The column of a feature."""

    name: str
    type: ValueType


class Operation(Struct, frozen=True):
    """An operator and what it is done to. IN has the value first and then the list's items."""

    operator: Operator
    arguments: "tuple[TypedNode, ...]"
    type: ValueType


TypedNode = Constant | FeatureValue | Operation
