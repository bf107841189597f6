"""What the operator writes back: conditions and live figures, one typed status per kind.

Figures are whole numbers with their unit in the name. They describe the workloads' last report and are
written only when they changed enough to matter, so that an idle cluster is not written to.
"""

import enum
from typing import Annotated

from msgspec import Meta, Struct

__all__ = [
    "AcceptedSpec",
    "Condition",
    "ConditionStatus",
    "ConditionType",
    "DataPlaneStatus",
    "FeedStatus",
    "MarketStatus",
    "Restart",
    "ScannerStatus",
    "SubscriptionStatus",
]


class ConditionType(enum.StrEnum):
    """What a condition speaks of.

    Ready is Accepted and rolled out; a closed market or a broker's hiccup shows in DataFlowing and never in Ready.
    """

    ACCEPTED = "Accepted"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    DATA_FLOWING = "DataFlowing"
    PAUSED = "Paused"
    READY = "Ready"


class ConditionStatus(enum.StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Count = Annotated[int, Meta(ge=0)]


class Condition(Struct, frozen=True, kw_only=True, rename="camel"):
    """One condition, as Kubernetes writes them."""

    type: Annotated[
        ConditionType,
        Meta(
            description="Accepted: the spec is valid and all it refers to exists. Available: its workloads serve. "
            "Progressing: a change is being rolled out. DataFlowing: events arrive. Paused: the operator leaves it "
            "alone. Ready: accepted and rolled out."
        ),
    ]
    status: Annotated[ConditionStatus, Meta(description="Whether it holds.")]
    observed_generation: Annotated[Count, Meta(description="The metadata.generation that this was said of.")]
    last_transition_time: Annotated[Timestamp, Meta(description="When status changed last.")]
    reason: Annotated[
        str,
        Meta(
            description="Why, in one CamelCase word for programs.",
            pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            min_length=1,
            max_length=256,
        ),
    ]
    message: Annotated[
        str, Meta(description="Why, in one line for people: what, where and what to write.", max_length=4096)
    ]


class Restart(Struct, frozen=True, kw_only=True, rename="camel"):
    """The last time a workload was started anew, and why."""

    time: Annotated[Timestamp, Meta(description="When it was asked for.")]
    reason: Annotated[str, Meta(description="Why, in one CamelCase word, such as ScannerChanged.", max_length=256)]
    message: Annotated[str, Meta(description="What changed, in one line.", max_length=1024)] = ""


class AcceptedSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    """The version that runs: it goes on while a newer one is not accepted or the resource is paused."""

    generation: Annotated[Count, Meta(description="Its metadata.generation.")]
    spec: Annotated[str, Meta(description="Its spec, as JSON.", max_length=1_048_576)]


class _Observed(Struct, frozen=True, kw_only=True, rename="camel"):
    """What every status begins with."""

    observed_generation: (
        Annotated[Count, Meta(description="The metadata.generation that this status was made from.")] | None
    ) = None
    conditions: (
        Annotated[
            list[Condition],
            Meta(
                description="What holds of this resource, one entry for each type.",
                max_length=16,
                extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
            ),
        ]
        | None
    ) = None
    accepted: Annotated[AcceptedSpec, Meta(description="The version of the spec that was accepted last.")] | None = None


class DataPlaneStatus(_Observed, frozen=True, kw_only=True, rename="camel"):
    """The gateway and what stands on this data plane."""

    configuration: (
        Annotated[
            str,
            Meta(description="Hash of what the gateway was started with: configuration, image, pod.", max_length=64),
        ]
        | None
    ) = None
    last_restart: Annotated[Restart, Meta(description="The gateway's last restart.")] | None = None
    ready_gateways: Annotated[Count, Meta(description="Gateways that are ready, a count.")] | None = None
    client_count: Annotated[Count, Meta(description="Stream clients connected now, a count.")] | None = None
    deliveries_per_second: (
        Annotated[Count, Meta(description="Updates sent to clients, each second over the last report.")] | None
    ) = None
    workload_count: (
        Annotated[Count, Meta(description="Workloads that the operator keeps for this namespace, a count.")] | None
    ) = None
    ready_workloads: Annotated[Count, Meta(description="Workloads of those that are ready, a count.")] | None = None


class FeedStatus(_Observed, frozen=True, kw_only=True, rename="camel"):
    """The listener and its connection."""

    configuration: (
        Annotated[
            str,
            Meta(description="Hash of what the listener was started with: configuration, image, pod.", max_length=64),
        ]
        | None
    ) = None
    last_restart: Annotated[Restart, Meta(description="The listener's last restart.")] | None = None
    connection: (
        Annotated[str, Meta(description="State of the connection to the provider, such as Streaming.", max_length=64)]
        | None
    ) = None
    events_per_second: (
        Annotated[Count, Meta(description="Events received, each second over the last report.")] | None
    ) = None
    lag_p99_milliseconds: (
        Annotated[
            Count,
            Meta(
                description="Time from the receipt of an event to its hand-over to the broker, 99th percentile, in ms."
            ),
        ]
        | None
    ) = None
    reconnects_total: (
        Annotated[Count, Meta(description="Connections made after the first, a count since the listener began.")] | None
    ) = None
    rejected_events_total: (
        Annotated[Count, Meta(description="Events that could not be understood, a count since the listener began.")]
        | None
    ) = None
    dropped_events_total: (
        Annotated[
            Count,
            Meta(description="Events dropped because the broker was too slow, a count since the listener began."),
        ]
        | None
    ) = None
    last_event_time: Annotated[Timestamp, Meta(description="When the newest event was received.")] | None = None


class MarketStatus(_Observed, frozen=True, kw_only=True, rename="camel"):
    """The analyzers."""

    configuration: (
        Annotated[
            str,
            Meta(
                description="Hash of what the analyzers were started with: configurations, image, pods.", max_length=64
            ),
        ]
        | None
    ) = None
    last_restart: Annotated[Restart, Meta(description="The analyzers' last restart.")] | None = None
    partitions: Annotated[Count, Meta(description="Partitions that run, a count.")] | None = None
    ready_partitions: Annotated[Count, Meta(description="Partitions that are ready, a count.")] | None = None
    selector: (
        Annotated[
            str,
            Meta(description="Label selector of the analyzers' pods, for the scale subresource.", max_length=512),
        ]
        | None
    ) = None
    session: (
        Annotated[
            str, Meta(description="The trading session now: premarket, regular, postmarket or closed.", max_length=32)
        ]
        | None
    ) = None
    symbol_count: Annotated[Count, Meta(description="Symbols seen, a count over all partitions.")] | None = None
    scanner_count: Annotated[Count, Meta(description="Scanners that run, a count.")] | None = None
    events_per_second: (
        Annotated[Count, Meta(description="Events analyzed, each second over the last report.")] | None
    ) = None
    lag_p99_milliseconds: (
        Annotated[
            Count,
            Meta(description="Time from the receipt of an event to the board, 99th percentile, in ms."),
        ]
        | None
    ) = None
    lost_batches_total: (
        Annotated[
            Count,
            Meta(description="Batches that expired or were dropped on the way, a count since the analyzers began."),
        ]
        | None
    ) = None


class SubscriptionStatus(_Observed, frozen=True, kw_only=True, rename="camel"):
    """What arrives of what was asked for."""

    events_per_second: (
        Annotated[Count, Meta(description="Events delivered to the market, each second over the last report.")] | None
    ) = None
    symbol_count: Annotated[Count, Meta(description="Symbols that events came for, a count.")] | None = None
    unacknowledged_topics: (
        Annotated[Count, Meta(description="Topics that the provider did not confirm, a count.")] | None
    ) = None
    dropped_events_total: (
        Annotated[Count, Meta(description="Events dropped before the broker, a count since the listener began.")] | None
    ) = None


class ScannerStatus(_Observed, frozen=True, kw_only=True, rename="camel"):
    """What the scanner finds."""

    matches: Annotated[Count, Meta(description="Symbols that match now, a count.")] | None = None
    signals_total: Annotated[Count, Meta(description="Signals fired, a count since the analyzers began.")] | None = None
    last_signal_time: Annotated[Timestamp, Meta(description="When the last signal fired, in event time.")] | None = None
