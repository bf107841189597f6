"""From a typed model to the structure of its documents, and from that to a structural OpenAPI v3 schema.

One walk over ``msgspec.inspect`` makes a tree of :class:`SchemaNode`. The API server gets it rendered as JSON schema
with CEL rules, offline validation walks it as it is: what both know comes from one place. Everything is inlined, as
structural schemas know no references; a union with None is an optional field; no default is ever written.
"""

import enum
import functools
import inspect
import typing
from typing import Any

import msgspec.inspect as types
from msgspec import Struct

from scanplane.resources.common import Rule

__all__ = ["NodeType", "SchemaNode", "documentation", "render_schema", "schema_of", "spec_schema"]


class NodeType(enum.StrEnum):
    """The JSON types of OpenAPI."""

    OBJECT = "object"
    ARRAY = "array"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


class SchemaNode(Struct, frozen=True, kw_only=True):
    """What one value of a document may be.

    ``closed`` objects refuse unknown fields. ``values`` is the schema of an object with free keys. ``noun`` and
    ``hint`` speak of a text that ``pattern`` refuses; a ``private`` one is not repeated. Bounds are inclusive, but
    for ``above``.
    """

    type: NodeType
    description: str = ""
    properties: dict[str, "SchemaNode"] = {}
    required: tuple[str, ...] = ()
    closed: bool = False
    values: "SchemaNode | None" = None
    items: "SchemaNode | None" = None
    enum: tuple[str, ...] = ()
    format: str = ""
    pattern: str = ""
    noun: str = ""
    hint: str = ""
    private: bool = False
    above: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


def schema_of(annotation: object) -> SchemaNode:
    """Return the schema of a type, annotations included.

    Raises TypeError for a type that a structural schema can't say.
    """
    return _node(types.type_info(annotation), {}, {})


@functools.cache
def spec_schema(model: type[Struct]) -> SchemaNode:
    """Return the schema of the ``spec`` of a kind's model."""
    return schema_of(typing.get_type_hints(model, include_extras=True)["spec"])


def _node(kind: types.Type, schema: dict[str, Any], extra: dict[str, Any]) -> SchemaNode:
    """Return the node of *kind*; *schema* and *extra* are what the annotations around it said."""
    if isinstance(kind, types.Metadata):
        return _node(kind.type, {**(kind.extra_json_schema or {}), **schema}, {**(kind.extra or {}), **extra})
    if isinstance(kind, types.UnionType):
        (present,) = (member for member in kind.types if not isinstance(member, types.NoneType))
        return _node(present, schema, extra)
    about = {
        "description": schema.get("description", ""),
        "format": schema.get("format", ""),
        "list_type": schema.get("x-kubernetes-list-type", ""),
        "list_keys": tuple(schema.get("x-kubernetes-list-map-keys", ())),
        **extra,
    }
    if isinstance(kind, types.StructType):
        return _object_node(kind, about)
    if isinstance(kind, types.DictType):
        return SchemaNode(type=NodeType.OBJECT, values=_node(kind.value_type, {}, {}), **about)
    if isinstance(kind, types.ListType):
        items = _node(kind.item_type, {}, {})
        return SchemaNode(
            type=NodeType.ARRAY, items=items, min_length=kind.min_length, max_length=kind.max_length, **about
        )
    return _scalar_node(kind, about)


def _scalar_node(kind: types.Type, about: dict[str, Any]) -> SchemaNode:
    if isinstance(kind, types.EnumType):
        return _enum_node(kind, about)
    if isinstance(kind, types.StrType):
        return SchemaNode(
            type=NodeType.STRING,
            pattern=kind.pattern or "",
            min_length=kind.min_length,
            max_length=kind.max_length,
            **about,
        )
    if isinstance(kind, types.BoolType):
        return SchemaNode(type=NodeType.BOOLEAN, **about)
    if isinstance(kind, types.IntType):
        return SchemaNode(type=NodeType.INTEGER, **{**about, "format": "int64", **_bounds(kind)})
    if isinstance(kind, types.FloatType):
        return SchemaNode(type=NodeType.NUMBER, **{**about, **_bounds(kind)})
    raise TypeError(f"a structural schema has no word for {kind}")


def _object_node(kind: types.StructType, about: dict[str, Any]) -> SchemaNode:
    about["description"] = about["description"] or documentation(kind.cls)
    return SchemaNode(
        type=NodeType.OBJECT,
        properties={field.encode_name: _node(field.type, {}, {}) for field in kind.fields},
        required=tuple(field.encode_name for field in kind.fields if field.required),
        closed=kind.forbid_unknown_fields,
        **about,
    )


def _enum_node(kind: types.EnumType, about: dict[str, Any]) -> SchemaNode:
    values = tuple(str(member.value) for member in kind.cls)
    about["description"] = f"{about['description'] or documentation(kind.cls)} One of {', '.join(values)}."
    return SchemaNode(type=NodeType.STRING, enum=values, **about)


def documentation(cls: type) -> str:
    """Return a class's docstring as one paragraph without markup."""
    return " ".join((inspect.getdoc(cls) or "").replace("``", "").split())


def _bounds(kind: types.IntType | types.FloatType) -> dict[str, float | None]:
    if kind.lt is not None or kind.multiple_of is not None:
        raise TypeError(f"no field uses lt or multiple_of so far: {kind}")
    return {"above": kind.gt, "minimum": kind.ge, "maximum": kind.le}


def render_schema(node: SchemaNode) -> dict[str, Any]:
    """Return *node* as a structural OpenAPI v3 schema, with its keys in a fixed order."""
    schema: dict[str, Any] = {"type": str(node.type)}
    if node.description:
        schema["description"] = node.description
    schema |= _render_bounds(node)
    if node.list_type:
        schema["x-kubernetes-list-type"] = node.list_type
    if node.list_keys:
        schema["x-kubernetes-list-map-keys"] = list(node.list_keys)
    if node.rules:
        schema["x-kubernetes-validations"] = [_render_rule(rule) for rule in node.rules]
    if node.required:
        schema["required"] = list(node.required)
    if node.properties:
        schema["properties"] = {name: render_schema(child) for name, child in node.properties.items()}
    if node.values:
        schema["additionalProperties"] = render_schema(node.values)
    if node.items:
        schema["items"] = render_schema(node.items)
    return schema


def _render_bounds(node: SchemaNode) -> dict[str, Any]:
    lengths = ("minItems", "maxItems") if node.type is NodeType.ARRAY else ("minLength", "maxLength")
    pairs = {
        "format": node.format or None,
        "enum": list(node.enum) or None,
        "pattern": node.pattern or None,
        "minimum": node.minimum if node.above is None else node.above,
        "exclusiveMinimum": None if node.above is None else True,
        "maximum": node.maximum,
        lengths[0]: node.min_length,
        lengths[1]: node.max_length,
    }
    return {key: value for key, value in pairs.items() if value is not None}


def _render_rule(rule: Rule) -> dict[str, str]:
    rendered = {"rule": rule.expression, "message": rule.message}
    if rule.at:
        rendered["fieldPath"] = f".{rule.at}"
    return rendered
