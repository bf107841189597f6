"""From YAML nodes to plain values, read the way kubectl reads them, with the place of every value.

kubectl's reader (sigs.k8s.io/yaml on go-yaml v2) decides what a document means, so its rules for plain texts are
followed here: ``on`` and ``y`` are booleans also as field names, ``010`` is eight, ``20e6`` is a number, ``20:00`` is a text.
PyYAML's own rules differ in each but the first.
"""

import math
import re
from typing import Any

from msgspec import Struct

from scanplane.resources.problems import Position, Problem
from scanplane.resources.yaml_text import MappingNode, Node, ScalarNode, SequenceNode, YamlDocument

__all__ = [
    "NO_PLAIN_TEXTS",
    "LocatedValue",
    "Path",
    "Place",
    "PlainTexts",
    "format_path",
    "locate_value",
    "plain_value",
]

Path = tuple[str | int, ...]
"""Field names and list indices from the root of a document."""

_MAX_VALUES = 200_000


class Place(Struct, frozen=True):
    """Where a value stands: its key (its own place in a list and at the root) and the value itself."""

    key: Position
    value: Node


class PlainTexts(Struct, frozen=True):
    """What was written without quotes where YAML reads something else than a text: of values and of field names."""

    values: dict[Path, str]
    names: dict[Path, str]


NO_PLAIN_TEXTS = PlainTexts({}, {})
"""For a value that does not come from YAML."""


class LocatedValue(Struct, frozen=True):
    """A plain value with the place of each part of it, and what could not be read on the way."""

    value: Any
    places: dict[Path, Place]
    unquoted: PlainTexts
    problems: list[Problem]


def format_path(path: Path) -> str:
    """Return a path as people write it: ``spec.symbols[3]``, ``metadata.labels['app.kubernetes.io/name']``."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]+", part):
            written += f".{part}" if written else part
        else:
            written += f"['{part}']"
    return written


_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def plain_value(text: str) -> str | int | float | bool | None:
    """Return what a text without quotes means to kubectl."""
    if text in _WORDS:
        return _WORDS[text]
    digits = text.replace("_", "") if text[0] in "+-0123456789" else text
    found = _INTEGER.fullmatch(digits)
    if found:
        sign, base16, base2, base8, base10 = found.groups()
        written, base = next(
            (part, base) for part, base in ((base16, 16), (base2, 2), (base8, 8), (base10, 10)) if part
        )
        magnitude = int(written, base)
        if magnitude < 2**63:
            return -magnitude if sign == "-" else magnitude
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        if math.isinf(number):
            return text
        # On its way through JSON a whole number loses that it was written as a float.
        return int(number) if number.is_integer() and abs(number) < 2**63 else number
    return text


def locate_value(document: YamlDocument, root: Node | None = None) -> LocatedValue:
    """Return the plain value of a document, or of *root*, a node within it."""
    reader = _Reader(document.source.name)
    value = reader.read(document.root if root is None else root, ())
    return LocatedValue(value, reader.places, reader.unquoted, reader.problems)


class _Reader:
    def __init__(self, file: str) -> None:
        self.places: dict[Path, Place] = {}
        self.unquoted = PlainTexts({}, {})
        self.problems: list[Problem] = []
        self._file = file
        self._values = 0

    def read(self, node: Node, path: Path, key: Position | None = None) -> object:
        """Return the value of *node* and note its place and problems; the depth was bounded when it was parsed."""
        self.places[path] = Place(key or node.start, node)
        self._values += 1
        if self._values > _MAX_VALUES:
            if self._values == _MAX_VALUES + 1:
                self._refuse(node.start, path, f"more than {_MAX_VALUES} values, aliases included")
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.items)]
        return self._scalar(node, path)

    def _scalar(self, node: ScalarNode, path: Path) -> object:
        if node.tag in ("tag:yaml.org,2002:str", "!"):
            return node.text
        if node.tag and not node.tag.startswith("tag:yaml.org,2002:"):
            self._refuse(node.start, path, "this is a YAML tag", "a text that begins with ! must be in quotes")
            return None
        if node.style is not None and not node.tag:
            return node.text
        value = plain_value(node.text)
        if not isinstance(value, str):
            self.unquoted.values[path] = node.text
        return value

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, object]:
        values: dict[str, object] = {}
        lines: dict[str, int] = {}
        merged: list[Node] = []
        for key, value in node.entries:
            if isinstance(key, ScalarNode) and key.text == "<<" and key.style is None:
                merged += value.items if isinstance(value, SequenceNode) else [value]
                continue
            name = self._key(key, path)
            if name is None:
                continue
            if name in lines:
                first = f"the first is in line {lines[name]}"
                self._refuse(key.start, (*path, name), f"field {name!r} is given twice", first)
                continue
            lines[name] = key.start.line
            values[name] = self.read(value, (*path, name), key.start)
        for other in merged:
            self._merge(other, values, path)
        return values

    def _merge(self, other: Node, values: dict[str, object], path: Path) -> None:
        if not isinstance(other, MappingNode):
            self._refuse(other.start, path, "<< takes a mapping, or a list of mappings")
            return
        for key, value in other.entries:
            name = self._key(key, path)
            if name is not None and name not in values:
                values[name] = self.read(value, (*path, name), key.start)

    def _key(self, key: Node, path: Path) -> str | None:
        """Return a field's name as it arrives in JSON, or None where it can't be one."""
        if not isinstance(key, ScalarNode):
            self._refuse(key.start, path, "a field's name must be a text")
            return None
        name = plain_value(key.text) if key.style is None else key.text
        if isinstance(name, bool):
            self.unquoted.names[*path, str(name).lower()] = key.text
            return str(name).lower()
        if name is None:
            self._refuse(key.start, path, "a field's name must not be null", "put it in quotes")
            return None
        return str(name)

    def _refuse(self, position: Position, path: Path, message: str, suggestion: str = "") -> None:
        self.problems.append(
            Problem(
                file=self._file,
                line=position.line,
                column=position.column,
                path=format_path(path),
                message=message,
                suggestion=suggestion,
            )
        )
