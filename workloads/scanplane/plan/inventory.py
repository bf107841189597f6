"""What the planner looks at: resources, and what is known of the Secrets that they refer to."""

import enum
from collections.abc import Mapping

from msgspec import Struct

from scanplane.resources.data_plane import DataPlane
from scanplane.resources.feed import Feed
from scanplane.resources.kinds import KINDS, Kind, Resource
from scanplane.resources.market import Market
from scanplane.resources.scanner import Scanner
from scanplane.resources.subscription import Subscription

__all__ = ["Finding", "Home", "Inventory", "Reason", "ResourceKey", "Severity", "key_of", "kind_of"]


class Home(enum.StrEnum):
    """Where the plan will run.

    ``LOCAL`` is one process, which has a broker and a cache in memory: they serve where the DataPlane names none, and where
    the Secret of the one that it names is not there. ``PROCESSES`` are several processes of one machine. ``CLUSTER`` needs a
    DataPlane with a real broker and cache.
    """

    LOCAL = "Local"
    PROCESSES = "Processes"
    CLUSTER = "Cluster"


class Inventory(Struct, frozen=True, kw_only=True):
    """Everything that a plan depends on.

    ``secrets`` maps a Secret's name to a digest for each of its keys; a Secret that is not there is left out.
    ``config_maps`` says the same of the ConfigMaps that hold reference data on a cluster.
    ``last_good`` holds, for each resource, the version that was last accepted: it keeps running while a newer one is bad.
    ``malformed`` are declared too, but so badly that they are nothing to plan with: a reference to one does not dangle.
    ``readable`` are resources that are malformed, as far as they can be read: they are checked and never accepted.
    """

    namespace: str
    home: Home
    data_planes: tuple[DataPlane, ...] = ()
    feeds: tuple[Feed, ...] = ()
    markets: tuple[Market, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    scanners: tuple[Scanner, ...] = ()
    secrets: Mapping[str, Mapping[str, str]] = {}
    config_maps: Mapping[str, Mapping[str, str]] = {}
    last_good: Mapping["ResourceKey", Resource] = {}
    malformed: frozenset["ResourceKey"] = frozenset()
    readable: tuple[Resource, ...] = ()


class ResourceKey(Struct, frozen=True, order=True):
    """A resource within the namespace; written ``Feed/massive``."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


class Severity(enum.StrEnum):
    """An error keeps a resource from being accepted; a warning does not."""

    ERROR = "Error"
    WARNING = "Warning"


class Reason(enum.StrEnum):
    """Why a resource is not accepted, or accepted with a warning: the reasons of condition ``Accepted``."""

    ACCEPTED = "Accepted"
    REFERENCE_NOT_FOUND = "ReferenceNotFound"
    REFERENCE_NOT_ACCEPTED = "ReferenceNotAccepted"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105  # the name of a reason, no password
    INVALID_EXPRESSION = "InvalidExpression"
    UNKNOWN_FEATURE = "UnknownFeature"
    FEATURE_WITHOUT_DATA = "FeatureWithoutData"
    CHANNEL_WITHOUT_FEATURE = "ChannelWithoutFeature"
    UNSUPPORTED_CHANNEL = "UnsupportedChannel"
    TOO_MANY_SYMBOLS = "TooManySymbols"
    UNKNOWN_CALENDAR = "UnknownCalendar"
    CONFLICTING_SESSIONS = "ConflictingSessions"
    CONFLICTING_DELIVERY = "ConflictingDelivery"
    CONFLICTING_ASSET_CLASS = "ConflictingAssetClass"
    OVERLAPPING_FEEDS = "OverlappingFeeds"
    TOO_MANY_CONNECTIONS = "TooManyConnections"
    REFERENCE_WITHOUT_PROVIDER = "ReferenceWithoutProvider"
    SERVICE_REQUIRED = "ServiceRequired"
    NOT_USED = "NotUsed"


class Finding(Struct, frozen=True, kw_only=True, order=True):
    """One thing that is wrong with a resource: where, and what to write instead.

    ``line`` and ``column`` count from 1 within the text at ``path`` where that is an expression, and are 0 otherwise.
    """

    key: ResourceKey
    severity: Severity
    reason: Reason
    path: str
    message: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = self.path.removeprefix("spec.") + (f":{self.line}:{self.column}" if self.line else "")
        return f"{place} {self.message}" if place else self.message


_KIND_OF: dict[type[Resource], Kind] = {info.model: info.kind for info in KINDS.values()}


def kind_of(resource: Resource) -> Kind:
    """Return the kind of a typed resource."""
    return _KIND_OF[type(resource)]


def key_of(resource: Resource) -> ResourceKey:
    """Return the key of a typed resource."""
    return ResourceKey(kind_of(resource), resource.metadata.name)
