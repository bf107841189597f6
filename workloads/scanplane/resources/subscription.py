"""Subscription: what of a Feed goes to a Market, and how it is delivered."""

from typing import Annotated

from msgspec import Meta, Struct

from scanplane.marketdata.channels import Channel
from scanplane.resources.common import Duration, LocalReference, Metadata, duration_between, rule, wording

__all__ = ["Delivery", "Subscription", "SubscriptionSpec"]

Symbol = Annotated[
    str,
    Meta(
        description="A provider's ticker (AAPL, O:SPY251219C00650000, X:BTC-USD), or * for every symbol.",
        pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9.:/_-]*)$",
        min_length=1,
        max_length=64,
        extra=wording("a symbol", 'write a ticker such as AAPL, or "*" for all'),
    ),
]


class Delivery(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How events travel from listener to analyzer through the broker."""

    time_to_live: (
        Annotated[
            Duration,
            Meta(
                description="How long the broker keeps an undelivered batch, 10ms to 24h; then it is dropped and counted. "
                "30s if left out.",
                extra={"rules": (duration_between("10ms", "24h"),)},
            ),
        ]
        | None
    ) = None
    publisher_confirms: (
        Annotated[bool, Meta(description="Whether the broker confirms each batch. true if left out.")] | None
    ) = None
    max_bytes: (
        Annotated[
            int,
            Meta(
                description="How many bytes the broker keeps for one partition; beyond it the oldest batch is dropped "
                "and counted. 536870912 (512 MiB) if left out.",
                ge=1_048_576,
            ),
        ]
        | None
    ) = None
    batch_delay: (
        Annotated[
            Duration,
            Meta(
                description="How long events wait to share a batch, 0ms to 10s. 5ms if left out.",
                extra={"rules": (duration_between("0ms", "10s"),)},
            ),
        ]
        | None
    ) = None


class SubscriptionSpec(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Channels and symbols of a Feed for a Market."""

    feed_ref: Annotated[LocalReference, Meta(description="The Feed that the data comes from.")]
    market_ref: Annotated[LocalReference, Meta(description="The Market that the data goes to.")]
    channels: Annotated[
        list[Channel],
        Meta(
            description="Which channels to take.",
            min_length=1,
            max_length=16,
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ]
    symbols: Annotated[
        list[Symbol],
        Meta(
            description='Which symbols to take; ["*"] takes all.',
            min_length=1,
            max_length=5000,
            extra_json_schema={"x-kubernetes-list-type": "set"},
            extra={
                "rules": (
                    rule(
                        "!('*' in self) || size(self) == 1",
                        '"*" already means every symbol: leave the others out',
                        lambda symbols: "*" not in symbols or len(symbols) == 1,
                    ),
                )
            },
        ),
    ]
    delivery: Annotated[Delivery, Meta(description="How the events travel.")] | None = None


class Subscription(Struct, frozen=True, kw_only=True, rename="camel"):
    """What of a Feed goes to a Market."""

    metadata: Metadata
    spec: SubscriptionSpec
