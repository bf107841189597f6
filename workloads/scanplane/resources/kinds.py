"""The table of kinds: everything that differs between them outside their fields."""

import enum

from msgspec import Struct

from scanplane.resources.data_plane import DataPlane
from scanplane.resources.feed import Feed
from scanplane.resources.market import Market
from scanplane.resources.scanner import Scanner
from scanplane.resources.status import DataPlaneStatus, FeedStatus, MarketStatus, ScannerStatus, SubscriptionStatus
from scanplane.resources.subscription import Subscription

__all__ = ["KINDS", "Kind", "KindInfo", "PrinterColumn", "Resource", "Scale", "Status"]

Resource = DataPlane | Feed | Market | Subscription | Scanner
Status = DataPlaneStatus | FeedStatus | MarketStatus | SubscriptionStatus | ScannerStatus


class Kind(enum.StrEnum):
    """The custom kinds of group ``scanplane.io``."""

    DATA_PLANE = "DataPlane"
    FEED = "Feed"
    MARKET = "Market"
    SUBSCRIPTION = "Subscription"
    SCANNER = "Scanner"


class PrinterColumn(Struct, frozen=True):
    """A column of ``kubectl get``; a *wide* one is shown with ``-o wide`` only."""

    name: str
    type: str
    path: str
    description: str
    wide: bool = False


class Scale(Struct, frozen=True):
    """The fields behind the scale subresource."""

    spec_replicas: str
    status_replicas: str
    selector: str


class KindInfo(Struct, frozen=True):
    """How a kind is named in Kubernetes, which models it has and what ``kubectl get`` shows of it."""

    kind: Kind
    plural: str
    short_names: tuple[str, ...]
    model: type[Resource]
    status: type[Status]
    columns: tuple[PrinterColumn, ...]
    scale: Scale | None = None

    @property
    def singular(self) -> str:
        """The name of one, as ``kubectl get`` takes it."""
        return self.kind.value.lower()


def _figure(name: str, field: str, description: str, *, wide: bool = False) -> PrinterColumn:
    return PrinterColumn(name, "integer", f".status.{field}", description, wide)


KINDS: dict[Kind, KindInfo] = {
    info.kind: info
    for info in (
        KindInfo(
            Kind.DATA_PLANE,
            "dataplanes",
            ("dp",),
            DataPlane,
            DataPlaneStatus,
            (
                _figure("Workloads", "readyWorkloads", "Workloads that are ready."),
                _figure("Clients", "clientCount", "Stream clients connected now."),
                _figure("Gateways", "readyGateways", "Gateways that are ready.", wide=True),
            ),
        ),
        KindInfo(
            Kind.FEED,
            "feeds",
            ("feed",),
            Feed,
            FeedStatus,
            (
                PrinterColumn("Connection", "string", ".status.connection", "State of the connection to the provider."),
                _figure("Events/s", "eventsPerSecond", "Events received, each second."),
                _figure("Lag-ms", "lagP99Milliseconds", "Receipt to broker, 99th percentile, ms."),
                _figure("Reconnects", "reconnectsTotal", "Connections made after the first.", wide=True),
                _figure("Dropped", "droppedEventsTotal", "Events dropped before the broker.", wide=True),
            ),
        ),
        KindInfo(
            Kind.MARKET,
            "markets",
            ("mkt",),
            Market,
            MarketStatus,
            (
                PrinterColumn("Session", "string", ".status.session", "The trading session now."),
                _figure("Symbols", "symbolCount", "Symbols seen."),
                _figure("Partitions", "readyPartitions", "Partitions that are ready.", wide=True),
                _figure("Events/s", "eventsPerSecond", "Events analyzed, each second."),
                _figure("Lag-ms", "lagP99Milliseconds", "Receipt to board, 99th percentile, ms.", wide=True),
            ),
            Scale(".spec.analyzer.partitions", ".status.partitions", ".status.selector"),
        ),
        KindInfo(
            Kind.SUBSCRIPTION,
            "subscriptions",
            ("sub",),
            Subscription,
            SubscriptionStatus,
            (
                _figure("Symbols", "symbolCount", "Symbols that events came for."),
                _figure("Events/s", "eventsPerSecond", "Events delivered, each second."),
                PrinterColumn("Feed", "string", ".spec.feedRef.name", "Where it comes from.", wide=True),
                PrinterColumn("Market", "string", ".spec.marketRef.name", "Where it goes to.", wide=True),
                _figure("Dropped", "droppedEventsTotal", "Events dropped before the broker.", wide=True),
            ),
        ),
        KindInfo(
            Kind.SCANNER,
            "scanners",
            ("scan",),
            Scanner,
            ScannerStatus,
            (
                _figure("Matches", "matches", "Symbols that match now."),
                _figure("Signals", "signalsTotal", "Signals fired since the analyzers began."),
                PrinterColumn("Market", "string", ".spec.marketRef.name", "The Market that is asked.", wide=True),
                PrinterColumn("Last-Signal", "date", ".status.lastSignalTime", "Age of the last signal.", wide=True),
            ),
        ),
    )
}
