"""A recording as a session, and any session as a recording.

Frames are played as they were recorded, byte for byte, garbage included. A made session that was written to a recording
once costs next to nothing to play.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from scanplane.feeds.replay.files import RecordingReader, RecordingWriter
from scanplane.feeds.replay.recording import RecordingError, RecordingHeader
from scanplane.resources.feed import Provider
from scanplane.simulator.frames import FrameCutter, encode_frame
from scanplane.simulator.sessions.interface import Block, PreparedBlock, ReferenceTicker, Session, SessionFileError

__all__ = ["RecordedSession", "write_recording"]


class _EventType(Struct, frozen=True, gc=False):
    """As much of a message as says what it is."""

    ev: str = ""


_EVENT_TYPES: msgspec.json.Decoder[list[_EventType]] = msgspec.json.Decoder(list[_EventType])


class RecordedSession:
    """A recording, one block in memory at a time. Making it reads the header; raises SessionFileError."""

    def __init__(self, path: Path) -> None:
        try:
            with RecordingReader(path) as reader:
                header = reader.header
        except RecordingError as error:
            raise SessionFileError(str(error)) from None
        self._path = path
        self.name = path.name
        self.asset_classes = frozenset({header.asset_class})
        self.start_ns = header.started_ns

    def reference(self) -> Sequence[ReferenceTicker]:
        """Nothing: a recording holds what came over the socket."""
        return ()

    def blocks(self) -> Iterator[PreparedBlock]:
        """One block for each frame. Raises SessionFileError where the file is damaged or was cut off."""
        try:
            with RecordingReader(self._path) as reader:
                for records in reader.blocks():
                    for received_ns, frame in records:
                        yield _prepared(received_ns, frame)
        except RecordingError as error:
            raise SessionFileError(str(error)) from None


def _prepared(received_ns: int, frame: bytes) -> PreparedBlock:
    try:
        kinds = [event.ev for event in _EVENT_TYPES.decode(frame)]
    except (msgspec.DecodeError, ValueError, RecursionError):
        kinds = []  # nothing is known of it, so everyone gets it as it is
    return PreparedBlock(received_ns, (frame,), (len(kinds),), frozenset(kinds))


def write_recording(
    session: Session, path: Path, *, frame_events: tuple[int, int] = (500, 500), note: str = "", seed: int = 0
) -> int:
    """Write *session* to a new recording and return its number of events. Raises SessionFileError."""
    fewest, most = frame_events
    cutter = FrameCutter(fewest, most, seed=seed)
    asset_class = next(iter(session.asset_classes))
    header = RecordingHeader(provider=Provider.MASSIVE, asset_class=asset_class, started_ns=session.start_ns, note=note)
    events = 0
    try:
        with RecordingWriter(path, header) as writer:
            for block in session.blocks():
                if isinstance(block, Block):
                    position = 0
                    for frame in cutter.cut(block.messages):
                        position += len(frame)
                        writer.append(block.times_ns[position - 1], encode_frame(frame))
                    events += position
                else:
                    for payload in block.payloads:
                        writer.append(block.time_ns, payload)
                    events += sum(block.counts)
    except RecordingError as error:
        raise SessionFileError(str(error)) from None
    return events
