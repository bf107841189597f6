"""Durations as resources write them, in nanoseconds."""

import re

__all__ = ["parse_duration"]

_NANOSECONDS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = re.compile(r"^([0-9]{1,10})(ms|s|m|h)$")


def parse_duration(text: str | None, default: str) -> int:
    """Return the nanoseconds of *text*, such as ``250ms`` or ``5s``, or of *default* where it is None.

    Raises ValueError for a text that the model's pattern would have refused.
    """
    match = _DURATION.match(default if text is None else text)
    if match is None:
        raise ValueError(f"'{text}' is no duration: write a number with its unit, such as 250ms, 5s or 1m")
    return int(match[1]) * _NANOSECONDS[match[2]]
