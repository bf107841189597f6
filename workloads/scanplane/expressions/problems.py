"""What is wrong with an expression, where, and what to write instead.

Every stage adds to one collector and goes on, so that an author sees all mistakes at once. The collector is bounded:
a hostile text cannot make a long report.
"""

from msgspec import Struct

__all__ = ["MAX_PROBLEMS", "ExpressionError", "Problem", "ProblemCollector", "Span", "quote"]

MAX_PROBLEMS = 20
_QUOTED_CHARACTERS = 40


class Span(Struct, frozen=True):
    """A stretch of source: ``line`` and ``column`` count from 1, ``start`` and ``end`` are offsets; all in characters."""

    line: int
    column: int
    start: int
    end: int

    def until(self, last: "Span") -> "Span":
        """Return the span from the beginning of this one to the end of *last*."""
        return Span(self.line, self.column, self.start, last.end)


class Problem(Struct, frozen=True):
    """One mistake. ``suggestion`` says what to write instead; it may be empty."""

    line: int
    column: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        """Return one line, such as ``1:34 unknown feature 'gapp_percent'; did you mean gap_percent?``."""
        text = f"{self.line}:{self.column} {self.message}"
        return f"{text}; {self.suggestion}" if self.suggestion else text


class ExpressionError(ValueError):
    """An expression that cannot be used. ``problems`` holds everything found, in the order of the source."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        """Return one line for each problem."""
        return "\n".join(str(problem) for problem in self.problems)


class ProblemCollector:
    """Gathers the problems of one compilation; one at most for each place, and :data:`MAX_PROBLEMS` in all."""

    def __init__(self) -> None:
        self._problems: dict[tuple[int, int], Problem] = {}

    def __bool__(self) -> bool:
        return bool(self._problems)

    def add(self, span: Span, message: str, suggestion: str = "") -> None:
        """Note a problem at the beginning of *span*; the first one at a place wins, because later ones follow from it."""
        if len(self._problems) < MAX_PROBLEMS:
            place = (span.line, span.column)
            self._problems.setdefault(place, Problem(span.line, span.column, message, suggestion))

    def raise_if_any(self) -> None:
        """Raise ExpressionError if anything was noted."""
        if self._problems:
            raise ExpressionError(tuple(problem for _, problem in sorted(self._problems.items())))


def quote(text: str) -> str:
    """Return *text* in quotes for a message: on one line, printable and of bounded length."""
    shown = text if len(text) <= _QUOTED_CHARACTERS else text[: _QUOTED_CHARACTERS - 3] + "..."
    return "'" + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown) + "'"
