"""Everything that is wrong with a document, found at once, by the same schema that the API server gets.

Works on plain values, so that it serves texts and objects from the API alike; where something stands is added by
:mod:`scanplane.resources.documents`. A field that is null counts as left out, as for the API server. Values that
may be a password, because somebody wrote one where a reference belongs, are never repeated.
"""

import difflib
import functools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from scanplane.resources.schema import NodeType, SchemaNode
from scanplane.resources.yaml_values import NO_PLAIN_TEXTS, Path, PlainTexts, format_path

__all__ = ["Finding", "check_value", "closest", "without_nulls"]


class Finding(Struct, frozen=True):
    """One mistake at a path. ``on_key`` points at the field's name rather than at its value."""

    path: Path
    message: str
    suggestion: str = ""
    on_key: bool = False


def without_nulls(value: object) -> Any:  # noqa: ANN401 - a document is whatever somebody wrote
    """Return *value* without the fields that are null; entries of lists stay as they are."""
    if isinstance(value, Mapping):
        return {name: without_nulls(child) for name, child in value.items() if child is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def check_value(
    node: SchemaNode, value: object, path: Path = (), unquoted: PlainTexts = NO_PLAIN_TEXTS
) -> list[Finding]:
    """Return what is wrong with *value*, which has no nulls, in the order of the document."""
    return list(_Check(node, path, unquoted).value(node, value, path))


def closest(word: str, known: tuple[str, ...], otherwise: str = "write one of") -> str:
    """Return ``did you mean x?`` for the known word most like *word*, else *otherwise* with the few that there are."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    if not near and len(word) >= 3:
        near = [name for name in by_lower if name.startswith(word.lower())]
    if near:
        return f"did you mean {by_lower[near[0]]}?"
    return f"{otherwise} {', '.join(known)}" if 0 < len(known) <= 20 else ""


class _Check:
    """One run over one document; *root* is the schema that starts at *start*."""

    def __init__(self, root: SchemaNode, start: Path, unquoted: PlainTexts) -> None:
        self._root = root
        self._start = start
        self._unquoted = unquoted

    def value(self, node: SchemaNode, value: object, path: Path) -> Iterator[Finding]:
        """Yield the mistakes of a value, its children included; rules are asked only where everything else is right."""
        findings = list(self._by_type(node, value, path))
        yield from findings
        if findings:
            return
        for rule in node.rules:
            if not rule.holds(value):
                at = tuple(rule.at.split(".")) if rule.at else ()
                yield Finding(path + at, rule.message)

    def _by_type(self, node: SchemaNode, value: object, path: Path) -> Iterator[Finding]:
        match node.type, value:
            case NodeType.OBJECT, dict():
                yield from self._object(node, value, path)
            case NodeType.ARRAY, list():
                yield from self._array(node, value, path)
            case NodeType.STRING, str():
                yield from _text(node, value, path)
            case ((NodeType.INTEGER | NodeType.NUMBER), (int() | float())) if not isinstance(value, bool):
                yield from _number(node, value, path)
            case NodeType.BOOLEAN, bool():
                return
            case _:
                yield self._wrong_type(node, value, path)

    def _object(self, node: SchemaNode, value: dict[str, object], path: Path) -> Iterator[Finding]:
        for name, child in value.items():
            below = (*path, name)
            if name in node.properties:
                yield from self.value(node.properties[name], child, below)
            elif node.values:
                yield from self.value(node.values, child, below)
            elif node.closed:
                yield self._unknown_field(node, name, below)
        for name in node.required:
            if name not in value:
                kinds = node.properties[name].enum
                yield Finding((*path, name), "is missing", f"write one of {', '.join(kinds)}" if kinds else "")

    def _unknown_field(self, node: SchemaNode, name: str, path: Path) -> Finding:
        written = self._unquoted.names.get(path, name)
        message = f"unknown field {written!r}" + (f", which YAML reads as {name}" if written != name else "")
        known = tuple(node.properties)
        suggestion = closest(written, known, "the fields here are")
        elsewhere = [format_path((*self._start, *found)) for found in _fields(self._root, name)]
        if not suggestion.startswith("did you mean") and elsewhere:
            suggestion = f"it belongs at {' or '.join(elsewhere)}"
        return Finding(path, message, suggestion, on_key=True)

    def _array(self, node: SchemaNode, value: list[object], path: Path) -> Iterator[Finding]:
        assert node.items is not None
        for index, item in enumerate(value):
            yield from self.value(node.items, item, (*path, index))
        yield from _length(node, len(value), path, "entry", "entries")
        if node.list_type == "set":
            yield from _repeated(value, path)

    def _wrong_type(self, node: SchemaNode, value: object, path: Path) -> Finding:
        written = self._unquoted.values.get(path)
        wanted = _WANTED[node.type]
        if node.type is NodeType.STRING and not isinstance(value, dict | list):
            return _not_text(node, value, path, written)
        if node.type is NodeType.ARRAY and not isinstance(value, dict):
            return Finding(path, f"must be {wanted}", "write [...] around it, or each entry after a hyphen")
        if node.type is NodeType.OBJECT:
            fields = ", ".join(f"{name}: ..." for name in node.required)
            suggestion = f"write {{{fields}}}" if fields else f"its fields are {', '.join(node.properties)}"
            return Finding(path, f"must be {wanted}", suggestion)
        if isinstance(value, str):
            fits = not list(self._by_type(node, _unquoted_number(value), path))
            suggestion = f"write {value} without quotes" if fits or value in ("true", "false") else ""
            return Finding(path, f"must be {wanted}, not the text {_shown(value)}", suggestion)
        return Finding(path, f"must be {wanted}, not {_named(value)}")


_WANTED = {
    NodeType.OBJECT: "a mapping",
    NodeType.ARRAY: "a list",
    NodeType.STRING: "a text",
    NodeType.INTEGER: "a whole number",
    NodeType.NUMBER: "a number",
    NodeType.BOOLEAN: "true or false",
}


def _named(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _unquoted_number(text: str) -> object:
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else number


def _shown(value: str) -> str:
    return repr(value if len(value) <= 60 else f"{value[:57]}...")


def _not_text(node: SchemaNode, value: object, path: Path, written: str | None) -> Finding:
    """Speak of a number, a boolean or null where a text belongs; quotes help where the text in them would be right."""
    if node.private:
        return Finding(path, "must be a text", "put it in quotes")
    if written and not list(_text(node, written, path)):
        return Finding(path, f"YAML reads {written} as {_kind(value)}", f'write "{written}" in quotes')
    if node.noun and value is not None:
        return Finding(path, f"{written or _named(value)} is not {node.noun}", node.hint)
    return Finding(path, f"must be a text, not {_named(value)}")


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return f"the boolean {_named(value)}"
    return "null" if value is None else f"the number {value}"


def _text(node: SchemaNode, value: str, path: Path) -> Iterator[Finding]:
    if node.enum:
        if value not in node.enum:
            noun = next((part for part in reversed(path) if isinstance(part, str)), "value")
            noun = noun.removesuffix("s") if isinstance(path[-1], int) else noun
            yield Finding(path, f"unknown {noun} {_shown(value)}", closest(value, node.enum))
        return
    if not value and node.min_length:
        yield Finding(path, "must not be empty", node.hint)
        return
    if node.pattern and not _compiled(node.pattern).search(value):
        shown = "this" if node.private else _shown(value)
        yield Finding(path, f"{shown} is not {node.noun or 'of the right form'}", node.hint)
        return
    yield from _length(node, len(value), path, "character", "characters")


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern so that it accepts what Go's would: the end is the very end and white space is ASCII."""
    return re.compile(re.sub(r"\$$", r"\\Z", pattern), re.ASCII)


def _length(node: SchemaNode, length: int, path: Path, one: str, many: str) -> Iterator[Finding]:
    if node.min_length is not None and length < node.min_length:
        yield Finding(
            path, f"must have at least {node.min_length} {one if node.min_length == 1 else many}, not {length}"
        )
    if node.max_length is not None and length > node.max_length:
        yield Finding(path, f"must have at most {node.max_length} {many}, not {length}")


def _repeated(value: list[object], path: Path) -> Iterator[Finding]:
    first: dict[object, int] = {}
    for index, item in enumerate(value):
        if isinstance(item, str) and first.setdefault(item, index) != index:
            yield Finding((*path, index), f"{item!r} is given twice", "leave one out")


def _number(node: SchemaNode, value: float, path: Path) -> Iterator[Finding]:
    if not math.isfinite(value):
        yield Finding(path, "must be a finite number")
    elif node.type is NodeType.INTEGER and (not float(value).is_integer() or abs(value) >= 2**63):
        yield Finding(path, f"must be a whole number, not {value}")
    elif node.above is not None and value <= node.above:
        yield Finding(path, f"must be more than {node.above:g}, not {value}")
    elif node.minimum is not None and value < node.minimum:
        yield Finding(path, f"must be at least {_plain(node.minimum)}, not {value}")
    elif node.maximum is not None and value > node.maximum:
        yield Finding(path, f"must be at most {_plain(node.maximum)}, not {value}")


def _plain(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else str(bound)


def _fields(node: SchemaNode, name: str, path: Path = ()) -> Iterator[Path]:
    """Yield where in a schema there is a field called *name*."""
    for field, child in node.properties.items():
        if field == name:
            yield (*path, field)
        yield from _fields(child, name, (*path, field))
