"""From a place within a text to its place in the file.

An expression error says line and column within the expression. In the file that text may be quoted, folded over several
lines or indented as a block. Every one of these changes white space and escapes only, so the n-th
character that is no white space is the same in both, and counting those leads from one to the other.
"""

from collections.abc import Iterator

from scanplane.resources.problems import Position
from scanplane.resources.yaml_text import ScalarNode, SourceText

__all__ = ["position_within"]

_ESCAPED_SPACE = frozenset("nrtvfN_LP \t\n")
_ESCAPE_LENGTHS = {"x": 4, "u": 6, "U": 10}


def position_within(source: SourceText, node: ScalarNode, line: int = 1, column: int = 1) -> Position:
    """Return where in the file the character at *line* and *column* of the text of *node* stands.

    White space is placed right after the character before it, a place beyond the end at the end.
    """
    lines = node.text.split("\n")
    before = "\n".join([*lines[: line - 1], lines[line - 1][: column - 1]]) if line <= len(lines) else node.text
    at = node.text[len(before) : len(before) + 1]
    count = sum(not character.isspace() for character in before)
    last = None
    for index, (start, end) in enumerate(_visible_characters(source, node)):
        if index == count and at and not at.isspace():
            return start
        if index == count:
            break
        last = end
    return last or node.start


def _visible_characters(source: SourceText, node: ScalarNode) -> Iterator[tuple[Position, Position]]:
    """Yield where each character of the node's text that is no white space begins and ends in the file."""
    lines = source.text.removeprefix("\ufeff").split("\n")
    first, column = node.start.line, node.start.column
    if node.style in ("|", ">"):
        first, column = first + 1, 1
    elif node.style:
        column += 1
    for number in range(first, min(node.end.line, len(lines)) + 1):
        line = lines[number - 1]
        end = node.end.column - 1 if number == node.end.line and node.style not in ("|", ">") else len(line)
        index = column - 1 if number == first else 0
        while index < end:
            length = _length(line, index, node.style)
            escaped_space = length > 1 and node.style == '"' and line[index + 1] in _ESCAPED_SPACE
            if not line[index].isspace() and not escaped_space:
                yield Position(number, index + 1), Position(number, index + length + 1)
            index += length


def _length(line: str, index: int, style: str | None) -> int:
    """Return how many characters of the file stand for the one at *index*."""
    following = line[index + 1 : index + 2]
    if style == '"' and line[index] == "\\" and following:
        return _ESCAPE_LENGTHS.get(following, 2)
    if style == "'" and line[index] == "'" and following == "'":
        return 2
    return 1
