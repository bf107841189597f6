"""Files of resources: parsed, validated and located.

:func:`parse_documents` takes texts and gives back what is right, everything that is wrong, and where each value
stands, so that whoever checks more than a document by itself (expressions, references) can point into the file as well.
Pure: reading files is done by the command line.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec
from msgspec import Struct

from scanplane.resources.common import API_GROUP, API_VERSION, ResourceName
from scanplane.resources.kinds import KINDS, Kind, Resource
from scanplane.resources.metadata_checks import check_metadata
from scanplane.resources.problems import Position, Problem
from scanplane.resources.scalar_positions import position_within
from scanplane.resources.schema import schema_of, spec_schema
from scanplane.resources.secret_documents import SecretDocument, check_secret, secret_values
from scanplane.resources.validation import Finding, check_value, closest, without_nulls
from scanplane.resources.yaml_text import MappingNode, Node, ScalarNode, SourceText, YamlDocument, read_documents
from scanplane.resources.yaml_values import NO_PLAIN_TEXTS, LocatedValue, Path, PlainTexts, format_path, locate_value

__all__ = [
    "Declared",
    "Documents",
    "LocatedResource",
    "MalformedResource",
    "SourceText",
    "parse_documents",
    "resource_from_object",
]

_NAME = schema_of(ResourceName)
_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")
_KIND_NAMES = tuple(kind.value for kind in Kind)


class Declared(Struct, frozen=True):
    """That a resource was declared, right or wrong; a reference to a wrong one doesn't dangle."""

    kind: Kind
    namespace: str | None
    name: str


class _Locator:
    """Finds the places of one document's values."""

    def __init__(self, source: SourceText, located: LocatedValue) -> None:
        self.source = source
        self._places = located.places
        self._by_name = {format_path(path): path for path in located.places}

    def at_path(self, path: Path, *, on_key: bool = False) -> Position:
        """Return where a value, or its field's name, stands; where it isn't given, its nearest ancestor."""
        while path not in self._places and path:
            path = path[:-1]
        place = self._places[path]
        return place.key if on_key else place.value.start

    def at_name(self, name: str, line: int, column: int) -> Position:
        """Return where a character of a value stands, its path written as in problems."""
        while name and name not in self._by_name:
            name = name[: max(name.rfind("."), name.rfind("["), 0)]
        node = self._places[self._by_name[name]].value
        return position_within(self.source, node, line, column) if isinstance(node, ScalarNode) else node.start

    def problem(self, path: str, message: str, suggestion: str = "", line: int = 1, column: int = 1) -> Problem:
        """Return a problem with a value, its path written as in problems; *line* and *column* count within a text."""
        at = self.at_name(path, line, column)
        return Problem(
            file=self.source.name, line=at.line, column=at.column, path=path, message=message, suggestion=suggestion
        )


class LocatedResource(Struct, frozen=True):
    """A valid resource and where it was written."""

    kind: Kind
    name: str
    namespace: str | None
    resource: Resource
    file: str
    locator: _Locator

    def locate(self, path: str, line: int = 1, column: int = 1) -> Position:
        """Return where in the file a value such as ``spec.where`` stands; *line* and *column* count within a text.

        A value that isn't given is located at the nearest one around it.
        """
        return self.locator.at_name(path, line, column)

    def problem(self, path: str, message: str, suggestion: str = "", line: int = 1, column: int = 1) -> Problem:
        """Return a problem with a value of this resource; *line* and *column* count within a text."""
        return self.locator.problem(path, message, suggestion, line, column)


class MalformedResource(Struct, frozen=True):
    """A resource in which something is wrong: what was written, for those who can say more about it.

    ``readable`` is the resource as far as it can be read, never to be used: without what is wrong in it, and under another name
    where its own is wrong; None where too little is left.
    """

    kind: Kind
    document: Mapping[str, Any]
    wrong: frozenset[str]
    locator: _Locator
    readable: Resource | None

    def problem(self, path: str, message: str, line: int, column: int) -> Problem | None:
        """Return a problem with a value of this resource, or None where something in it was found wrong already."""
        if any(each == path or each.startswith((f"{path}.", f"{path}[")) for each in self.wrong):
            return None
        return self.locator.problem(path, message, line=line, column=column)


class Documents(Struct, frozen=True):
    """What some texts hold. ``notes`` are no mistakes: they say what was left aside, and why.

    ``doubtful`` are the kinds of which something may stand there that can't be read so far as to have a name.
    """

    resources: tuple[LocatedResource, ...]
    secrets: tuple[SecretDocument, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    declared: tuple[Declared, ...]
    malformed: tuple[MalformedResource, ...] = ()
    doubtful: frozenset[Kind] = frozenset()


def parse_documents(sources: Sequence[SourceText]) -> Documents:
    """Return everything that *sources* hold; problems stand in the order of the sources and their lines."""
    parsing = _Parsing()
    for source in sources:
        documents, problems = read_documents(source)
        parsing.problems += problems
        parsing.doubtful |= set(Kind) if problems else set()
        for document in documents:
            parsing.take(document, document.root)
        if not documents and not problems:
            parsing.notes.append(Problem(file=source.name, line=1, column=1, message="nothing in it"))
    order = {source.name: index for index, source in enumerate(sources)}
    parsing.problems.sort(key=lambda problem: (order[problem.file], problem.line, problem.column))
    return Documents(
        resources=tuple(parsing.resources),
        secrets=tuple(parsing.secrets),
        problems=tuple(parsing.problems),
        notes=tuple(parsing.notes),
        declared=tuple(parsing.declared),
        malformed=tuple(parsing.malformed),
        doubtful=frozenset(parsing.doubtful),
    )


def resource_from_object(kind: Kind, document: Mapping[str, Any]) -> Resource | tuple[Problem, ...]:
    """Return the typed resource of an object from the API, or everything that is wrong with it.

    Metadata is the API server's own business: unknown fields in it are allowed.
    """
    ours = {name: document[name] for name in ("metadata", "spec") if name in document}
    plain = without_nulls(ours)  # a status is much longer, and nobody's concern here
    findings = _check_spec(kind, plain, NO_PLAIN_TEXTS)
    if findings:
        return tuple(
            Problem(path=format_path(found.path), message=found.message, suggestion=found.suggestion)
            for found in findings
        )
    try:
        return _convert(kind, plain)
    except msgspec.ValidationError as error:
        return (Problem(message=str(error)),)


def _check_spec(kind: Kind, plain: Mapping[str, Any], unquoted: PlainTexts) -> list[Finding]:
    if "spec" not in plain:
        return [Finding(("spec",), "is missing")]
    return check_value(spec_schema(KINDS[kind].model), plain["spec"], ("spec",), unquoted)


def _convert(kind: Kind, plain: Mapping[str, Any]) -> Resource:
    resource: Resource = msgspec.convert(plain, KINDS[kind].model)
    return resource


def _readable(kind: Kind, plain: Mapping[str, Any], findings: Sequence[Finding]) -> Resource | None:
    """Return a resource as far as it can be read: whole where nothing but rules between its fields is broken, then without
    what is wrong, then without what that stands in.
    """
    name = _identity(plain)[0]
    named = {"metadata": {"name": "default" if name is None or check_value(_NAME, name) else name}}
    spec = readable = {"spec": plain.get("spec")}
    wrong = {found.path for found in findings if found.path[:1] == ("spec",)}
    while True:
        try:
            return _convert(kind, named | readable)
        except msgspec.ValidationError:
            if not wrong:
                return None
        readable = _without(spec, wrong, ())
        wrong = {path[:-1] for path in wrong if len(path) > 1}


def _without(value: Any, wrong: AbstractSet[Path], path: Path) -> Any:  # noqa: ANN401  # a document is whatever somebody wrote
    """Return *value* without the fields in it that are wrong. Lists stay whole, since places in them are told by index."""
    if not isinstance(value, dict):
        return value
    return {
        name: _without(child, wrong, below) for name, child in value.items() if (below := (*path, name)) not in wrong
    }


def _identify(version: object, kind: object) -> list[Finding] | None:
    """Return what is wrong with ``apiVersion`` and ``kind``; None for a document of somebody else's."""
    ours = f"write {API_VERSION}"
    if version is None or kind is None:  # no object at all, and most likely half-written
        missing = [Finding(("apiVersion",), "is missing", ours)] if version is None else []
        return missing + ([Finding(("kind",), "is missing", _any_kind())] if kind is None else [])
    if version == API_VERSION:
        return (
            []
            if kind in _KIND_NAMES
            else [Finding(("kind",), f"unknown kind {kind!r}", closest(f"{kind}", _KIND_NAMES))]
        )
    group = f"{version}".partition("/")[0]
    likeness = difflib.SequenceMatcher(None, group, API_GROUP).ratio()
    if group == API_GROUP or likeness > 0.8 or (kind in _KIND_NAMES and version == API_VERSION.partition("/")[2]):
        return [Finding(("apiVersion",), f"unknown apiVersion {version!r}", ours)]
    return None


def _any_kind() -> str:
    return f"write one of {', '.join(_KIND_NAMES)}"


def _identity(plain: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the name and the namespace, as far as they are texts."""
    metadata = plain.get("metadata")
    found = [metadata.get(field) if isinstance(metadata, dict) else None for field in ("name", "namespace")]
    name, namespace = (value if isinstance(value, str) else None for value in found)
    return name, namespace


class _Parsing:
    """The state of one call of :func:`parse_documents`."""

    def __init__(self) -> None:
        self.resources: list[LocatedResource] = []
        self.secrets: list[SecretDocument] = []
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.declared: list[Declared] = []
        self.malformed: list[MalformedResource] = []
        self.doubtful: set[Kind] = set()
        self._seen: dict[tuple[str, str], tuple[Problem, str | None]] = {}

    def take(self, document: YamlDocument, root: Node) -> None:
        """Take one document, or one item of a List."""
        if not isinstance(root, MappingNode):
            self.doubtful |= set(Kind)
            self._note(self.problems, document, root, "a document must be a mapping with apiVersion, kind and metadata")
            return
        located = locate_value(document, root)
        locator = _Locator(document.source, located)
        plain = without_nulls(located.value)
        version, kind = plain.get("apiVersion"), plain.get("kind")
        items = located.places.get(("items",))
        if kind == "List" or (version == API_VERSION and f"{kind}".removesuffix("List") in _KIND_NAMES and items):
            for item in getattr(items and items.value, "items", ()):
                self.take(document, item)
            return
        self.problems += located.problems
        if (version, kind) == ("v1", "Secret"):
            self._take_secret(plain, located, locator)
            return
        findings = _identify(version, kind)
        if findings is None:
            name = _identity(plain)[0]
            self._note(self.notes, document, root, f"ignored: {version} {kind}{f' {name}' if name else ''}")
        elif findings:
            self.doubtful |= {Kind(kind)} if kind in _KIND_NAMES else set(Kind)
            self._report(findings, locator)
        else:
            self._take_resource(Kind(kind), plain, located, locator)

    def _take_resource(self, kind: Kind, plain: dict[str, Any], located: LocatedValue, locator: _Locator) -> None:
        findings = [
            Finding((field,), f"unknown field {field!r}", closest(field, _FIELDS), on_key=True)
            for field in plain
            if field not in _FIELDS
        ]
        findings += check_metadata(plain.get("metadata", {}), located.unquoted)
        findings += _check_spec(kind, plain, located.unquoted)
        self._report(findings, locator)
        name, namespace = _identity(plain)
        if name is None:
            self.doubtful.add(kind)
        else:
            self.declared.append(Declared(kind, namespace, name))
        repeats = name is not None and self._is_repeated(kind.value, namespace, name, locator)
        if name is None or repeats or findings or located.problems:
            wrong = frozenset(format_path(found.path) for found in findings)
            self.malformed.append(MalformedResource(kind, plain, wrong, locator, _readable(kind, plain, findings)))
            return
        try:
            resource = _convert(kind, plain)
        except msgspec.ValidationError as error:  # the schema and the model are one, so this is a defect of ours
            self._report([Finding((), str(error))], locator)
            return
        self.resources.append(LocatedResource(kind, name, namespace, resource, locator.source.name, locator))

    def _take_secret(self, plain: dict[str, Any], located: LocatedValue, locator: _Locator) -> None:
        findings = list(check_secret(plain, located.unquoted))
        self._report(findings, locator)
        name, namespace = _identity(plain)
        if name is None or self._is_repeated("Secret", namespace, name, locator) or findings or located.problems:
            return
        position = locator.at_path(())
        self.secrets.append(SecretDocument(name, namespace, secret_values(plain), locator.source.name, position))

    def _is_repeated(self, kind: str, namespace: str | None, name: str, locator: _Locator) -> bool:
        """Tell of a second one of a name; in another namespace too, because what the files declare is run as one namespace."""
        position = locator.at_path(("metadata", "name"))
        here = Problem(file=locator.source.name, line=position.line, column=position.column, message="")
        first, its_namespace = self._seen.setdefault((kind, name), (here, namespace))
        if first is here:
            return False
        how, instead = "twice", ""
        if namespace != its_namespace:
            how, instead = "in two namespaces", "give each namespace's files to a command of their own"
        message = f"{kind} {name} is declared {how}; the first is at {first.file}:{first.line}"
        self._report([Finding(("metadata", "name"), message, instead)], locator)
        return True

    def _report(self, findings: Iterable[Finding], locator: _Locator) -> None:
        for found in findings:
            at = locator.at_path(found.path, on_key=found.on_key)
            self.problems.append(
                Problem(
                    file=locator.source.name,
                    line=at.line,
                    column=at.column,
                    path=format_path(found.path),
                    message=found.message,
                    suggestion=found.suggestion,
                )
            )

    def _note(self, notes: list[Problem], document: YamlDocument, root: Node, message: str) -> None:
        at = root.start
        notes.append(Problem(file=document.source.name, line=at.line, column=at.column, message=message))
