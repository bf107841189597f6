"""From one untyped JSON value to its message, or why it is none. Slow and exact; the fast path never comes here."""

import math
from collections.abc import Mapping

import msgspec
from msgspec import inspect, structs

from scanplane.feeds.interface import RejectionReason
from scanplane.feeds.massive.messages import MARKET_MESSAGES, MarketMessage, StatusMessage

__all__ = ["message_or_reason"]

_MESSAGES: dict[str, type[MarketMessage | StatusMessage]] = {
    str(message.__struct_config__.tag): message for message in (*MARKET_MESSAGES, StatusMessage)
}
_FIELDS = {
    tag: tuple((field, inspect.type_info(field.type)) for field in structs.fields(message))
    for tag, message in _MESSAGES.items()
}
_LARGEST = 1e18


def message_or_reason(element: object) -> MarketMessage | StatusMessage | RejectionReason:
    """Return the message in *element*, a decoded JSON value, or why it holds none.

    A field that is null counts as left out. The reason is that of the first wrong field in the message's order.
    """
    if not isinstance(element, dict):
        return RejectionReason.WRONG_TYPE
    given = {name: value for name, value in element.items() if value is not None}
    tag = given.get("ev")
    if not isinstance(tag, str):
        return RejectionReason.MISSING_FIELD if tag is None else RejectionReason.WRONG_TYPE
    kind = _MESSAGES.get(tag)
    if kind is None:
        return RejectionReason.UNKNOWN_EVENT
    try:
        return msgspec.convert(given, kind)
    except (msgspec.ValidationError, OverflowError):
        return _reason_of(tag, given)


def _reason_of(tag: str, given: Mapping[str, object]) -> RejectionReason:
    for field, expected in _FIELDS[tag]:
        if field.encode_name not in given:
            if field.required:
                return RejectionReason.MISSING_FIELD
            continue
        value = given[field.encode_name]
        try:
            msgspec.convert(value, field.type)
        except (msgspec.ValidationError, OverflowError):
            return _reason_of_field(field.name, expected, value)
    return RejectionReason.WRONG_TYPE


def _reason_of_field(name: str, expected: inspect.Type, value: object) -> RejectionReason:
    if isinstance(expected, inspect.StrType):
        if not isinstance(value, str):
            return RejectionReason.WRONG_TYPE
        return RejectionReason.BAD_SYMBOL if name == "symbol" else RejectionReason.TOO_LARGE
    if isinstance(expected, inspect.VarTupleType):
        reasons = (_reason_of_number(number, whole=True) for number in value) if isinstance(value, list) else ()
        fallback = RejectionReason.TOO_LARGE if isinstance(value, list) else RejectionReason.WRONG_TYPE
        return next(filter(None, reasons), fallback)
    if name in {"time", "start", "end"} and type(value) is int:
        return RejectionReason.BAD_TIMESTAMP
    return _reason_of_number(value, whole=isinstance(expected, inspect.IntType)) or RejectionReason.ZERO_PRICE


def _reason_of_number(value: object, *, whole: bool) -> RejectionReason | None:
    """Return what is wrong with *value* as a number, None where only a bound of its own field can be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return RejectionReason.WRONG_TYPE
    if isinstance(value, float):
        if not math.isfinite(value):
            return RejectionReason.NOT_FINITE
        if whole:
            return RejectionReason.WRONG_TYPE
    if value < 0:
        return RejectionReason.NEGATIVE
    return RejectionReason.TOO_LARGE if value > _LARGEST else None
