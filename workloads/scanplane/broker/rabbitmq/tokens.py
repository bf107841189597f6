"""The tokens of a baton and what they say together. Pure.

A candidate that has become the queue's only active consumer has received every token there is once it has received the one it
published itself, for a queue keeps its order. So it publishes a claim above the greatest generation it has seen, waits for
it to come round, and tries again if a greater one was in front of it.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

__all__ = ["Token", "decode_token", "encode_token", "is_abandoned", "last_memo", "next_generation"]

SEED_GENERATION = 0
"""A seed is no holder's: every candidate brings one, so that a token is there at all."""


class Token(Struct, frozen=True, array_like=True):
    """One token: the generation that it belongs to, who published it, and what that one left if it released the baton."""

    generation: int
    nonce: str
    released: bool = False
    memo: bytes = b""


_DECODER = msgspec.msgpack.Decoder(Token)


def encode_token(token: Token) -> bytes:
    """Encode a token as a message body."""
    return msgspec.msgpack.encode(token)


def decode_token(body: bytes) -> Token | None:
    """Decode a message body; None if it is no token."""
    try:
        return _DECODER.decode(body)
    except msgspec.MsgspecError:
        return None


def next_generation(seen: Iterable[Token], now_ms: int) -> int:
    """Return a generation above all that were seen, and not below the clock.

    The tokens alone make it grow; the clock makes it grow also when the queue itself was lost with the broker's disk,
    while the cache still remembers the last generation and would refuse a smaller one for ever.
    """
    return max(now_ms, 1 + max((token.generation for token in seen), default=0))


def last_memo(seen: Iterable[Token]) -> bytes:
    """Return what the last holder left, or nothing if the last one released nothing."""
    return next((token.memo for token in _newest(seen) if token.released), b"")


def is_abandoned(seen: Iterable[Token]) -> bool:
    """Say whether there was a holder before and it released nothing."""
    newest = _newest(seen)
    return any(token.generation > SEED_GENERATION for token in newest) and not any(token.released for token in newest)


def _newest(seen: Iterable[Token]) -> list[Token]:
    """Return the tokens of the greatest generation: those of the last holder, or seeds."""
    tokens = list(seen)
    greatest = max((token.generation for token in tokens), default=SEED_GENERATION)
    return [token for token in tokens if token.generation == greatest]
