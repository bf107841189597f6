"""What tests have seen and measured: told at the end of a run, also where output is captured or tests run in two processes."""

import sys

__all__ = ["say", "take"]

_told: list[str] = []


def say(line: str) -> None:
    """Tell a finding of the test that runs now."""
    _told.extend(part for part in line.splitlines() if part.strip())
    print(line, file=sys.stderr)  # noqa: T201  # for whoever looks on with -s


def take() -> list[str]:
    """Return what was told since the last time."""
    lines, _told[:] = list(_told), []
    return lines
