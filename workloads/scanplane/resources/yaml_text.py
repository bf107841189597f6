"""YAML text to trees of nodes that know where they stand.

The tree is built from the parser's events, without recursion: a hostile text can neither overflow the stack (PyYAML's
C composer does) nor grow without bound through aliases. A malformed document is one problem and does not hide
the documents after it, because a text is split at its ``---`` lines first, as kubectl does.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Protocol

import yaml
from msgspec import Struct

from scanplane.resources.problems import Position, Problem

__all__ = ["MappingNode", "Node", "ScalarNode", "SequenceNode", "SourceText", "YamlDocument", "read_documents"]

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # libyaml is some ten times as fast where it is there
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_MAX_DEPTH = 100


class SourceText(Struct, frozen=True):
    """A text and the name that problems call it by: a path, or ``-``."""

    name: str
    text: str


class ScalarNode(Struct, frozen=True):
    """One text. ``style`` is None for plain, else one of ``' " | >``; ``tag`` is set where it was written out."""

    text: str
    style: str | None
    tag: str | None
    start: Position
    end: Position


class SequenceNode(Struct, frozen=True):
    """A list."""

    items: list["Node"]
    tag: str | None
    start: Position


class MappingNode(Struct, frozen=True):
    """A mapping, in the order of the text, with whatever keys are given twice."""

    entries: list[tuple["Node", "Node"]]
    tag: str | None
    start: Position


Node = ScalarNode | SequenceNode | MappingNode


class YamlDocument(Struct, frozen=True):
    """One document of a source."""

    source: SourceText
    root: Node


class _MalformedError(Exception):
    def __init__(self, position: Position, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.position = position
        self.message = message
        self.suggestion = suggestion


def read_documents(source: SourceText) -> tuple[list[YamlDocument], list[Problem]]:
    """Return the documents of *source* that can be read, and one problem for each that can't. Empty ones are left out."""
    documents: list[YamlDocument] = []
    problems: list[Problem] = []
    for text, lines_before in _split(source.text.removeprefix("\ufeff")):
        try:
            documents += [YamlDocument(source, root) for root in _compose(text, lines_before) if not _is_empty(root)]
        except _MalformedError as error:
            problems.append(
                Problem(
                    file=source.name,
                    line=error.position.line,
                    column=error.position.column,
                    message=error.message,
                    suggestion=error.suggestion,
                )
            )
    return documents, problems


def _split(text: str) -> Iterator[tuple[str, int]]:
    """Yield each document's text and how many lines stand before it."""
    starts = [0, *(found.start() for found in _SEPARATOR.finditer(text) if found.start() > 0), len(text)]
    lines_before = 0
    for start, end in itertools.pairwise(starts):
        yield text[start:end], lines_before
        lines_before += text.count("\n", start, end)


def _is_empty(root: Node) -> bool:
    return isinstance(root, ScalarNode) and root.style is None and not root.text


def _compose(text: str, lines_before: int) -> list[Node]:
    """Return the roots of a text. Raises _MalformedError."""
    composer = _Composer(lines_before)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        raise _unreadable_character(text, lines_before) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, lines_before) from None
    return composer.roots


_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _unreadable_character(text: str, lines_before: int) -> _MalformedError:
    # Where it is, the readers of PyYAML and libyaml count differently (in characters, in bytes).
    found = _UNREADABLE.search(text)
    before = text[: found.start()] if found else ""
    line = lines_before + before.count("\n") + 1
    message = f"the character U+{ord(found[0]):04X} is not allowed in YAML" if found else "not valid UTF-8"
    return _MalformedError(Position(line, len(before) - before.rfind("\n")), message)


_HINTS = (
    ("while scanning an alias", "a text that begins with * must be in quotes"),
    ("while scanning an anchor", "put the whole text in quotes when it begins with a quote, ! or &"),
    ("while scanning a tag", "a text that begins with ! must be in quotes"),
    ("while parsing a tag", "a text that begins with ! must be in quotes"),
    ("mapping values are not allowed", "put a text that contains ': ' in quotes, or check the indentation"),
    ("violates indentation", "indent with spaces, not tabs"),
    ("cannot start any token", "indent with spaces, not tabs; put a text that begins with %, @ or ` in quotes"),
    ("while scanning a quoted scalar", "the closing quote is missing"),
    ("while parsing a flow sequence", "close the list with ], its entries parted by commas"),
    ("while parsing a flow mapping", "close the mapping with }, its entries parted by commas"),
    ("while parsing a block mapping", "check the indentation, and a quote that ends before its line does"),
    ("while parsing a block collection", "check the indentation"),
    ("while scanning a simple key", "write a field as name: value"),
)


def _syntax_error(error: yaml.MarkedYAMLError, lines_before: int) -> _MalformedError:
    # Nothing of the text itself is repeated: it may be a Secret.
    mark = error.problem_mark or error.context_mark
    position = Position(mark.line + lines_before + 1, mark.column + 1) if mark else Position(lines_before + 1, 1)
    told = f"{error.context or ''} {error.problem or ''}"
    suggestion = next((hint for part, hint in _HINTS if part in told), "")
    return _MalformedError(
        position, f"not valid YAML: {error.problem or error.context or 'it ends too early'}", suggestion
    )


class _Mark(Protocol):
    line: int
    column: int


class _Composer:
    """Builds nodes from events. Open collections are on a stack, a mapping's waiting key beside it."""

    def __init__(self, lines_before: int) -> None:
        self.roots: list[Node] = []
        self._lines_before = lines_before
        self._open: list[tuple[SequenceNode | MappingNode, str | None]] = []
        self._keys: list[Node | None] = []
        self._anchors: dict[str, Node] = {}

    def take(self, event: yaml.Event) -> None:
        """Take the next event. Raises _MalformedError."""
        if isinstance(event, yaml.ScalarEvent):
            style = event.style if event.style in ("'", '"', "|", ">") else None
            start, end = self._position(event.start_mark), self._position(event.end_mark)
            self._add(ScalarNode(event.value, style, event.tag, start, end), event.anchor)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin(SequenceNode([], event.tag, self._position(event.start_mark)), event.anchor)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin(MappingNode([], event.tag, self._position(event.start_mark)), event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            node, anchor = self._open.pop()
            self._keys.pop()
            self._add(node, anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._anchored(event), None)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}

    def _position(self, mark: "_Mark | None") -> Position:
        assert mark is not None
        return Position(mark.line + self._lines_before + 1, mark.column + 1)

    def _anchored(self, event: yaml.AliasEvent) -> Node:
        # An anchor is known once its node is complete, so that no node can contain itself.
        if event.anchor not in self._anchors:
            raise _MalformedError(
                self._position(event.start_mark),
                "this alias has no anchor before it",
                "a text that begins with * must be in quotes",
            )
        return self._anchors[event.anchor]

    def _begin(self, node: SequenceNode | MappingNode, anchor: str | None) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise _MalformedError(node.start, f"nested more than {_MAX_DEPTH} deep")
        self._open.append((node, anchor))
        self._keys.append(None)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self.roots.append(node)
            return
        parent, _ = self._open[-1]
        if isinstance(parent, SequenceNode):
            parent.items.append(node)
        elif self._keys[-1] is None:
            self._keys[-1] = node
        else:
            parent.entries.append((self._keys[-1], node))
            self._keys[-1] = None
