"""What a resource's spec is, in 16 digits."""

import hashlib

import msgspec

from scanplane.resources.kinds import Resource
from scanplane.resources.validation import without_nulls

__all__ = ["spec_digest"]


def spec_digest(resource: Resource) -> str:
    """Return the first 16 hex digits of the SHA-256 of the spec as canonical JSON.

    Fields that are left out are not part of it, so that a new version with a new optional field changes no digest.
    """
    spec = without_nulls(msgspec.to_builtins(resource.spec))
    return hashlib.sha256(msgspec.json.encode(spec, order="sorted")).hexdigest()[:16]
