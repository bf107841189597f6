"""From a place within a text to its place in the file.

An expression error says line and column within the expression. In the file that text may be quoted, folded over several
lines or indented as a block. Every one of these changes white space and escapes only, so the n-th
character that is no white space is the same in both, and counting those leads from one to the other.
"""

import re
from collections.abc import Iterator

from scanplane.resources.problems import Position
from scanplane.resources.yaml_text import ScalarNode, SourceText

__all__ = ["position_within"]

_ESCAPED_SPACE = frozenset("nrtvfN_LP \t")
_HEX_ESCAPE_LENGTHS = {"x": 4, "u": 6, "U": 10}
_PROPERTY = re.compile(r"[&!]\S*\s*")


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
        if index == count:
            return start if (at and not at.isspace()) or last is None else last
        last = end
    return last or node.start


def _visible_characters(source: SourceText, node: ScalarNode) -> Iterator[tuple[Position, Position]]:
    """Yield where each character of the node's text that is no white space begins and ends in the file."""
    lines = source.text.removeprefix("\ufeff").split("\n")
    first, column = _content_start(lines, node)
    is_block = node.style in ("|", ">")
    for number in range(first, min(node.end.line, len(lines)) + 1):
        line = lines[number - 1]
        end = node.end.column - 1 if number == node.end.line and not is_block else len(line)
        if number == node.end.line and not is_block and node.style:
            end -= 1
        index = column - 1 if number == first else 0
        while index < end:
            length, is_visible = _character(line, index, node.style)
            if is_visible:
                yield Position(number, index + 1), Position(number, index + length + 1)
            index += length


def _content_start(lines: list[str], node: ScalarNode) -> tuple[int, int]:
    """Return line and column where the text itself begins, after its anchor, tag, quote or block header."""
    line, index = node.start.line, node.start.column - 1
    while found := _PROPERTY.match(lines[line - 1], index):
        index = found.end()
        if index >= len(lines[line - 1]):
            line, index = line + 1, 0
            index = len(lines[line - 1]) - len(lines[line - 1].lstrip())
    if node.style in ("|", ">"):
        return line + 1, 1
    return line, index + (2 if node.style else 1)


def _character(line: str, index: int, style: str | None) -> tuple[int, bool]:
    """Return how many characters of the file stand for the one at *index*, and whether it is no white space."""
    following = line[index + 1 : index + 2].rstrip("\r")
    if style == '"' and line[index] == "\\":
        if following in _HEX_ESCAPE_LENGTHS:
            length = _HEX_ESCAPE_LENGTHS[following]
            return length, not chr(int(line[index + 2 : index + length], 16)).isspace()
        return 2, following not in _ESCAPED_SPACE and following != ""
    if style == "'" and line[index] == "'" and following == "'":
        return 2, True
    return 1, not line[index].isspace()
