"""The table of kinds: everything that differs between them outside their fields."""

import enum

from msgspec import Struct

from scanplane.resources.data_plane import DataPlane
from scanplane.resources.feed import Feed
from scanplane.resources.market import Market
from scanplane.resources.scanner import Scanner
from scanplane.resources.subscription import Subscription

__all__ = ["KINDS", "Kind", "KindInfo", "Resource"]

Resource = DataPlane | Feed | Market | Subscription | Scanner


class Kind(enum.StrEnum):
    """The custom kinds of group ``scanplane.io``."""

    DATA_PLANE = "DataPlane"
    FEED = "Feed"
    MARKET = "Market"
    SUBSCRIPTION = "Subscription"
    SCANNER = "Scanner"


class KindInfo(Struct, frozen=True):
    """How a kind is named in Kubernetes and which model it has."""

    kind: Kind
    plural: str
    short_names: tuple[str, ...]
    model: type[Resource]


KINDS: dict[Kind, KindInfo] = {
    info.kind: info
    for info in (
        KindInfo(Kind.DATA_PLANE, "dataplanes", ("dp",), DataPlane),
        KindInfo(Kind.FEED, "feeds", ("feed",), Feed),
        KindInfo(Kind.MARKET, "markets", ("mkt",), Market),
        KindInfo(Kind.SUBSCRIPTION, "subscriptions", ("sub",), Subscription),
        KindInfo(Kind.SCANNER, "scanners", ("scan",), Scanner),
    )
}
