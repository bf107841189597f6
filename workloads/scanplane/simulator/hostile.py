"""Frames that no provider should send and some day one does."""

import random
from collections.abc import Callable, Sequence

from scanplane.simulator.settings import HostileKind

__all__ = ["HostileFrames"]

_HUGE_EVENTS = 20_000
_GOOD = '{"ev":"T","sym":"HOSTILE","x":4,"i":"1","z":3,"p":1.25,"s":100,"t":1395840600000,"q":1}'


def _event(**replaced: str) -> str:
    fields = {"ev": '"T"', "sym": '"HOSTILE"', "p": "1.25", "s": "100", "t": "1395840600000", "q": "1"} | replaced
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


def _truncated(chance: random.Random) -> str:
    frame = f"[{_GOOD},{_GOOD}]"
    return frame[: chance.randrange(1, len(frame) - 1)]


_MAKERS: dict[HostileKind, Callable[[random.Random], str]] = {
    HostileKind.TRUNCATED: _truncated,
    HostileKind.NOT_JSON: lambda chance: chance.choice(
        ("<html>502 Bad Gateway</html>", "", "null", "{}", "[[]]", "\x00")
    ),
    HostileKind.NOT_A_NUMBER: lambda chance: "[" + _event(p=chance.choice(("NaN", "Infinity", "1e999"))) + "]",
    HostileKind.NEGATIVE: lambda chance: "[" + _event(**{chance.choice("ps"): "-1"}) + "]",
    HostileKind.WRONG_TYPE: lambda chance: (
        "[" + _event(**chance.choice(({"p": '"12"'}, {"sym": "7"}, {"t": '"now"'}, {"s": "[]"}))) + "]"
    ),
    HostileKind.UNKNOWN_EVENT: lambda _: '[{"ev":"ZZ","sym":"HOSTILE","p":1}]',
    HostileKind.CLOCK_JUMP: lambda chance: "[" + _event(t=chance.choice(("0", "1", "99999999999999999999"))) + "]",
    HostileKind.FAR_FUTURE: lambda _: "[" + _event(t="4102444800000") + "]",
    HostileKind.HUGE: lambda _: "[" + ",".join(('{"ev":"ZZ","sym":"HOSTILE"}',) * _HUGE_EVENTS) + "]",
    HostileKind.MISSING_FIELD: lambda _: '[{"ev":"T","sym":"HOSTILE"},{"ev":"T"},{"sym":"HOSTILE"}]',
}


class HostileFrames:
    """Gives a hostile frame after a share of the good ones; the same seed gives the same frames.

    But for the kind ``far-future`` no event of a hostile frame is usable: whoever plays a session with and without them
    must see the same.
    """

    def __init__(self, rate: float, kinds: Sequence[HostileKind], seed: int) -> None:
        self._rate = rate if kinds else 0.0
        self._kinds = tuple(kinds)
        self._random = random.Random(seed)  # noqa: S311  # repeatable, not secret
        self.sent = 0

    def next(self) -> bytes | None:
        """Return the frame to send after a good one, or None."""
        if self._rate == 0 or self._random.random() >= self._rate:
            return None
        self.sent += 1
        return _MAKERS[self._random.choice(self._kinds)](self._random).encode()
