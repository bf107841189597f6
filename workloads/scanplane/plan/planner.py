"""The plan: which role instances there are and what each is told, and what is wrong with which resource."""

from collections.abc import Mapping

from msgspec import Struct

from scanplane.plan.acceptance import Acceptance, Judgement, accept
from scanplane.plan.analyzers import analyzer_configurations, massive_feed_of
from scanplane.plan.checks import check_data_plane, check_feed, check_market, check_subscription
from scanplane.plan.configuration import RoleConfiguration
from scanplane.plan.gateways import gateway_configuration
from scanplane.plan.inventory import Finding, Home, Inventory, Reason, ResourceKey
from scanplane.plan.listeners import listener_configurations
from scanplane.plan.scanner_checks import check_scanner
from scanplane.plan.services import DEFAULT_NAME
from scanplane.resources.data_plane import DataPlane
from scanplane.resources.feed import Feed
from scanplane.resources.kinds import Kind, Resource
from scanplane.resources.market import Analyzer, Market, ReferenceSource
from scanplane.resources.scanner import Scanner
from scanplane.resources.subscription import Subscription

__all__ = ["Plan", "plan"]


class Plan(Struct, frozen=True, kw_only=True):
    """What should run, by instance name; what was found; and the versions in use (the next plan's ``last_good``).

    ``is_withheld`` says that nothing should run for want of an accepted DataPlane. ``found_in_readable`` are the findings
    about each of the inventory's ``readable``.
    """

    configurations: Mapping[str, RoleConfiguration]
    findings: tuple[Finding, ...]
    accepted: Mapping[ResourceKey, Resource]
    is_withheld: bool = False
    found_in_readable: tuple[tuple[Finding, ...], ...] = ()

    @property
    def data_plane(self) -> DataPlane | None:
        """The DataPlane in use."""
        found = self.accepted.get(ResourceKey(Kind.DATA_PLANE, DEFAULT_NAME))
        return found if isinstance(found, DataPlane) else None

    def analyzer_of(self, market: str) -> Analyzer | None:
        """Return what the version in use of a Market says of its analyzers."""
        found = self.accepted.get(ResourceKey(Kind.MARKET, market))
        return found.spec.analyzer if isinstance(found, Market) else None

    def findings_of(self, key: ResourceKey) -> list[Finding]:
        """Return what was found about one resource."""
        return [finding for finding in self.findings if finding.key == key]


def plan(inventory: Inventory) -> Plan:
    """Decide what should run. Pure; never raises for what a resource says."""
    acceptance = Acceptance(inventory)
    accept(acceptance, inventory.data_planes, check_data_plane, acceptance.data_planes)
    accept(acceptance, inventory.feeds, check_feed, acceptance.feeds)
    accept(acceptance, inventory.markets, check_market, acceptance.markets)
    accept(acceptance, inventory.subscriptions, check_subscription, acceptance.subscriptions)
    accept(acceptance, inventory.scanners, check_scanner, acceptance.scanners)
    acceptance.findings.extend(_references_without_provider(acceptance))
    is_withheld = _is_withheld(acceptance)
    configurations: list[RoleConfiguration] = []
    if not is_withheld:
        configurations += listener_configurations(acceptance)
        configurations += analyzer_configurations(acceptance)
        configurations.append(gateway_configuration(acceptance))
    return Plan(
        configurations={configuration.name: configuration for configuration in configurations},
        findings=tuple(sorted(acceptance.findings)),
        accepted=acceptance.accepted(),
        is_withheld=is_withheld,
        found_in_readable=tuple(tuple(_check(resource, acceptance)) for resource in inventory.readable),
    )


def _check(resource: Resource, acceptance: Acceptance) -> list[Finding]:
    """Check a resource that is not to be accepted, in the light of all that are."""
    match resource:
        case DataPlane():
            return check_data_plane(resource, acceptance)
        case Feed():
            return check_feed(resource, acceptance)
        case Market():
            return check_market(resource, acceptance)
        case Subscription():
            return check_subscription(resource, acceptance)
        case Scanner():
            return check_scanner(resource, acceptance)


def _is_withheld(acceptance: Acceptance) -> bool:
    """Whether nothing may run for want of a DataPlane.

    Without a cluster it may be left out. One that is written and refused must not be taken for left out, though: the gateway
    would let in everyone whom its tokens keep out. What runs already, with no DataPlane or with the last good one, goes on.
    """
    inventory = acceptance.inventory
    if DEFAULT_NAME in acceptance.data_planes:
        return False
    if inventory.home is Home.CLUSTER:
        return True
    is_written = inventory.data_planes or any(key.kind is Kind.DATA_PLANE for key in inventory.malformed)
    return bool(is_written) and not inventory.last_good


def _references_without_provider(acceptance: Acceptance) -> list[Finding]:
    found: list[Finding] = []
    for name, market in acceptance.markets.items():
        reference = market.spec.reference
        if reference is None or massive_feed_of(acceptance, name) is not None:
            continue
        judgement = Judgement(market)
        for path, source in (("previousClose", reference.previous_close), ("averageVolume", reference.average_volume)):
            if source is ReferenceSource.PROVIDER:
                judgement.warn(
                    Reason.REFERENCE_WITHOUT_PROVIDER,
                    f"spec.reference.{path}",
                    "stays unknown: no Subscription brings data of provider Massive to this Market",
                )
        found.extend(judgement.findings)
    return found
