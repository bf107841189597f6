"""What several kinds share: metadata, references, names and durations."""

from typing import Annotated, Any

from msgspec import Meta, Struct

__all__ = [
    "API_GROUP",
    "API_VERSION",
    "Duration",
    "LocalReference",
    "Metadata",
    "ResourceName",
    "SecretKeyReference",
    "rule",
]

API_GROUP = "scanplane.io"
API_VERSION = "scanplane.io/v1alpha1"

ResourceName = Annotated[
    str,
    Meta(
        description="Name of a resource in the same namespace.",
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        min_length=1,
        max_length=63,
    ),
]

Duration = Annotated[
    str,
    Meta(
        description="A duration with its unit: ms, s, m or h.",
        pattern=r"^[0-9]+(ms|s|m|h)$",
        max_length=12,
        examples=["250ms", "5s", "1m"],
    ),
]


def rule(expression: str, message: str) -> dict[str, str]:
    """Return one CEL validation rule, for ``x-kubernetes-validations``; *message* says what to write."""
    return {"rule": expression, "message": message}


class Metadata(Struct, frozen=True, kw_only=True, rename="camel"):
    """The part of Kubernetes' object metadata that Scanplane reads; every other field is allowed and ignored."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[dict[str, Any]] | None = None
    deletion_timestamp: str | None = None


class LocalReference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reference to a resource in the same namespace."""

    name: ResourceName


class SecretKeyReference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of a Secret in the same namespace."""

    name: Annotated[str, Meta(description="Name of the Secret.", min_length=1, max_length=253)]
    key: Annotated[
        str,
        Meta(description="Key within the Secret's data.", pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253),
    ]
