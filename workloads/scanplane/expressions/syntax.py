"""The syntax tree: what was written, before anything is known of its meaning.

``depth`` is kept in each node, so that every later recursion over the tree is known to be bounded.
"""

from msgspec import Struct

from scanplane.expressions.problems import Span

__all__ = [
    "Arithmetic",
    "Call",
    "Comparison",
    "Conditional",
    "Invalid",
    "ListLiteral",
    "Literal",
    "Logical",
    "Membership",
    "Name",
    "Negation",
    "Node",
    "Not",
]


class _Node(Struct, frozen=True, kw_only=True):
    span: Span
    depth: int = 1


class Invalid(_Node, frozen=True):
    """Something that was reported already."""


class Literal(_Node, frozen=True):
    """A number, text or truth; ``text`` is how it was written."""

    value: float | str | bool
    text: str


class Name(_Node, frozen=True):
    """A name that stands alone: a feature."""

    name: str


class Not(_Node, frozen=True):
    """``!operand``."""

    operand: "Node"


class Negation(_Node, frozen=True):
    """``-operand``."""

    operand: "Node"


class Logical(_Node, frozen=True):
    """Two or more operands joined by one ``operator``, ``&&`` or ``||``: a long chain is wide and not deep."""

    operator: str
    operands: "tuple[Node, ...]"


class Comparison(_Node, frozen=True):
    """``left operator right`` with one of ``== != < <= > >=``."""

    operator: str
    left: "Node"
    right: "Node"


class Arithmetic(_Node, frozen=True):
    """``left operator right`` with one of ``+ - * / %``."""

    operator: str
    left: "Node"
    right: "Node"


class Membership(_Node, frozen=True):
    """``value in container``."""

    value: "Node"
    container: "Node"


class Conditional(_Node, frozen=True):
    """``condition ? then : otherwise``."""

    condition: "Node"
    then: "Node"
    otherwise: "Node"


class ListLiteral(_Node, frozen=True):
    """``[a, b, c]``."""

    items: "tuple[Node, ...]"


class Call(_Node, frozen=True):
    """``function(arguments)``, or ``target.function(arguments)``; ``math.abs`` is a function without a target."""

    function: str
    function_span: Span
    target: "Node | None"
    arguments: "tuple[Node, ...]"


Node = (
    Invalid
    | Literal
    | Name
    | Not
    | Negation
    | Logical
    | Comparison
    | Arithmetic
    | Membership
    | Conditional
    | ListLiteral
    | Call
)
