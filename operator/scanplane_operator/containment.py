"""Whether what is wanted is already there: maps by key, lists by place, amounts by what they are worth.

The API server adds defaults and others add fields of their own, so an object is right if it *contains* what we want. What
we want no more is noticed by the digest of what we wanted last (see :data:`scanplane_operator.names.APPLIED`).
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

__all__ = ["contains", "quantity"]

_AMOUNTS = frozenset({"cpu", "memory", "sizeLimit"})
"""Keys whose values the API server writes in its own way: 1000m becomes 1."""

_UNITS = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
}


def quantity(text: str) -> Decimal | None:
    """Return the number behind an amount as Kubernetes writes it, or None."""
    number = text.rstrip("kmMGTKi")
    try:
        return Decimal(number) * _UNITS[text[len(number) :]]
    except (InvalidOperation, KeyError):
        return None


def contains(there: object, wanted: object, key: str = "") -> bool:
    """Whether *there* holds everything of *wanted*; *key* is the name under which both stand."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(
            name in there and contains(there[name], value, name) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(there, list)
            and len(there) == len(wanted)
            and all(contains(one, other, key) for one, other in zip(there, wanted, strict=True))
        )
    if key in _AMOUNTS and isinstance(there, str) and isinstance(wanted, str):
        return there == wanted or (quantity(there) is not None and quantity(there) == quantity(wanted))
    return there == wanted
