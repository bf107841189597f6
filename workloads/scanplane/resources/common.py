"""What several kinds share: metadata, references, names, durations, and the rules that tie fields together.

A rule is written twice on purpose, in CEL for the API server and in Python for ``scanplane validate`` and
``scanplane up``, side by side in one :class:`Rule`, and tests hold the two against each other on a real API server.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct

__all__ = [
    "API_GROUP",
    "API_VERSION",
    "PAUSED_ANNOTATION",
    "Duration",
    "LocalReference",
    "Metadata",
    "ResourceName",
    "Rule",
    "SecretKeyReference",
    "duration_between",
    "duration_ns",
    "rule",
    "wording",
]

API_GROUP = "scanplane.io"
API_VERSION = "scanplane.io/v1alpha1"

PAUSED_ANNOTATION = "scanplane.io/paused"
"""On any resource: ``"true"`` stops the operator from acting on it."""


class Rule(Struct, frozen=True):
    """What must hold between fields: a CEL expression over ``self`` and the same in Python over the plain value.

    ``message`` says what to write. ``at`` is the field to point at, relative to the rule's own (``reference.file``).
    """

    expression: str
    message: str
    holds: Callable[[Any], bool]
    at: str = ""


def rule(expression: str, message: str, holds: Callable[[Any], bool], at: str = "") -> Rule:
    """Return a rule for the ``rules`` of a field's ``Meta(extra=...)``."""
    return Rule(expression, message, holds, at)


def wording(noun: str, hint: str, *, private: bool = False) -> dict[str, object]:
    """Return how to speak of a value that a pattern refuses: ``'5 sec' is not <noun>; <hint>``.

    A *private* value is not repeated: somebody may have written a password there.
    """
    return {"noun": noun, "hint": hint, "private": private}


ResourceName = Annotated[
    str,
    Meta(
        description="Name of a resource in the same namespace. At most 48 characters, because the names of workloads "
        "and the values of labels are made from it.",
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        min_length=1,
        max_length=48,
        extra=wording("a resource name", "use lower-case letters, digits and hyphens, such as us-stocks"),
    ),
]

Duration = Annotated[
    str,
    Meta(
        description="A duration: a whole number of at most six digits with its unit, ms, s, m or h.",
        pattern=r"^[0-9]{1,6}(ms|s|m|h)$",
        max_length=8,
        extra=wording("a duration", "write a number with its unit (ms, s, m or h), such as 5s"),
    ),
]

_UNIT_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60 * 1_000_000_000, "h": 3600 * 1_000_000_000}
_DURATION = re.compile(r"([0-9]{1,6})(ms|s|m|h)", re.ASCII)


def duration_ns(text: str) -> int:
    """Return a :data:`Duration` in nanoseconds. Raises ValueError for anything else."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a duration; write a number with its unit (ms, s, m or h), such as 5s")
    return int(found[1]) * _UNIT_NS[found[2]]


def duration_between(shortest: str, longest: str) -> Rule:
    """Return the rule that a :data:`Duration` lies between two, both included."""
    return Rule(
        expression=f"duration(self) >= duration('{shortest}') && duration(self) <= duration('{longest}')",
        message=f"write a duration from {shortest} to {longest}",
        holds=lambda text: duration_ns(shortest) <= duration_ns(text) <= duration_ns(longest),
    )


class Metadata(Struct, frozen=True, kw_only=True, rename="camel"):
    """The part of Kubernetes' object metadata that Scanplane reads; every other field is allowed and ignored."""

    name: ResourceName
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

    name: Annotated[
        str,
        Meta(
            description="Name of the Secret.",
            pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
            min_length=1,
            max_length=253,
            extra=wording("the name of a Secret", "use lower-case letters, digits, hyphens and dots", private=True),
        ),
    ]
    key: Annotated[
        str,
        Meta(
            description="Key within the Secret's data.",
            pattern=r"^[-._a-zA-Z0-9]+$",
            min_length=1,
            max_length=253,
            extra=wording(
                "a key of a Secret", "use letters, digits, hyphens, dots and underscores, such as apiKey", private=True
            ),
        ),
    ]
