"""The format of recordings, and the files that hold them."""

import os
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.feeds.replay import files
from scanplane.feeds.replay.files import RecordingReader, RecordingWriter
from scanplane.feeds.replay.recording import (
    BLOCK_HEAD_BYTES,
    MAX_BLOCK_BYTES,
    Record,
    RecordingError,
    RecordingHeader,
    decode_block_head,
    decode_header,
    decode_records,
    encode_block,
    encode_header,
    encode_record,
)
from scanplane.marketdata.channels import AssetClass
from scanplane.resources.feed import Provider

HEADER = RecordingHeader(
    provider=Provider.MASSIVE, asset_class=AssetClass.STOCKS, started_ns=7, note="synthetic path between real closes"
)


def write(path: Path, records: list[Record]) -> Path:
    with RecordingWriter(path, HEADER) as writer:
        for received_ns, frame in records:
            writer.append(received_ns, frame)
    return path


def read(path: Path) -> list[Record]:
    with RecordingReader(path) as reader:
        return [record for block in reader.blocks() for record in block]


def read_until_error(path: Path) -> tuple[list[Record], str]:
    records: list[Record] = []
    with RecordingReader(path) as reader:
        blocks = reader.blocks()
        try:
            for block in blocks:
                records.extend(block)
        except RecordingError as error:
            return records, str(error)
    pytest.fail("the recording was read to an end")


records_strategy = st.lists(st.tuples(st.integers(0, 2**63), st.binary(max_size=200)), max_size=30)


@given(records_strategy, st.integers(0, 9))
def test_a_block_gives_back_its_records(records: list[Record], level: int) -> None:
    block = encode_block([encode_record(*record) for record in records], len(records), level)
    head = decode_block_head(block[:BLOCK_HEAD_BYTES])
    assert decode_records(head, block[BLOCK_HEAD_BYTES:]) == records


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_a_header_by_accident(line: bytes) -> None:
    with pytest.raises(RecordingError):
        decode_header(line)


def test_a_header_comes_back_and_another_version_is_named() -> None:
    assert decode_header(encode_header(HEADER)) == HEADER
    later = encode_header(HEADER).replace(b'"version":1', b'"version":2')
    with pytest.raises(RecordingError, match="has format version 2; this Scanplane reads version 1"):
        decode_header(later)


@given(records=records_strategy)
@settings(max_examples=30)
def test_a_file_gives_back_every_record_in_order(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record]
) -> None:
    path = write(tmp_path_factory.mktemp("recordings") / "a.recording", records)
    with RecordingReader(path) as reader:
        assert reader.header == HEADER
        assert [record for block in reader.blocks() for record in block] == records
        assert reader.end is not None
        assert (reader.end.records, reader.end.stopped) == (len(records), "")


def test_records_go_to_disk_by_size_and_by_time(tmp_path: Path) -> None:
    path = tmp_path / "a.recording"
    with RecordingWriter(path, HEADER) as writer:
        empty = path.stat().st_size
        writer.append(0, b"x")
        assert path.stat().st_size == empty
        writer.append(1_000_000_000, b"y")
        by_time = path.stat().st_size
        assert by_time > empty
        writer.append(1_000_000_000, b"z" * 300_000)
        assert path.stat().st_size > by_time
        assert writer.records == 3


def test_an_existing_file_is_never_written_over(tmp_path: Path) -> None:
    path = write(tmp_path / "a.recording", [(1, b"x")])
    with pytest.raises(RecordingError, match="exists already"):
        RecordingWriter(path, HEADER)
    assert read(path) == [(1, b"x")]


def test_a_frame_beyond_every_bound_is_refused_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.recording"
    with RecordingWriter(path, HEADER) as writer:
        writer.append(1, b"x")
        with pytest.raises(RecordingError, match="takes no frame of"):
            writer.append(2, bytes(MAX_BLOCK_BYTES))
    assert read(path) == [(1, b"x")]


RECORDS = [(number * 10**9, f"frame {number}".encode()) for number in range(5)]


def test_a_recording_cut_off_anywhere_says_so_and_gives_its_whole_blocks(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.recording", RECORDS).read_bytes()
    after_header = len(encode_header(HEADER))
    cut = tmp_path / "cut.recording"
    seen = set()
    for length in range(after_header, len(whole)):
        cut.write_bytes(whole[:length])
        records, error = read_until_error(cut)
        assert records == RECORDS[: len(records)]
        assert error == f"recording {cut} was cut off after {len(records)} whole records: it has no end mark"
        seen.add(len(records))
    assert max(seen) == 5


def test_a_damaged_byte_is_found_wherever_it_is(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.recording", RECORDS).read_bytes()
    damaged = tmp_path / "damaged.recording"
    for position in range(len(encode_header(HEADER)), len(whole)):
        damaged.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        records, error = read_until_error(damaged)
        assert records == RECORDS[: len(records)]
        assert "is damaged" in error or "was cut off" in error


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b'{"format":"pcap"}\n', b"\x1f\x8b\x08garbage", b"x" * 100_000]
)
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.file"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"other\.file is no recording"):
        RecordingReader(path)


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nothing\.recording cannot be opened: No such file or directory"):
        RecordingReader(tmp_path / "nothing.recording")


def test_a_block_that_inflates_without_end_is_refused() -> None:
    block = encode_block([bytes(MAX_BLOCK_BYTES + 1)], 1, 9)
    with pytest.raises(RecordingError, match="larger than any"):
        decode_records(decode_block_head(block[:BLOCK_HEAD_BYTES]), block[BLOCK_HEAD_BYTES:])


def test_a_record_that_claims_more_than_its_block_is_refused() -> None:
    for record in (struct.pack(">QI", 1, 500) + b"short", b"short"):
        block = encode_block([record], 1, 1)
        with pytest.raises(RecordingError, match="longer than its block"):
            decode_records(decode_block_head(block[:BLOCK_HEAD_BYTES]), block[BLOCK_HEAD_BYTES:])


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Let the kernel refuse every byte of a file beyond *limit*, as a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def append_all(writer: RecordingWriter, records: list[Record]) -> None:
    for received_ns, frame in records:
        writer.append(received_ns, frame)


@pytest.mark.parametrize("room", [1, 40, 64, 200, 2000])
def test_when_the_disk_takes_no_more_the_file_ends_properly_and_says_why(tmp_path: Path, room: int) -> None:
    path = tmp_path / "a.recording"
    writer = RecordingWriter(path, HEADER)
    sent = [(number * 10**9, bytes([number % 256]) * 50) for number in range(200)]
    with file_size_limit(path.stat().st_size + room):
        with pytest.raises(RecordingError, match=r"stopped after \d+ frames: File too large"):
            append_all(writer, sent)
        with pytest.raises(RecordingError, match="stopped after"):
            writer.append(0, b"more")
        writer.close()
    assert path.stat().st_size <= len(encode_header(HEADER)) + room
    if room < 64:  # not even the end mark found room: the reader calls it cut off
        assert read_until_error(path)[0] == []
        return
    with RecordingReader(path) as reader:
        kept = [record for block in reader.blocks() for record in block]
        assert reader.end is not None
        assert reader.end.stopped == "File too large"
    assert kept == sent[: len(kept)]
    assert writer.records == len(kept)


def test_a_disk_that_refuses_the_very_first_byte_is_an_error_at_once(tmp_path: Path) -> None:
    with file_size_limit(0), pytest.raises(RecordingError, match="cannot be written: File too large"):
        RecordingWriter(tmp_path / "a.recording", HEADER)


def test_the_end_mark_itself_may_find_no_room(tmp_path: Path) -> None:
    path = tmp_path / "a.recording"
    writer = RecordingWriter(path, HEADER)
    writer.append(0, os.urandom(100))
    writer.flush()
    with file_size_limit(path.stat().st_size), pytest.raises(RecordingError, match="stopped after"):
        writer.close()
    with RecordingReader(path) as reader:
        assert [record for block in reader.blocks() for record in block] == []
        assert reader.end is not None
        assert reader.end.stopped == "File too large"


def test_reading_holds_one_block_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK_BYTES", 100)
    path = write(tmp_path / "a.recording", [(0, bytes(90))] * 50)
    with RecordingReader(path) as reader:
        assert {len(block) for block in reader.blocks()} == {1}
