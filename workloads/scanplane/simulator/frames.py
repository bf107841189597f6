"""Frames: how many events travel in one, and the few bytes that WebSocket puts before it.

The server's side of RFC 6455 never masks, and compression is off, so a text frame is a header and the payload. Built
here, hundreds of tiny frames become one write to the socket.
"""

import random
from collections.abc import Iterator, Sequence

import msgspec

from scanplane.feeds.massive.messages import MarketMessage
from scanplane.simulator.topics import event_type_of

__all__ = ["FrameCutter", "encode_frame", "text_frame"]

_ENCODER = msgspec.json.Encoder()
_TEXT_FINAL = 0x81


def encode_frame(messages: Sequence[MarketMessage]) -> bytes:
    """Return the JSON array of *messages*."""
    return _ENCODER.encode(messages)


def text_frame(payload: bytes) -> bytes:
    """Return *payload* as one unmasked, final text frame."""
    length = len(payload)
    if length < 126:
        return bytes((_TEXT_FINAL, length)) + payload
    if length < 65_536:
        return bytes((_TEXT_FINAL, 126)) + length.to_bytes(2) + payload
    return bytes((_TEXT_FINAL, 127)) + length.to_bytes(8) + payload


class FrameCutter:
    """Cuts a run of messages into frames of *fewest* to *most* events; the same seed cuts the same way."""

    def __init__(self, fewest: int, most: int, *, mixed: bool = True, seed: int = 0) -> None:
        self._fewest = fewest
        self._most = most
        self._mixed = mixed
        self._random = random.Random(seed)  # noqa: S311  # repeatable, not secret

    def _size(self) -> int:
        return self._most if self._fewest == self._most else self._random.randint(self._fewest, self._most)

    def cut(self, messages: Sequence[MarketMessage]) -> Iterator[Sequence[MarketMessage]]:
        """Give *messages* in frames; without mixing, a frame ends where the event type changes."""
        position, count = 0, len(messages)
        while position < count:
            end = min(position + self._size(), count)
            if not self._mixed:
                kind = event_type_of(messages[position])
                end = next((i for i in range(position, end) if event_type_of(messages[i]) != kind), end)
            yield messages[position:end]
            position = end
