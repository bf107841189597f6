"""A batch: what one broker message carries from a listener to one analyzer partition.

A stream is all batches of one (feed, market, partition). Within it, ``sequence`` counts every batch from 0, ticks
included, and ``epoch`` is the generation of the baton that the listener held: both only grow, so a gap, a repeat
and a listener that came back from the dead are seen by comparing two numbers.

A listener that knows where the last one stopped counts on from there, so that what was lost between the two is seen as well: by
a broker that died with its queues, for instance. ``numbered_since`` is the epoch in which the counting began, and
``first_sequence`` the first number of this epoch. A listener that knows of none before it begins anew.

``layout_since`` is the epoch in which the feed came to this number of partitions. The last batch before it leaves for another
is a *seal*, which has a number and no events: see :mod:`scanplane.marketdata.layouts`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import Event, event_type_of
from scanplane.marketdata.partitions import Partition

__all__ = ["Batch", "BatchHeader", "Tick", "decode_events", "decode_tick", "encode_events", "encode_tick"]


class Tick(Struct, frozen=True, array_like=True, gc=False):
    """An instant of event time at which every partition evaluates its scanners.

    It stands in the stream before the first event at or after ``tick_ns``. ``rewound`` says that event time
    was set back on purpose (a recording started again): the receiver begins anew. ``by_host`` says that the host's clock told
    the time, since the market was silent: such a tick is no sign of life of its feed.
    """

    tick_ns: int
    rewound: bool = False
    by_host: bool = False


class BatchHeader(Struct, frozen=True, array_like=True):
    """What is known of a batch without decoding its body. ``channel`` is None for a :class:`Tick` and for a seal."""

    feed: str
    market: str
    partition: Partition
    channel: Channel | None
    epoch: int
    sequence: int
    count: int
    first_received_ns: int
    last_received_ns: int
    traceparent: str = ""
    numbered_since: int = 0
    first_sequence: int = 0
    layout_since: int = 0
    is_seal: bool = False


class Batch(Struct, frozen=True):
    """A header with its encoded body: a msgpack array of events of one channel, one tick, or nothing for a seal."""

    header: BatchHeader
    body: bytes


_ENCODER = msgspec.msgpack.Encoder()
_TICK_DECODER = msgspec.msgpack.Decoder(Tick)
_EVENT_DECODERS: dict[Channel, msgspec.msgpack.Decoder[Any]] = {
    channel: msgspec.msgpack.Decoder(list[event_type_of(channel)])  # type: ignore[misc]  # a type made at run time
    for channel in Channel
}


def encode_events(events: Sequence[Event]) -> bytes:
    """Encode events of one channel as the body of a batch."""
    return _ENCODER.encode(events)


def decode_events(channel: Channel, body: bytes) -> list[Event]:
    """Decode the body of a batch of *channel*.

    Raises msgspec.DecodeError for a body that is no such array.
    """
    events: list[Event] = _EVENT_DECODERS[channel].decode(body)
    return events


def encode_tick(tick: Tick) -> bytes:
    """Encode the body of a tick."""
    return _ENCODER.encode(tick)


def decode_tick(body: bytes) -> Tick:
    """Decode the body of a tick. Raises msgspec.DecodeError."""
    return _TICK_DECODER.decode(body)
