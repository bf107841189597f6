r"""The format of a recording: a header line, blocks of frames as the provider sent them, and an end mark.

    {"format":"scanplane-recording","version":1,...}\n
    DATA  compressed bytes  CRC-32  records | zlib of (received_ns, length, frame)*
    ...
    END.  bytes             CRC-32  records | JSON

Frames are kept raw, so that a recording outlives every decoder, and blocks are compressed one by one, so that it can be
read as a stream in bounded memory and everything up to a crash is readable. Without the end mark a recording was cut
off, and the reader says so. Pure: bytes in, bytes out; :mod:`scanplane.feeds.replay.files` does the I/O.
"""

import struct
import zlib
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct

from scanplane.marketdata.channels import AssetClass
from scanplane.resources.feed import Provider

__all__ = [
    "BLOCK_HEAD_BYTES",
    "MAX_BLOCK_BYTES",
    "MAX_HEADER_BYTES",
    "RECORD_HEAD_BYTES",
    "BlockHead",
    "BlockKind",
    "Record",
    "RecordingEnd",
    "RecordingError",
    "RecordingHeader",
    "decode_block_head",
    "decode_end",
    "decode_header",
    "decode_records",
    "encode_block",
    "encode_end",
    "encode_header",
    "encode_record",
]

VERSION = 1
MAX_HEADER_BYTES = 65_536
MAX_BLOCK_BYTES = 32 * 1024 * 1024
"""A block, compressed or not, is never larger: one frame of the largest size fits in, garbage lengths do not."""

_BLOCK_HEAD = struct.Struct(">4sIII")
_RECORD_HEAD = struct.Struct(">QI")
BLOCK_HEAD_BYTES = _BLOCK_HEAD.size
RECORD_HEAD_BYTES = _RECORD_HEAD.size

BlockKind = Literal[b"DATA", b"END."]
Record = tuple[int, bytes]
"""When it was received, in nanoseconds UTC, and the frame."""


class RecordingError(Exception):
    """A recording cannot be read or written; one line for people."""


class RecordingHeader(Struct, frozen=True, kw_only=True):
    """What a recording is of. ``note`` says where its data comes from and on what terms."""

    provider: Provider
    asset_class: AssetClass
    started_ns: int
    note: str = ""
    format: Literal["scanplane-recording"] = "scanplane-recording"
    version: int = VERSION


class RecordingEnd(Struct, frozen=True, kw_only=True):
    """What the end mark says: the number of records and, where recording was broken off, why."""

    records: int
    stopped: str = ""


class BlockHead(Struct, frozen=True):
    """What stands before a block's bytes."""

    kind: BlockKind
    length: int
    checksum: int
    records: int


_HEADER: msgspec.json.Decoder[RecordingHeader] = msgspec.json.Decoder(RecordingHeader)
_END: msgspec.json.Decoder[RecordingEnd] = msgspec.json.Decoder(RecordingEnd)


def encode_header(header: RecordingHeader) -> bytes:
    """Return the first line of a recording."""
    return msgspec.json.encode(header) + b"\n"


def decode_header(line: bytes) -> RecordingHeader:
    """Read the first line. Raises RecordingError for anything but a recording of this version."""
    if not line.endswith(b"\n"):
        raise RecordingError("is no recording: it does not begin with a header line")
    try:
        version = msgspec.json.decode(line, type=dict[str, object])
        if version.get("format") == "scanplane-recording" and version.get("version") != VERSION:
            raise RecordingError(f"has format version {version.get('version')}; this Scanplane reads version {VERSION}")
        return _HEADER.decode(line)
    except msgspec.DecodeError as error:
        raise RecordingError(f"is no recording: its header line is wrong: {error}") from None


def encode_record(received_ns: int, frame: bytes) -> bytes:
    """Return one record as it stands in a block before compression."""
    return _RECORD_HEAD.pack(received_ns, len(frame)) + frame


def encode_block(records: Iterable[bytes], count: int, level: int) -> bytes:
    """Return *count* encoded records as a data block with its head; *level* is zlib's, 0 to 9."""
    body = zlib.compress(b"".join(records), level)
    return _block(b"DATA", count, body)


def encode_end(end: RecordingEnd) -> bytes:
    """Return the end mark."""
    body = msgspec.json.encode(end)
    return _block(b"END.", 0, body)


def decode_block_head(data: bytes) -> BlockHead:
    """Read the :data:`BLOCK_HEAD_BYTES` before a block. Raises RecordingError."""
    kind, length, checksum, records = _BLOCK_HEAD.unpack(data)
    if kind not in {b"DATA", b"END."} or length > MAX_BLOCK_BYTES:
        raise RecordingError("is damaged: a block does not begin where it should")
    return BlockHead(kind, length, checksum, records)


def decode_end(head: BlockHead, body: bytes) -> RecordingEnd:
    """Read the end mark. Raises RecordingError."""
    _verify(head, body)
    try:
        return _END.decode(body)
    except msgspec.DecodeError as error:
        raise RecordingError(f"is damaged: its end mark is wrong: {error}") from None


def decode_records(head: BlockHead, body: bytes) -> list[Record]:
    """Read the records of a data block. Raises RecordingError."""
    _verify(head, body)
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(body, MAX_BLOCK_BYTES)
    except zlib.error as error:
        raise RecordingError(f"is damaged: {error}") from None
    if not inflate.eof:
        raise RecordingError("is damaged: a block is larger than any that Scanplane writes")
    records: list[Record] = []
    position = 0
    while position < len(data):
        body_start = position + RECORD_HEAD_BYTES
        received_ns, length = _RECORD_HEAD.unpack_from(data, position) if body_start <= len(data) else (0, len(data))
        position = body_start + length
        if position > len(data):
            raise RecordingError("is damaged: a record is longer than its block")
        records.append((received_ns, data[body_start:position]))
    if len(records) != head.records:
        raise RecordingError(f"is damaged: a block of {head.records} records holds {len(records)}")
    return records


def _block(kind: BlockKind, records: int, body: bytes) -> bytes:
    return _BLOCK_HEAD.pack(kind, len(body), _checksum(kind, records, body), records) + body


def _checksum(kind: BlockKind, records: int, body: bytes) -> int:
    """Return the CRC-32 of a block with what its head says of it."""
    return zlib.crc32(body, zlib.crc32(_BLOCK_HEAD.pack(kind, len(body), 0, records)))


def _verify(head: BlockHead, body: bytes) -> None:
    if _checksum(head.kind, head.records, body) != head.checksum:
        raise RecordingError("is damaged: a block does not have its checksum")
