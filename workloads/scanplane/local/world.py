"""From files to a plan: documents, what is known of their Secrets, and everything that is wrong, with its place.

Pure but for the environment that Secrets may come from. A file that was saved half-written must not take a market down:
what a broken file declared before goes on as it was until the file can be read again.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from msgspec import Struct

from scanplane.plan.configuration import SecretKey, config_map_keys
from scanplane.plan.inventory import Finding, Home, Inventory, ResourceKey, Severity
from scanplane.plan.planner import Plan, plan
from scanplane.plan.scanner_checks import check_scanner_texts
from scanplane.plan.services import DEFAULT_NAME
from scanplane.resources.common import SecretKeyReference
from scanplane.resources.data_plane import DataPlane
from scanplane.resources.documents import (
    Documents,
    LocatedResource,
    MalformedResource,
    SourceText,
    parse_documents,
)
from scanplane.resources.feed import Feed
from scanplane.resources.kinds import Kind, Resource
from scanplane.resources.market import Market
from scanplane.resources.problems import Problem
from scanplane.resources.scanner import Scanner
from scanplane.resources.secret_documents import SecretDocument
from scanplane.resources.subscription import Subscription
from scanplane.roles.interface import SecretMissingError
from scanplane.roles.secrets import MappingSecrets, secret_digests

__all__ = ["NAMESPACE", "WITHHELD", "World", "build_world", "in_order"]

NAMESPACE = "default"
WITHHELD = "nothing starts with a DataPlane that is refused or can't be read: mend it first"
"""What to say of a plan that is withheld."""
_DATA_PLANE = ResourceKey(Kind.DATA_PLANE, DEFAULT_NAME)


class World(Struct, frozen=True, kw_only=True):
    """What the files say now. ``problems`` keep something from being used; ``remarks`` do not. ``passed_over`` counts the
    documents of somebody else and the empty files, each of which has a remark.

    ``files`` names the file of each resource that counts, and ``secret_documents`` are the Secrets that do: those that stand
    there now, and those that stood there when the file could last be read.
    """

    plan: Plan
    secrets: MappingSecrets
    problems: tuple[Problem, ...]
    remarks: tuple[Problem, ...]
    passed_over: int
    located: Mapping[ResourceKey, LocatedResource]
    files: Mapping[ResourceKey, str]
    secret_documents: Mapping[str, SecretDocument]


def build_world(
    sources: Sequence[SourceText],
    environment: Mapping[str, str] | None = None,
    before: World | None = None,
    *,
    namespace: str = NAMESPACE,
    home: Home = Home.LOCAL,
    assume_inputs: bool = False,
) -> World:
    """Plan what *sources* declare for *home*; *before* is the world that runs now, whose good versions outlive bad edits.

    *assume_inputs* takes every Secret and ConfigMap that is referred to for there: what can be said without running anything.
    """
    documents = parse_documents(sources)
    emptied = _emptied(sources, before)
    broken = {problem.file for problem in (*documents.problems, *emptied)}
    located = {ResourceKey(each.kind, each.name): each for each in documents.resources}
    kept = {key: each for key, each in _kept(documents, broken, before).items() if key not in located}
    resources = [*(each.resource for each in located.values()), *kept.values()]
    readable = {index: each.readable for index, each in enumerate(documents.malformed) if each.readable is not None}
    mentioned = [*resources, *readable.values()]
    files = {} if before is None else {key: before.files[key] for key in kept}
    secret_documents = _kept_secrets(broken, before) | {secret.name: secret for secret in documents.secrets}
    secrets = MappingSecrets({name: each.values for name, each in secret_documents.items()}, environment)
    known = _known_secrets(secret_documents.values(), mentioned, secrets)
    if assume_inputs:
        _assume(known, mentioned)
    planned = plan(
        Inventory(
            namespace=namespace,
            home=home,
            data_planes=tuple(each for each in resources if isinstance(each, DataPlane)),
            feeds=tuple(each for each in resources if isinstance(each, Feed)),
            markets=tuple(each for each in resources if isinstance(each, Market)),
            subscriptions=tuple(each for each in resources if isinstance(each, Subscription)),
            scanners=tuple(each for each in resources if isinstance(each, Scanner)),
            secrets=secret_digests(known),
            config_maps=_assumed_config_maps(mentioned) if assume_inputs else {},
            last_good=before.plan.accepted if before is not None else {},
            malformed=frozenset(_declared(documents) - located.keys()),
            readable=tuple(readable.values()),
        )
    )
    found = dict(zip(readable, planned.found_in_readable, strict=True))
    more = [
        problem
        for index, each in enumerate(documents.malformed)
        for problem in _more_problems(each, found.get(index, ()))
    ]
    errors = [_problem(finding, located) for finding in planned.findings if finding.severity is Severity.ERROR]
    warnings = [_problem(finding, located) for finding in planned.findings if finding.severity is Severity.WARNING]
    notes = [note for note in documents.notes if note.file not in broken]
    return World(
        plan=planned,
        secrets=secrets,
        problems=in_order(sources, (*documents.problems, *emptied, *more, *errors)),
        remarks=(*notes, *warnings),
        passed_over=len(notes),
        located=located,
        files=files | {key: each.file for key, each in located.items()},
        secret_documents=secret_documents,
    )


def _emptied(sources: Sequence[SourceText], before: World | None) -> list[Problem]:
    """Return a problem for each file that held something and is blank now: as likely half-written as meant."""
    if before is None:
        return []
    held = {*before.files.values(), *(secret.file for secret in before.secret_documents.values())}
    message = "the file is empty now; what it declared goes on until the file itself is removed"
    return [
        Problem(file=source.name, line=1, column=1, message=message)
        for source in sources
        if source.name in held and not source.text.strip()
    ]


def _kept(documents: Documents, broken: AbstractSet[str], before: World | None) -> dict[ResourceKey, Resource]:
    """Return the running versions of what is declared wrongly now, or stood in a file that cannot be read now."""
    if before is None:
        return {}
    declared = _declared(documents)
    if any(key.kind is Kind.DATA_PLANE for key in declared):
        declared.add(_DATA_PLANE)  # one of another name is not used, and no reason to go on with none at all
    return {
        key: resource
        for key, resource in before.plan.accepted.items()
        if key in declared or before.files[key] in broken
    }


def _declared(documents: Documents) -> set[ResourceKey]:
    """Return what is declared, well or badly; what can't be read at all may be the DataPlane."""
    found = {ResourceKey(each.kind, each.name) for each in documents.declared}
    return found | ({_DATA_PLANE} if Kind.DATA_PLANE in documents.doubtful else set())


def _kept_secrets(broken: AbstractSet[str], before: World | None) -> dict[str, SecretDocument]:
    """Return the Secrets that stood in a file that cannot be read now."""
    known = {} if before is None else before.secret_documents
    return {name: secret for name, secret in known.items() if secret.file in broken}


def _known_secrets(
    documents: Iterable[SecretDocument], resources: Iterable[Resource], secrets: MappingSecrets
) -> dict[str, dict[str, str]]:
    """Return every Secret of the documents, and what the environment has of those that resources refer to."""
    known = {secret.name: dict(secret.values) for secret in documents}
    for reference in _secret_references(resources):
        try:
            value = secrets.read(SecretKey(name=reference.name, key=reference.key))
        except SecretMissingError:
            continue
        known.setdefault(reference.name, {})[reference.key] = value
    for resource in resources:
        gateway = resource.spec.gateway if isinstance(resource, DataPlane) else None
        if gateway is not None and gateway.tokens_secret_ref is not None:
            name = gateway.tokens_secret_ref.name
            try:
                known[name] = secrets.read_all(name)
            except SecretMissingError:
                continue
    return known


def _assume(known: dict[str, dict[str, str]], resources: Iterable[Resource]) -> None:
    for reference in _secret_references(resources):
        known.setdefault(reference.name, {}).setdefault(reference.key, "")
    for resource in resources:
        gateway = resource.spec.gateway if isinstance(resource, DataPlane) else None
        if gateway is not None and gateway.tokens_secret_ref is not None:
            known.setdefault(gateway.tokens_secret_ref.name, {})


def _assumed_config_maps(resources: Iterable[Resource]) -> dict[str, dict[str, str]]:
    assumed: dict[str, dict[str, str]] = {}
    for resource in resources:
        reference = resource.spec.reference if isinstance(resource, Market) else None
        file = reference.file if reference is not None else None
        if file is not None and file.config_map_ref is not None:
            keys = config_map_keys(file.symbols, file.volume_curve)
            assumed.setdefault(file.config_map_ref.name, {}).update(dict.fromkeys(keys, ""))
    return assumed


def _secret_references(resources: Iterable[Resource]) -> Iterable[SecretKeyReference]:
    for resource in resources:
        match resource:
            case Feed(spec=spec) if spec.massive is not None:
                yield spec.massive.api_key_secret_ref
            case DataPlane(spec=spec):
                if spec.broker is not None:
                    yield spec.broker.url_secret_ref
                if spec.cache is not None:
                    yield spec.cache.url_secret_ref
            case _:
                pass


def _more_problems(malformed: MalformedResource, findings: Iterable[Finding]) -> list[Problem]:
    """Return what else is wrong with a resource that is malformed: every mistake at once.

    *findings* are about what of it can be read; the expressions of a Scanner can be judged whatever else is wrong.
    """
    told = [
        (each.path, each.message, max(each.line, 1), max(each.column, 1))
        for each in findings
        if each.severity is Severity.ERROR
    ]
    if malformed.kind is Kind.SCANNER:
        told += check_scanner_texts(malformed.document)
    problems = (malformed.problem(*each) for each in dict.fromkeys(told))
    return [problem for problem in problems if problem is not None]


def in_order(sources: Sequence[SourceText], problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return *problems* as a reader meets them; those without a place come last."""
    order = {source.name: number for number, source in enumerate(sources)}
    return tuple(sorted(problems, key=lambda each: (order.get(each.file, len(order)), each.line, each.column)))


def _problem(finding: Finding, located: Mapping[ResourceKey, LocatedResource]) -> Problem:
    """Return *finding* with its place in the file; one about a version that is not in a file any more has none."""
    resource = located.get(finding.key)
    if resource is None:
        return Problem(path=f"{finding.key} {finding.path}", message=finding.message)
    return resource.problem(finding.path, finding.message, line=max(finding.line, 1), column=max(finding.column, 1))
