"""What ``docs/resources.md`` says of one kind, written from its models: fields, rules, status and columns.

A description that ends a clause with "if left out" says a default; the page shows it in a column of its own.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from scanplane.resources.crds import custom_resource_definition
from scanplane.resources.introductions import INTRODUCTIONS
from scanplane.resources.kinds import KindInfo
from scanplane.resources.schema import NodeType, SchemaNode, documentation, schema_of, spec_schema

__all__ = ["IN_EVERY_STATUS", "FieldRow", "field_rows", "render_kind", "render_table"]

IN_EVERY_STATUS = ("observedGeneration", "conditions", "accepted")
"""Fields that every kind's status begins with."""

_UNITS = {
    "cpu": "cores",
    "cooldown": "event time",
    "evaluationInterval": "event time",
    "generation": "none",
    "limit": "rows",
    "matches": "symbols",
    "maxClients": "clients",
    "maxConnections": "connections",
    "maxSymbols": "symbols",
    "maxUpdatesPerSecond": "updates a second",
    "memory": "bytes",
    "observedGeneration": "none",
    "partitions": "analyzers",
    "port": "none",
    "postmarket": "exchange local time",
    "premarket": "exchange local time",
    "readyGateways": "gateways",
    "readyPartitions": "partitions",
    "readyWorkloads": "workloads",
    "replicas": "gateways",
    "speed": "times real time",
    "traceRatio": "share",
    "unacknowledgedTopics": "topics",
}
_UNITS_BY_ENDING = {
    "Bytes": "bytes",
    "Count": "count",
    "Milliseconds": "ms",
    "PerSecond": "a second",
    "Seconds": "s",
    "Total": "count",
}


class FieldRow(Struct, frozen=True):
    """One field: its dotted path (``[]`` for each item of a list), and what the page says of it, as texts.

    ``default`` is what holds if the field is left out: empty if that is not told, ``**required**`` if it may not be.
    """

    path: str
    values: str
    unit: str
    default: str
    meaning: str


def field_rows(
    node: SchemaNode, path: str = "", known: list[tuple[str, SchemaNode]] | None = None
) -> Iterator[FieldRow]:
    """Yield the fields below an object. An object of objects that stands above already is referred to, not repeated."""
    known = [] if known is None else known
    for name, child in node.properties.items():
        here = f"{path}.{name}" if path else name
        inner = child if child.items is None else child.items
        same = next((place for place, other in known if other.properties == inner.properties), None)
        default, meaning = _default_of(child)
        yield FieldRow(
            here,
            _values_of(child),
            _unit_of(name, child),
            "**required**" if name in node.required else default,
            meaning if same is None else f"{meaning} Its fields are those of `{same}`.",
        )
        if same is None and inner.properties and not _is_reference(inner):
            if any(each.properties for each in inner.properties.values()):
                known.append((here, inner))
            yield from field_rows(inner, here if inner is child else f"{here}[]", known)


def _is_reference(node: SchemaNode) -> bool:
    """Whether an object names another one, or a key of it, so that its fields need no rows of their own."""
    return list(node.properties) in (["name"], ["name", "key"])


def _default_of(node: SchemaNode) -> tuple[str, str]:
    """Return what holds if a field is left out, empty if its description does not tell, and the description without it."""
    default = text = ""
    for clause in re.split(r"(?<=[.;]) ", node.description.removesuffix(f" One of {', '.join(node.enum)}.")):
        told = re.fullmatch(r"(.+?),? (?:if|when) left out[.;]", clause)
        if told:
            default = told[1]
        elif text.endswith(";"):
            text += f" {clause}"
        else:
            text = f"{text} {clause[0].upper()}{clause[1:]}".lstrip()
    return default, text.rstrip(".;") + "."


def _values_of(node: SchemaNode) -> str:
    match node.type:
        case NodeType.OBJECT if _is_reference(node):
            return f"`{{{', '.join(node.properties)}}}`"
        case NodeType.OBJECT:
            return "object" if node.values is None else "map of texts"
        case NodeType.ARRAY:
            assert node.items is not None
            return f"list of {_range(node.min_length, node.max_length)}: {_values_of(node.items)}"
        case NodeType.BOOLEAN:
            return "`true`, `false`"
        case NodeType.STRING:
            return _text_values(node)
        case NodeType.INTEGER | NodeType.NUMBER:
            above = "" if node.above is None else f"above {node.above:g}"
            bounds = (above, _range(node.minimum, node.maximum))
            return ", ".join(filter(None, ("whole number" if node.type is NodeType.INTEGER else "number", *bounds)))


def _text_values(node: SchemaNode) -> str:
    if node.enum:
        return ", ".join(f"`{value}`" for value in node.enum)
    if node.format == "date-time":
        return "time, RFC 3339"
    if node.noun:
        return re.sub(r"^(an?|the) ", "", node.noun)
    return "text" if node.max_length is None else f"text, at most {node.max_length} characters"


def _range(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"{least} to {most}"
    if least is not None:
        return f"at least {least}"
    return "" if most is None else f"at most {most}"


def _unit_of(name: str, node: SchemaNode) -> str:
    ending = next((unit for ending, unit in _UNITS_BY_ENDING.items() if name.endswith(ending)), "")
    unit = _UNITS.get(name, ending)
    if node.noun == "a duration":
        return f"ms, s, m or h of {unit}" if unit else "ms, s, m or h"
    return unit


def render_kind(info: KindInfo) -> str:
    """Return the section of one kind, as Markdown."""
    spec, introduction = spec_schema(info.model), INTRODUCTIONS[info.kind]
    short = [f"`{name}`" for name in info.short_names if name != info.singular]
    names = f"`kubectl get {info.plural}`" + (f", short {', '.join(short)}" if short else "")
    fields = [(f"`{row.path}`", row.values, row.unit, row.default, row.meaning) for row in field_rows(spec)]
    status = [
        (f"`{row.path}`", row.values.removesuffix(", at least 0"), row.unit, row.meaning)
        for row in field_rows(schema_of(info.status))
        if not row.path.startswith(IN_EVERY_STATUS)
    ]
    parts = [
        f"## {info.kind}\n\n{documentation(info.model)} {names}.",
        f"```yaml\n{introduction.example}```",
        introduction.text.rstrip("\n"),
        render_table(("field of `spec`", "values", "unit", "if left out", "meaning"), fields),
        *_rules(spec),
        render_table(("figure of `status`", "values", "unit", "meaning"), status),
        render_table(("column", "shown", "reads", "meaning"), _columns(info)),
    ]
    return "\n\n".join(parts) + "\n"


def _rules(spec: SchemaNode) -> list[str]:
    """Return what must hold between fields, as a list; what holds of one value is told where its field is described."""
    messages = list(_messages(spec))
    return ["What must hold between fields:\n\n" + "\n".join(f"- {_escaped(each)}" for each in messages)] * bool(
        messages
    )


def _messages(node: SchemaNode) -> Iterator[str]:
    if node.type in {NodeType.OBJECT, NodeType.ARRAY}:
        yield from (rule.message for rule in node.rules)
    for child in node.properties.values():
        yield from _messages(child)


def _columns(info: KindInfo) -> list[tuple[str, ...]]:
    (version,) = custom_resource_definition(info)["spec"]["versions"]
    return [
        (
            f"`{column['name'].upper()}`",
            "with `-o wide`" if column["priority"] else "always",
            f"`{column['jsonPath']}`",
            column["description"],
        )
        for column in version["additionalPrinterColumns"]
    ]


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *(f"| {' | '.join(map(_escaped, row))} |" for row in rows)])


def _escaped(text: str) -> str:
    """Return *text* so that Markdown shows it as it is, but for code and bold words."""
    parts = re.split(r"(`[^`]*`|\*\*\w+\*\*)", text)
    parts = [part if number % 2 else re.sub(r"([*<])", r"\\\1", part) for number, part in enumerate(parts)]
    return "".join(parts).replace("|", "\\|")
