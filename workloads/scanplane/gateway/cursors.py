"""Where a reader of signals stands: one position in each partition's stream, as one opaque word.

A time alone would not do: partitions write at their own pace, so a signal of an earlier tick can come after one of a
later tick. With a position for each stream nothing is missed and nothing comes twice, at any gateway of the namespace.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain

import msgspec

__all__ = ["LAST_ORDINAL", "CursorError", "decode_cursor", "encode_cursor", "parse_since"]

LAST_ORDINAL = 2**62
"""No number in a position is greater: a cache takes none of more than 64 bits."""

_PREFIX = "c."
_MAX_STREAMS = 4096
_POSITIONS = msgspec.json.Decoder(dict[str, tuple[int, int]])
_EARLIEST_NS = 10**17


class CursorError(ValueError):
    """``since`` can't be understood; the text says what to write."""


def encode_cursor(positions: Mapping[str, tuple[int, int]]) -> str:
    """Return positions by stream (``us-stocks:0-of-1``) as a word for URLs."""
    document = msgspec.json.encode(dict(sorted(positions.items())))
    return _PREFIX + base64.urlsafe_b64encode(document).decode().rstrip("=")


def decode_cursor(text: str) -> dict[str, tuple[int, int]]:
    """Read what :func:`encode_cursor` wrote. Raises CursorError."""
    encoded = text.removeprefix(_PREFIX)
    try:
        positions = _POSITIONS.decode(base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise CursorError("this cursor is damaged; take `next` of an earlier answer as it is, or a time") from None
    numbers = chain.from_iterable(positions.values())
    if len(positions) > _MAX_STREAMS or not all(0 <= number <= LAST_ORDINAL for number in numbers):
        raise CursorError("this cursor is damaged; take `next` of an earlier answer as it is, or a time")
    return positions


def parse_since(text: str) -> dict[str, tuple[int, int]] | int:
    """Read ``since``: a cursor, or a time (ISO 8601, or nanoseconds since the epoch) as nanoseconds UTC. Raises CursorError."""
    if text.startswith(_PREFIX):
        return decode_cursor(text)
    if re.fullmatch(r"\d{1,20}", text):
        if int(text) < _EARLIEST_NS:
            raise CursorError(f"{text} is no time in nanoseconds since 1970; write one such as 2026-01-05T14:30:00Z")
        return int(text)
    try:
        # in a URL, the plus of an offset that was not escaped arrives as a space
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise CursorError(f"{text!r} is neither a cursor nor a time; write one such as 2026-01-05T14:30:00Z") from None
    if moment.tzinfo is None:
        raise CursorError(f"{text!r} has no time zone; write {text}Z for UTC, or its offset such as -05:00")
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * 1_000_000_000 + since_epoch.microseconds * 1000
