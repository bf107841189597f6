"""Since when a trading day was heard, and which of its figures can be known therefore.

An engine that begins at 11:00 in a live market has not heard the open, and the highest price that it hears is no high of the
day. What follows from all events of a session is known only if the session was heard from its beginning; else it is unknown,
unless a bar or the provider's snapshot says it.

A day is heard since its first tick, if the market is live; from its beginning if the tick before stood in the day before, and no
further away than those of a silent market do. What is recorded, or made up, is all there is of its day: it is taken to be
heard from its beginning, and so is a live day whose first tick comes within a minute of it, since the first minute bars come no
earlier. Whatever lost something (its state, a stream's beginning) says so: the day is then heard since the next tick.
"""

from msgspec import Struct

from scanplane.engine.sessions import TradingDay

__all__ = ["Coverage", "coverage_of", "is_live"]

GRACE_NS = 60_000_000_000
_LIVE_NS = 20 * 60_000_000_000


class Coverage(Struct, frozen=True):
    """Whether the day, and its regular session, were heard from their beginning."""

    day: bool
    regular: bool


def is_live(tick_ns: int, received_ns: int) -> bool:
    """Say whether a tick is of a live market: what is behind it was received (0: nobody knows when) about when it happened."""
    return received_ns > 0 and abs(received_ns - tick_ns) <= _LIVE_NS


def coverage_of(day: TradingDay, since_ns: int) -> Coverage:
    """Return what is covered of *day* by an engine that hears it since *since_ns*."""
    return Coverage(day=since_ns <= day.begin_ns + GRACE_NS, regular=since_ns <= day.open_ns + GRACE_NS)
