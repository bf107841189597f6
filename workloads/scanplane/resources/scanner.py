"""Scanner: a question to a Market, answered by a board, signals, or both."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from scanplane.resources.common import Duration, LocalReference, Metadata, rule, wording

__all__ = ["Board", "Order", "Scanner", "ScannerSpec", "SignalSpec"]

Expression = Annotated[
    str,
    Meta(
        description="A CEL expression over the feature catalogue.",
        min_length=1,
        max_length=4096,
    ),
]


FeatureName = Annotated[
    str,
    Meta(
        description="Name of a feature of the catalogue.",
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=64,
        extra=wording("the name of a feature", "use the catalogue's names, such as gap_percent"),
    ),
]


class Order(enum.StrEnum):
    """Which end of the ranking comes first."""

    DESCENDING = "Descending"
    ASCENDING = "Ascending"


class Board(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A ranking of the symbols that match now."""

    rank_by: Annotated[Expression, Meta(description="What to rank by: a feature or a numeric CEL expression.")]
    order: Annotated[Order, Meta(description="Which end comes first. Descending if left out.")] | None = None
    limit: Annotated[int, Meta(description="How many rows at most. 50 if left out.", ge=1, le=500)] | None = None
    columns: (
        Annotated[
            list[FeatureName],
            Meta(
                description="Features to show, in this order. What the ranking uses if left out.",
                max_length=32,
                extra_json_schema={"x-kubernetes-list-type": "set"},
            ),
        ]
        | None
    ) = None


class SignalSpec(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What happens when a symbol begins to match."""

    when: (
        Annotated[
            Expression,
            Meta(
                description="A boolean CEL expression, often an event such as new_high_of_day. A signal fires when "
                "where and when become true together; where alone decides if left out.",
            ),
        ]
        | None
    ) = None
    cooldown: (
        Annotated[Duration, Meta(description="Event time in which a symbol does not fire again. 0s if left out.")]
        | None
    ) = None


class ScannerSpec(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A question to a market."""

    market_ref: Annotated[LocalReference, Meta(description="The Market that is asked.")]
    where: (
        Annotated[
            Expression,
            Meta(description="A boolean CEL expression over features: which symbols match. Every symbol if left out."),
        ]
        | None
    ) = None
    board: Annotated[Board, Meta(description="Rank the symbols that match now.")] | None = None
    signal: Annotated[SignalSpec, Meta(description="Tell when a symbol begins to match.")] | None = None


class Scanner(Struct, frozen=True, kw_only=True, rename="camel"):
    """A question to a Market."""

    metadata: Metadata
    spec: Annotated[
        ScannerSpec,
        Meta(
            extra={
                "rules": (
                    rule(
                        "has(self.board) || has(self.signal)",
                        "a Scanner needs spec.board, spec.signal or both",
                        lambda spec: "board" in spec or "signal" in spec,
                    ),
                    rule(
                        "!has(self.signal) || has(self.where) || has(self.signal.when)",
                        "spec.signal needs spec.where or spec.signal.when",
                        lambda spec: "signal" not in spec or "where" in spec or "when" in spec["signal"],
                        at="signal",
                    ),
                )
            }
        ),
    ]
