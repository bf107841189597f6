"""Frames to events, at the speed of the wire, without ever losing a good event to a bad neighbour.

A frame is decoded in one typed pass; that is where nearly all of them end. If anything in it is wrong, the frame is
gone through element by element, so that only the bad element is refused and counted, with its reason. A frame that is
not even JSON is read once more by Python's own parser, which knows the NaN and Infinity that some servers write.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from scanplane.feeds.interface import Decoded, RejectionReason
from scanplane.feeds.massive.conversion import CONVERSIONS, RefusedError
from scanplane.feeds.massive.messages import MarketMessage, StatusMessage
from scanplane.feeds.massive.rejection import message_or_reason
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Event

__all__ = ["MAX_FRAME_BYTES", "MassiveDecoder"]

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""A second of the whole US market is about 3 MB; a frame beyond this bound is refused unread."""

_Message = MarketMessage | StatusMessage

_FRAMES: msgspec.json.Decoder[list[_Message]] = msgspec.json.Decoder(list[_Message])
_ELEMENTS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_LONE_ELEMENT = msgspec.json.Decoder(msgspec.Raw)
_ELEMENT: msgspec.json.Decoder[_Message] = msgspec.json.Decoder(_Message)

# What a JSON parser raises on garbage; each parser has its own set of them.
_PARSE_ERRORS = (msgspec.DecodeError, ValueError, RecursionError)


class MassiveDecoder:
    """Decodes frames of any asset class. Status messages are the protocol's and are passed over in silence."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes

    def decode(self, frame: bytes) -> Decoded:
        """Decode one frame; never raises (see :class:`scanplane.feeds.interface.FrameDecoder`)."""
        if len(frame) > self._max_frame_bytes:
            return Decoded(rejected={RejectionReason.TOO_LARGE: 1})
        try:
            return Decoded(_runs_of(_FRAMES.decode(frame)))
        except (RefusedError, *_PARSE_ERRORS):
            return _decode_by_element(frame)


def _runs_of(messages: Sequence[Any]) -> tuple[tuple[Channel, list[Event]], ...]:
    kinds = set(map(type, messages))
    if len(kinds) == 1:
        kind = kinds.pop()
        if kind is StatusMessage:
            return ()
        channel, convert = CONVERSIONS[kind]
        return ((channel, convert(messages)),)
    runs: list[tuple[Channel, list[Event]]] = []
    for kind, run in groupby(messages, type):
        if kind is not StatusMessage:
            channel, convert = CONVERSIONS[kind]
            runs.append((channel, convert(list(run))))
    return tuple(runs)


def _decode_by_element(frame: bytes) -> Decoded:
    runs: list[tuple[Channel, list[Event]]] = []
    rejected: Counter[RejectionReason] = Counter()
    for message in _messages_in(frame):
        if isinstance(message, RejectionReason):
            rejected[message] += 1
            continue
        try:
            found = _runs_of((message,))
        except RefusedError as refused:
            rejected[refused.reason] += 1
            continue
        for channel, events in found:
            if runs and runs[-1][0] is channel:
                runs[-1][1].extend(events)
            else:
                runs.append((channel, events))
    return Decoded(tuple(runs), dict(rejected))


def _messages_in(frame: bytes) -> Iterator[_Message | RejectionReason]:
    """Yield each element of *frame* as a message, or why it is none; a frame that is no JSON yields one reason."""
    start = frame.lstrip()[:1]
    if start not in {b"[", b"{"}:
        yield RejectionReason.MALFORMED_FRAME
        return
    try:
        elements = _ELEMENTS.decode(frame) if start == b"[" else [_LONE_ELEMENT.decode(frame)]
    except _PARSE_ERRORS:
        elements = None
    if elements is not None:
        yield from map(_message_in, elements)
        return
    try:
        value = _forgiving_parse(frame)
    except _PARSE_ERRORS:
        yield RejectionReason.MALFORMED_FRAME
        return
    yield from map(message_or_reason, value if isinstance(value, list) else (value,))


def _message_in(element: msgspec.Raw) -> _Message | RejectionReason:
    try:
        return _ELEMENT.decode(element)
    except _PARSE_ERRORS:
        pass
    try:
        return message_or_reason(_forgiving_parse(bytes(element)))
    except _PARSE_ERRORS:
        return RejectionReason.MALFORMED_FRAME


def _forgiving_parse(text: bytes) -> object:
    return json.loads(text.decode(errors="replace"))
