"""The files that ``scanplane up`` stands on: found, read, and seen to change."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from scanplane.resources.documents import SourceText

__all__ = ["Fingerprint", "InputError", "fingerprint", "read_sources"]

_SUFFIXES = {".yaml", ".yml", ".json"}
MAX_FILE_BYTES = 4 * 1024 * 1024


Fingerprint = tuple[tuple[str, int, int], ...]
"""Of each file its name, size in bytes and time of change in nanoseconds."""


class InputError(Exception):
    """What the user gave can't be used; the text is one line that says what to do."""


def read_sources(paths: Sequence[Path]) -> list[SourceText]:
    """Read files, and those with a YAML or JSON ending in folders. Raises InputError for what can't be read."""
    return [SourceText(str(path), _read(path)) for path in _files(paths)]


def fingerprint(paths: Sequence[Path]) -> Fingerprint:
    """Return what changes when a file is written, added or removed: names, sizes and times of change."""
    seen: list[tuple[str, int, int]] = []
    for path in paths:
        for file in sorted(_candidates(path)):
            try:
                found = file.stat()
            except OSError:
                continue
            seen.append((str(file), found.st_size, found.st_mtime_ns))
    return tuple(seen)


def _files(paths: Sequence[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            files = sorted(_candidates(path))
            if not files:
                raise InputError(f"{path} holds no .yaml file: name a file or another folder")
            yield from files
        else:
            yield path


def _candidates(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    return [file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file()]


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than {MAX_FILE_BYTES // 1024**2} MiB: it is no file of resources")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}") from None
    except OSError as error:
        reason = (error.strerror or "input/output error").lower()
        raise InputError(f"can't read {path}: {reason}") from None
