"""DataPlane: what everything else in a namespace stands on."""

import enum
from typing import Annotated

from msgspec import Meta, Struct

from scanplane.resources.common import (
    Duration,
    LocalReference,
    Metadata,
    SecretKeyReference,
    duration_between,
    rule,
    wording,
)
from scanplane.resources.pods import Service, Workloads

__all__ = [
    "Broker",
    "Cache",
    "DataPlane",
    "DataPlaneSpec",
    "Gateway",
    "LogLevel",
    "Telemetry",
    "UpdatePolicy",
]

_STATUS_PORT = 8081
"""Where a pod answers probes, scrapes and the operator."""


class UpdatePolicy(enum.StrEnum):
    """When an upgrade of the operator or a new image may restart workloads."""

    IMMEDIATE = "Immediate"
    MARKET_CLOSED = "MarketClosed"


class LogLevel(enum.StrEnum):
    """How much the workloads say."""

    DEBUG = "Debug"
    INFO = "Info"
    WARNING = "Warning"
    ERROR = "Error"


class Broker(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The RabbitMQ broker."""

    url_secret_ref: Annotated[
        SecretKeyReference,
        Meta(description="The Secret key that holds the AMQP URL, such as amqp://user:password@host/."),
    ]


class Cache(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The Redis cache."""

    url_secret_ref: Annotated[
        SecretKeyReference,
        Meta(description="The Secret key that holds the Redis URL, such as redis://:password@host/0."),
    ]


class Gateway(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The gateway that people and programs read from."""

    replicas: (
        Annotated[int, Meta(description="How many gateways, on a cluster. 1 if left out.", ge=0, le=64)] | None
    ) = None
    port: (
        Annotated[
            int,
            Meta(
                description="TCP port. 8080 if left out; 0 takes a free one.",
                ge=0,
                le=65535,
                extra={
                    "rules": (
                        rule(
                            f"self != {_STATUS_PORT}",
                            f"{_STATUS_PORT} is the port of every pod's own status: write another, such as 8080",
                            lambda port: port != _STATUS_PORT,
                        ),
                    )
                },
            ),
        ]
        | None
    ) = None
    tokens_secret_ref: (
        Annotated[
            LocalReference,
            Meta(
                description="A Secret whose keys name clients and whose values are their bearer tokens. "
                "Without it everyone who reaches the port may read."
            ),
        ]
        | None
    ) = None
    max_clients: (
        Annotated[int, Meta(description="How many stream clients at once. 1000 if left out.", ge=1, le=100_000)] | None
    ) = None
    max_client_bytes: (
        Annotated[
            int,
            Meta(
                description="How many bytes may wait for one client before it is disconnected. 4194304 (4 MiB) if left out.",
                ge=65_536,
            ),
        ]
        | None
    ) = None
    max_updates_per_second: (
        Annotated[
            float,
            Meta(
                description="Updates of one topic for one client, a second; later ones replace earlier. 10 if left out.",
                gt=0,
                le=1000,
            ),
        ]
        | None
    ) = None
    service: Annotated[Service, Meta(description="The Service in front of the gateways, on a cluster.")] | None = None


class Telemetry(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What the workloads tell of themselves."""

    log_level: Annotated[LogLevel, Meta(description="How much is logged. Info if left out.")] | None = None
    otlp_endpoint: (
        Annotated[
            str,
            Meta(
                description="OTLP over HTTP endpoint for metrics and traces, such as http://collector:4318. "
                "Nothing is exported if left out.",
                pattern=r"^https?://[^\s]+$",
                max_length=512,
                extra=wording(
                    "an HTTP URL", "write http:// or https:// and a host, such as http://collector:4318", private=True
                ),
            ),
        ]
        | None
    ) = None
    trace_ratio: (
        Annotated[float, Meta(description="Share of batches that are traced, 0 to 1. 0.01 if left out.", ge=0, le=1)]
        | None
    ) = None
    export_interval: (
        Annotated[
            Duration,
            Meta(
                description="Time between two exports of metrics, 100ms to 1h. 10s if left out.",
                extra={"rules": (duration_between("100ms", "1h"),)},
            ),
        ]
        | None
    ) = None


class DataPlaneSpec(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Broker, cache, gateway, telemetry and pods."""

    broker: (
        Annotated[
            Broker,
            Meta(
                description="The broker. In one process (scanplane up) one in memory serves if it is left out, or its Secret "
                "is not there."
            ),
        ]
        | None
    ) = None
    cache: (
        Annotated[
            Cache,
            Meta(
                description="The cache. In one process (scanplane up) one in memory serves if it is left out, or its Secret "
                "is not there."
            ),
        ]
        | None
    ) = None
    gateway: Annotated[Gateway, Meta(description="The gateway.")] | None = None
    telemetry: Annotated[Telemetry, Meta(description="Logs, metrics and traces.")] | None = None
    workloads: (
        Annotated[Workloads, Meta(description="Image and pods of listeners, analyzers and gateways, on a cluster.")]
        | None
    ) = None
    update_policy: (
        Annotated[UpdatePolicy, Meta(description="When an upgrade may restart workloads. Immediate if left out.")]
        | None
    ) = None


class DataPlane(Struct, frozen=True, kw_only=True, rename="camel"):
    """What everything else in the namespace stands on; the one named ``default`` is used."""

    metadata: Metadata
    spec: DataPlaneSpec
