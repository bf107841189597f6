"""Whether what is wanted is already there: maps by key, lists by name or place, amounts by what they are worth.

The API server adds defaults and others add fields of their own, so an object is right if it *contains* what we want. What
we want no more is noticed by the digest of what we wanted last (see :data:`scanplane_operator.names.APPLIED`).
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation

__all__ = ["contains", "quantity"]

_AMOUNTS = frozenset({"cpu", "memory", "sizeLimit"})
"""Keys whose values the API server writes in its own way: 1000m becomes 1."""

_NAMES = {
    "containers": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
    "ownerReferences": "uid",
}
"""Lists that the API server merges by this field of their items, so that others may add items of their own."""

_WHOLE = frozenset({"selector", "matchLabels", "podSelector", "namespaceSelector"})
"""Maps that the API server takes as a whole: what somebody adds to a Service's selector leaves it without endpoints."""

_UNITS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}
_FINEST = Decimal("1e-9")
_EXACT = Context(prec=80)


def quantity(text: str) -> Decimal | None:
    """Return the number behind an amount as Kubernetes understands it, rounded up to billionths, or None."""
    number = text.rstrip("numkMGTPEKi")
    if number != number.strip():
        return None
    try:
        exact = _EXACT.multiply(Decimal(number), _UNITS[text[len(number) :]])
        return exact.quantize(_FINEST, ROUND_CEILING, _EXACT)
    except (InvalidOperation, KeyError):
        return None


def contains(there: object, wanted: object, key: str = "") -> bool:
    """Whether *there* holds everything of *wanted*; *key* is the name under which both stand."""
    if isinstance(wanted, Mapping) and key in _WHOLE:
        return there == wanted
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(
            name in there and contains(there[name], value, name) for name, value in wanted.items()
        )
    if isinstance(wanted, list) and (key in _NAMES or _is_merged_by_port(key, wanted)):
        return isinstance(there, list) and _holds_by_name(there, wanted, _NAMES.get(key, "name"))
    if isinstance(wanted, list):
        return (
            isinstance(there, list)
            and len(there) == len(wanted)
            and all(contains(one, other, key) for one, other in zip(there, wanted, strict=True))
        )
    if key in _AMOUNTS and isinstance(there, str) and isinstance(wanted, str):
        return there == wanted or (quantity(there) is not None and quantity(there) == quantity(wanted))
    return there == wanted


def _is_merged_by_port(key: str, wanted: list[object]) -> bool:
    """Whether a list is the ports of a container or Service; those of a NetworkPolicy bear no names and are a whole."""
    return key == "ports" and all(isinstance(each, Mapping) and "name" in each for each in wanted)


def _holds_by_name(there: list[object], wanted: list[object], name: str) -> bool:
    known = {each.get(name): each for each in there if isinstance(each, Mapping)}
    return all(
        isinstance(each, Mapping) and each.get(name) in known and contains(known[each.get(name)], each)
        for each in wanted
    )
