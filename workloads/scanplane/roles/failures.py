"""One failure for one cause: what a task group wraps, its caller wants to catch by its own type."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["first_failure"]


@contextmanager
def first_failure() -> Iterator[None]:
    """Raise the first exception of a group in the group's place; the others are its consequences, kept as its notes."""
    try:
        yield
    except ExceptionGroup as group:
        failures = list(_leaves(group))
        for other in failures[1:]:
            failures[0].add_note(f"meanwhile {type(other).__name__}: {other}")
        raise failures[0] from None


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for failure in group.exceptions:
        if isinstance(failure, ExceptionGroup):
            yield from _leaves(failure)
        else:
            yield failure
