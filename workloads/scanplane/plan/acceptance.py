"""Which version of which resource counts: each is checked in the light of those that were accepted before it.

The order is that of the references (DataPlane, Feed and Market, Subscription, Scanner). Within a kind those that run already as
they are come first, then those that run in another version, so that nothing new displaces them, and then by name: of two
resources that exclude each other always the same one wins. A resource whose newest version is bad keeps its last good one.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct

from scanplane.plan.inventory import Finding, Inventory, Reason, ResourceKey, Severity, key_of
from scanplane.resources.data_plane import DataPlane
from scanplane.resources.feed import Feed
from scanplane.resources.kinds import Kind, Resource
from scanplane.resources.market import Market
from scanplane.resources.scanner import Scanner
from scanplane.resources.subscription import Subscription

__all__ = ["Acceptance", "Judgement", "accept", "missing_or_refused"]

AnyResource = TypeVar("AnyResource", DataPlane, Feed, Market, Subscription, Scanner)
_Check = Callable[[AnyResource, "Acceptance"], Iterable[Finding]]


class Acceptance(Struct):
    """What was accepted so far, by name; grows while the kinds are checked in order."""

    inventory: Inventory
    data_planes: dict[str, DataPlane] = {}
    feeds: dict[str, Feed] = {}
    markets: dict[str, Market] = {}
    subscriptions: dict[str, Subscription] = {}
    scanners: dict[str, Scanner] = {}
    findings: list[Finding] = []

    def accepted(self) -> dict[ResourceKey, Resource]:
        """Return the version of each resource that is in use: the next plan's ``last_good``."""
        groups: tuple[Iterable[Resource], ...] = (
            self.data_planes.values(),
            self.feeds.values(),
            self.markets.values(),
            self.subscriptions.values(),
            self.scanners.values(),
        )
        return {key_of(resource): resource for group in groups for resource in group}


class Judgement:
    """Collects the findings about one resource, so that a check reads as a list of what may be wrong."""

    def __init__(self, resource: Resource) -> None:
        self.key = key_of(resource)
        self.findings: list[Finding] = []

    def refuse(self, reason: Reason, path: str, message: str, *, line: int = 0, column: int = 0) -> None:
        """Note an error: the resource is not accepted."""
        self._add(Severity.ERROR, reason, path, message, line, column)

    def warn(self, reason: Reason, path: str, message: str) -> None:
        """Note a warning: the resource is accepted all the same."""
        self._add(Severity.WARNING, reason, path, message, 0, 0)

    def _add(self, severity: Severity, reason: Reason, path: str, message: str, line: int, column: int) -> None:
        self.findings.append(
            Finding(
                key=self.key, severity=severity, reason=reason, path=path, message=message, line=line, column=column
            )
        )


def accept(
    acceptance: Acceptance, resources: Iterable[AnyResource], check: _Check[AnyResource], into: dict[str, AnyResource]
) -> None:
    """Check *resources* in order and add the versions that count to *into*, each visible to the checks of the next.

    Findings about a newest version are kept even when its last good version goes on in its place.
    """
    for resource in sorted(resources, key=lambda each: (_newness(acceptance, each), each.metadata.name)):
        findings = list(check(resource, acceptance))
        acceptance.findings.extend(findings)
        version = resource if not _has_errors(findings) else _last_good(acceptance, resource, check)
        if version is not None:
            into[resource.metadata.name] = version


def _newness(acceptance: Acceptance, resource: AnyResource) -> int:
    """Return 0 where this very version was accepted before, 1 where another was, 2 where none was."""
    version = acceptance.inventory.last_good.get(key_of(resource))
    if not isinstance(version, type(resource)):
        return 2
    return 0 if version.spec == resource.spec else 1


def _has_errors(findings: Iterable[Finding]) -> bool:
    return any(finding.severity is Severity.ERROR for finding in findings)


def _last_good(acceptance: Acceptance, resource: AnyResource, check: _Check[AnyResource]) -> AnyResource | None:
    """Return the version that ran, if it can go on: what it was started with, a Secret or a file, may be gone by now."""
    version = acceptance.inventory.last_good.get(key_of(resource))
    if not isinstance(version, type(resource)):
        return None
    gone = {Reason.SECRET_NOT_FOUND}
    if isinstance(version, Market):
        gone.add(Reason.REFERENCE_NOT_FOUND)
    return None if _has_errors(each for each in check(version, acceptance) if each.reason not in gone) else version


def missing_or_refused(acceptance: Acceptance, kind: Kind, name: str, path: str, judgement: Judgement) -> None:
    """Note that a reference leads nowhere, or to a resource that is not accepted itself."""
    names = {
        Kind.FEED: [feed.metadata.name for feed in acceptance.inventory.feeds],
        Kind.MARKET: [market.metadata.name for market in acceptance.inventory.markets],
    }[kind]
    if name in names or ResourceKey(kind, name) in acceptance.inventory.malformed:
        judgement.refuse(Reason.REFERENCE_NOT_ACCEPTED, path, f"{kind} '{name}' is not accepted itself: mend it first")
        return
    known = ", ".join(sorted(names)[:5])
    judgement.refuse(
        Reason.REFERENCE_NOT_FOUND,
        path,
        f"there is no {kind} '{name}' in namespace '{acceptance.inventory.namespace}'"
        + (f"; there is {known}" if known else f": apply a {kind} of that name"),
    )
