"""The control groups below which the one-node cluster keeps those of its pods, in cgroup v1 and v2."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["make_control_groups", "remove_control_groups"]

GONE_WITHIN_SECONDS = 10.0


def _hierarchies() -> Iterator[Path]:
    """Give the root of each mounted hierarchy once."""
    seen = set()
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, folder, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"} and (key := (device, Path(folder).stat().st_dev)) not in seen:
            seen.add(key)
            yield Path(folder)


def make_control_groups(name: str) -> None:
    """Make the group *name* at the root of every hierarchy; kubelet expects its own root to be there."""
    for root in _hierarchies():
        (root / name).mkdir(exist_ok=True)


def remove_control_groups(name: str) -> None:
    """Remove the group *name* and those below it, whose processes have ended."""
    deadline = time.monotonic() + GONE_WITHIN_SECONDS
    for root in _hierarchies():
        while (root / name).is_dir():
            folders = sorted((root / name).rglob("*/"), key=lambda folder: len(folder.parts), reverse=True)
            for folder in [*folders, root / name]:
                with contextlib.suppress(OSError):  # a process of it has ended but is not yet taken out
                    folder.rmdir()
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)  # the kernel tells nobody when a group has become empty
