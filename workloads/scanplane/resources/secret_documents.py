"""Secrets in a file, for ``scanplane up``: read apart from resources, and never shown."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from scanplane.resources.metadata_checks import check_metadata
from scanplane.resources.problems import Position
from scanplane.resources.schema import NodeType, SchemaNode
from scanplane.resources.validation import Finding, closest
from scanplane.resources.yaml_values import PlainTexts

__all__ = ["SecretDocument", "check_secret", "secret_values"]

_FIELDS = ("apiVersion", "kind", "metadata", "type", "immutable", "data", "stringData")
_NAME = SchemaNode(type=NodeType.STRING, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253, private=True)
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}", re.ASCII)


class SecretDocument(Struct, frozen=True):
    """A Secret: values as texts by key. Neither ``repr`` nor any problem contains a value."""

    name: str
    namespace: str | None
    values: dict[str, str]
    file: str
    position: Position

    def __repr__(self) -> str:
        return f"SecretDocument(name={self.name!r}, namespace={self.namespace!r}, keys={sorted(self.values)})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("name", self.name), ("namespace", self.namespace), ("keys", sorted(self.values))]


def check_secret(document: Mapping[str, object], unquoted: PlainTexts) -> Iterator[Finding]:
    """Yield what is wrong with a Secret's document, which has no nulls."""
    for field in document:
        if field not in _FIELDS:
            yield Finding((field,), f"unknown field {field!r}", closest(field, _FIELDS), on_key=True)
    yield from check_metadata(document.get("metadata", {}), unquoted, _NAME)
    for field in ("data", "stringData"):
        values = document.get(field, {})
        if not isinstance(values, dict):
            yield Finding((field,), "must be a mapping of keys to texts")
            continue
        for key, value in values.items():
            if not _KEY.fullmatch(key):
                yield Finding(
                    (field, key), "cannot be a key of a Secret", "use letters, digits, -, _ and .", on_key=True
                )
            elif not isinstance(value, str):
                yield Finding((field, key), "must be a text", "put it in quotes")
            elif field == "data" and _decoded(value) is None:
                yield Finding((field, key), "is not base64 of a text", "write plain texts under stringData instead")


def secret_values(document: Mapping[str, object]) -> dict[str, str]:
    """Return the values of a Secret in which nothing is wrong; ``stringData`` wins, as on a cluster."""
    encoded, plain = document.get("data", {}), document.get("stringData", {})
    assert isinstance(encoded, dict)
    assert isinstance(plain, dict)
    return {**{key: _decoded(value) or "" for key, value in encoded.items()}, **plain}


def _decoded(value: str) -> str | None:
    """Return the text behind base64, or None. Line breaks within it are allowed."""
    try:
        return base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
