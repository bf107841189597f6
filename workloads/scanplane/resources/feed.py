"""Feed: a provider of market data and the account that is used there."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from scanplane.resources.common import Duration, Metadata, SecretKeyReference, duration_between, rule, wording

__all__ = ["Feed", "FeedSpec", "MassiveFeed", "MassiveFeedName", "Provider", "ReplayFeed"]


class Provider(enum.StrEnum):
    """Who sends the data."""

    MASSIVE = "Massive"
    REPLAY = "Replay"


class MassiveFeedName(enum.StrEnum):
    """Massive's own feeds; the name decides the host that is connected to."""

    DELAYED = "Delayed"
    REAL_TIME = "RealTime"
    NASDAQ = "Nasdaq"
    POLY = "Poly"
    POLY_PLUS = "PolyPlus"
    STARTER = "Starter"
    LAUNCHPAD = "Launchpad"
    BUSINESS = "Business"
    EDGX_BUSINESS = "EdgxBusiness"
    IEX_BUSINESS = "IexBusiness"
    DELAYED_BUSINESS = "DelayedBusiness"
    DELAYED_EDGX_BUSINESS = "DelayedEdgxBusiness"
    DELAYED_NASDAQ_LAST_SALE_BUSINESS = "DelayedNasdaqLastSaleBusiness"
    DELAYED_NASDAQ_BASIC_BUSINESS = "DelayedNasdaqBasicBusiness"
    DELAYED_FULL_MARKET_BUSINESS = "DelayedFullMarketBusiness"
    FULL_MARKET_BUSINESS = "FullMarketBusiness"
    NASDAQ_LAST_SALE_BUSINESS = "NasdaqLastSaleBusiness"
    NASDAQ_BASIC_BUSINESS = "NasdaqBasicBusiness"


class MassiveFeed(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A connection to Massive (formerly Polygon): one of its feeds, an endpoint that speaks its protocol, or both."""

    api_key_secret_ref: Annotated[SecretKeyReference, Meta(description="The Secret key that holds the API key.")]
    feed: (
        Annotated[
            MassiveFeedName,
            Meta(description="Which of Massive's feeds it is: its host, its delay, and what it carries."),
        ]
        | None
    ) = None
    endpoint: (
        Annotated[
            str,
            Meta(
                description="WebSocket URL of a server that speaks Massive's protocol, up to but without the market's "
                "name, such as ws://simulator:8765. The feed's own if left out; with a feed, a relay of it.",
                pattern=r"^wss?://[^\s/]+(/[^\s]*)?$",
                extra=wording(
                    "a WebSocket URL",
                    "write ws:// or wss:// and a host, such as wss://socket.massive.com",
                    private=True,
                ),
                max_length=512,
            ),
        ]
        | None
    ) = None
    rest_endpoint: (
        Annotated[
            str,
            Meta(
                description="HTTP URL of the provider's REST service, for bulk reference data; "
                "Massive's own when left out.",
                pattern=r"^https?://[^\s/]+(/[^\s]*)?$",
                extra=wording(
                    "an HTTP URL", "write http:// or https:// and a host, such as https://api.massive.com", private=True
                ),
                max_length=512,
            ),
        ]
        | None
    ) = None


class ReplayFeed(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A recording, played as if it were live."""

    path: Annotated[
        str,
        Meta(description="Path of the recording, as the listener sees it.", min_length=1, max_length=1024),
    ]
    speed: (
        Annotated[
            float,
            Meta(description="Times real time; 0 plays as fast as the pipeline takes it. 1 when left out.", ge=0),
        ]
        | None
    ) = None


class FeedSpec(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which provider, and how it is reached."""

    provider: Annotated[Provider, Meta(description="Who sends the data; decides which of the other fields is used.")]
    massive: (
        Annotated[
            MassiveFeed,
            Meta(
                description="Settings of provider Massive.",
                extra={
                    "rules": (
                        rule(
                            "has(self.feed) || has(self.endpoint)",
                            "set feed (what arrives), endpoint (where it comes from), or both",
                            lambda massive: "feed" in massive or "endpoint" in massive,
                        ),
                    )
                },
            ),
        ]
        | None
    ) = None
    replay: Annotated[ReplayFeed, Meta(description="Settings of provider Replay.")] | None = None
    max_connections: (
        Annotated[
            int,
            Meta(
                description="How many connections the account of the API key allows at once for one asset class, those of "
                "live and delayed feeds together. 1 when left out; of Feeds with the same key the largest counts. "
                "Scanplane never opens more than one for a Feed, and a Subscription that would take one more is refused.",
                ge=1,
                le=100,
            ),
        ]
        | None
    ) = None
    label: (
        Annotated[
            str,
            Meta(
                description="What people are told about this data beside every figure made of it, such as synthetic or "
                "15 min delayed. Decided by the feed if left out; empty for real time.",
                max_length=80,
            ),
        ]
        | None
    ) = None
    stale_after: (
        Annotated[
            Duration,
            Meta(
                description="How long the feed may be silent in an open market, and a board without an evaluation, before what "
                "people read is called stale, 100ms to 24h. 15s if left out; 90s where it brings minute bars alone.",
                extra={"rules": (duration_between("100ms", "24h"),)},
            ),
        ]
        | None
    ) = None


class Feed(Struct, frozen=True, kw_only=True, rename="camel"):
    """A provider of market data. It becomes one listener, which holds the one connection."""

    metadata: Metadata
    spec: Annotated[
        FeedSpec,
        Meta(
            extra={
                "rules": (
                    rule(
                        "self.provider != 'Massive' || (has(self.massive) && !has(self.replay))",
                        "provider Massive needs spec.massive and no other provider's settings",
                        lambda spec: spec["provider"] != "Massive" or ("massive" in spec and "replay" not in spec),
                        at="provider",
                    ),
                    rule(
                        "self.provider != 'Replay' || (has(self.replay) && !has(self.massive))",
                        "provider Replay needs spec.replay and no other provider's settings",
                        lambda spec: spec["provider"] != "Replay" or ("replay" in spec and "massive" not in spec),
                        at="provider",
                    ),
                )
            }
        ),
    ]
