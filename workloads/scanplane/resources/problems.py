"""What is wrong with a document, where, and what to write instead, in one line for people."""

from collections.abc import Sequence

from msgspec import Struct

__all__ = ["Position", "Problem", "render_problems"]


class Position(Struct, frozen=True, order=True):
    """A place in a text; both numbers begin at 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


class Problem(Struct, frozen=True, kw_only=True):
    """One mistake. ``file`` is empty where the document comes from the API instead of a text.

    It reads ``FILE:LINE:COLUMN spec.massive.feed: unknown feed 'Realtime'; did you mean RealTime?``.
    """

    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column} " if self.file else ""
        path = f"{self.path}: " if self.path else ""
        suggestion = f"; {self.suggestion}" if self.suggestion else ""
        return f"{place}{path}{self.message}{suggestion}"


def render_problems(problems: Sequence[Problem]) -> str:
    """Return all problems, one a line, in the order given, and a last line that counts them; empty for none."""
    if not problems:
        return ""
    files = len({problem.file for problem in problems})
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    place = f" in {files} files" if files > 1 else ""
    return "\n".join([*map(str, problems), f"{count}{place}."])
