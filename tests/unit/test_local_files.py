"""Files that can't be used are told in one line; those that change are seen to."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scanplane.local.files import MAX_FILE_BYTES, InputError, fingerprint, read_sources


def made(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


UNUSABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "a.yaml", "can't read {}/a.yaml: no such file or directory"),
    "binary": (
        lambda folder: made(folder, "a.yaml", b"kind\x80\xff"),
        "{}/a.yaml is not UTF-8 text: byte 4 is 0x80",
    ),
    "huge": (
        lambda folder: made(folder, "a.yaml", b" " * (MAX_FILE_BYTES + 1)),
        "{}/a.yaml is larger than 4 MiB: it is no file of resources",
    ),
    "an empty folder": (lambda folder: folder, "{} holds no .yaml file: name a file or another folder"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_read_is_told_in_one_line(case: str, tmp_path: Path) -> None:
    make, expected = UNUSABLE[case]
    with pytest.raises(InputError) as caught:
        read_sources([make(tmp_path)])
    assert str(caught.value) == expected.format(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    path = made(tmp_path, "a.yaml", b"")
    path.chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        read_sources([path])


def test_a_folder_is_read_in_order_with_what_is_below_it_and_nothing_else(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    for folder, name in ((tmp_path, "b.yaml"), (tmp_path, "a.yml"), (below, "c.json"), (tmp_path, "README.md")):
        made(folder, name, name.encode())
    assert [source.text for source in read_sources([tmp_path])] == ["a.yml", "b.yaml", "c.json"]


def test_whatever_is_written_added_or_removed_changes_the_fingerprint(tmp_path: Path) -> None:
    path = made(tmp_path, "a.yaml", b"1")
    seen = [fingerprint([tmp_path])]
    path.write_bytes(b"22")
    seen.append(fingerprint([tmp_path]))
    os.utime(path, ns=(1, 1))
    seen.append(fingerprint([tmp_path]))
    made(tmp_path, "b.yaml", b"1")
    seen.append(fingerprint([tmp_path]))
    path.unlink()
    seen.append(fingerprint([tmp_path]))
    assert len(set(seen)) == 5
    assert fingerprint([tmp_path]) == seen[-1]
    assert fingerprint([tmp_path / "missing.yaml"]) == ()
