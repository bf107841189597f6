"""Recordings on disk: a writer that survives a full disk and a reader that holds one block at a time.

Both block; on an event loop they belong on a thread.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from scanplane.feeds.replay.recording import (
    BLOCK_HEAD_BYTES,
    MAX_BLOCK_BYTES,
    MAX_HEADER_BYTES,
    RECORD_HEAD_BYTES,
    Record,
    RecordingEnd,
    RecordingError,
    RecordingHeader,
    decode_block_head,
    decode_end,
    decode_header,
    decode_records,
    encode_block,
    encode_end,
    encode_header,
    encode_record,
)

__all__ = ["RecordingReader", "RecordingWriter"]

_BLOCK_BYTES = 256 * 1024
_BLOCK_NS = 1_000_000_000


class RecordingWriter:
    """Writes a new recording; use it as a context, which writes the end mark.

    Records wait in memory for a block of 256 KiB or one second; each block is written at once. When the disk does not
    take a block (it is full, or a quota is), the file is cut back to its whole blocks and ended with the reason, and
    RecordingError is raised by this and every later call: what was written before stays readable.
    """

    def __init__(self, path: Path, header: RecordingHeader, *, level: int = 1) -> None:
        self._path = path
        self._level = level
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._waiting_since_ns = 0
        self._records = 0
        self._ends: list[tuple[int, int]] = []  # offset and records at the end of the last two whole blocks
        self._stopped = ""
        try:
            self._file: BinaryIO = path.open("xb", buffering=0)
        except FileExistsError:
            raise RecordingError(f"recording {path} exists already; give another name or remove it") from None
        except OSError as error:
            raise RecordingError(f"recording {path} cannot be made: {error.strerror}") from None
        try:
            self._mark(self._write(encode_header(header), 0), 0)
        except OSError as error:
            self._file.close()
            raise RecordingError(f"recording {path} cannot be written: {error.strerror}") from None

    @property
    def records(self) -> int:
        """How many records are in the file, those that still wait for their block not counted."""
        return self._records

    @property
    def stopped(self) -> str:
        """Why writing was broken off; empty while all is well."""
        return self._stopped

    def append(self, received_ns: int, frame: bytes) -> None:
        """Add one frame and the time of its receipt. Raises RecordingError once the disk refuses."""
        if self._stopped:
            raise RecordingError(self._stopped)
        if len(frame) + RECORD_HEAD_BYTES > MAX_BLOCK_BYTES // 2:
            raise RecordingError(f"recording {self._path} takes no frame of {len(frame)} bytes")
        if not self._waiting:
            self._waiting_since_ns = received_ns
        record = encode_record(received_ns, frame)
        self._waiting.append(record)
        self._waiting_bytes += len(record)
        if self._waiting_bytes >= _BLOCK_BYTES or received_ns - self._waiting_since_ns >= _BLOCK_NS:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a block of its own. Raises RecordingError once the disk refuses."""
        if self._stopped:
            raise RecordingError(self._stopped)
        if not self._waiting:
            return
        count = len(self._waiting)
        block = encode_block(self._waiting, count, self._level)
        self._waiting, self._waiting_bytes = [], 0
        try:
            end = self._write(block, self._ends[-1][0])
        except OSError as error:
            self._stop(error)
            raise RecordingError(self._stopped) from None
        self._records += count
        self._mark(end, self._records)

    def close(self) -> None:
        """Write what waits and the end mark, and close the file. Raises RecordingError where that is refused."""
        if self._file.closed:
            return
        try:
            if not self._stopped:
                self.flush()
                self._end(RecordingEnd(records=self._records))
                os.fsync(self._file.fileno())
        except OSError as error:
            self._stop(error)
            raise RecordingError(self._stopped) from None
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mark(self, offset: int, records: int) -> None:
        self._ends = [*self._ends[-1:], (offset, records)]

    def _write(self, data: bytes, offset: int) -> int:
        """Write *data* at *offset* and return where it ends; an unbuffered file may take only a part at a time."""
        self._file.seek(offset)
        rest = memoryview(data)
        while rest:
            written = self._file.write(rest)
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rest = rest[written:]
        return offset + len(data)

    def _end(self, end: RecordingEnd) -> None:
        self._write(encode_end(end), self._ends[-1][0])

    def _stop(self, error: OSError) -> None:
        """Cut back to whole blocks and end there; give up the last block if its place is needed for the end mark."""
        for offset, records in reversed(self._ends):
            self._stopped = f"recording {self._path} stopped after {records} frames: {error.strerror}"
            self._records = records
            try:
                self._file.truncate(offset)
                self._write(encode_end(RecordingEnd(records=records, stopped=error.strerror or str(error))), offset)
            except OSError:
                continue
            return


class RecordingReader:
    """Reads a recording block by block; use it as a context.

    Making it reads the header. Raises RecordingError for what is no recording, cannot be read or is of another version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end: RecordingEnd | None = None
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise RecordingError(f"recording {path} cannot be opened: {error.strerror}") from None
        try:
            self.header = decode_header(self._file.readline(MAX_HEADER_BYTES))
        except (RecordingError, OSError) as error:
            self._file.close()
            raise self._error(error) from None

    @property
    def end(self) -> RecordingEnd | None:
        """The end mark, once it was read."""
        return self._end

    def blocks(self) -> Iterator[list[Record]]:
        """Yield the records of one block after the other.

        Raises RecordingError where the file is damaged, or has no end mark because it was cut off; every block before
        that place has been yielded then.
        """
        records = 0
        while self._end is None:
            try:
                block = self._next_block(records)
            except (RecordingError, OSError) as error:
                raise self._error(error) from None
            if block:
                records += len(block)
                yield block

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next_block(self, records: int) -> list[Record]:
        head = decode_block_head(self._read(BLOCK_HEAD_BYTES, records))
        body = self._read(head.length, records)
        if head.kind == b"DATA":
            return decode_records(head, body)
        end = decode_end(head, body)
        if end.records != records:
            raise RecordingError(f"is damaged: it holds {records} records and should hold {end.records}")
        if self._file.read(1):
            raise RecordingError("is damaged: something follows its end mark")
        self._end = end
        return []

    def _read(self, length: int, records: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise RecordingError(f"was cut off after {records} whole records: it has no end mark")
        return data

    def _error(self, error: Exception) -> RecordingError:
        return RecordingError(f"recording {self._path} {error}")
