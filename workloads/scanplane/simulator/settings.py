"""How a simulated provider behaves, and how it misbehaves when told to.

Everything is decided before the first connection; the defaults are a well-behaved provider with the demo's key.
"""

import enum

from msgspec import Struct

__all__ = [
    "DEMO_KEY",
    "Authentication",
    "Cut",
    "Ending",
    "Eviction",
    "HostileKind",
    "SimulatorSettings",
    "Start",
]

DEMO_KEY = "demo"
"""The API key of the demos: it opens nothing but a simulator."""


class Authentication(enum.StrEnum):
    """What becomes of a client's key."""

    CHECK = "check"
    REFUSE = "refuse"
    TIME_OUT = "time-out"


class Start(enum.StrEnum):
    """When the session's clock begins to run."""

    FIRST_CLIENT = "first-client"
    IMMEDIATELY = "immediately"


class Ending(enum.StrEnum):
    """What the provider does after the session's last event: stay silent as after hours, or close with 1001."""

    SILENT = "silent"
    CLOSE = "close"


class Eviction(enum.StrEnum):
    """Who has to go when there is a connection too many."""

    NEWEST = "newest"
    OLDEST = "oldest"


class HostileKind(enum.StrEnum):
    """What a hostile frame is made of."""

    TRUNCATED = "truncated"
    NOT_JSON = "not-json"
    NOT_A_NUMBER = "not-a-number"
    NEGATIVE = "negative"
    WRONG_TYPE = "wrong-type"
    UNKNOWN_EVENT = "unknown-event"
    CLOCK_JUMP = "clock-jump"
    HUGE = "huge"
    MISSING_FIELD = "missing-field"
    FAR_FUTURE = "far-future"

    @classmethod
    def harmless(cls) -> tuple["HostileKind", ...]:
        """Every kind of frame in which nothing is usable: all but a valid trade that claims to be of the year 2100."""
        return tuple(kind for kind in cls if kind is not cls.FAR_FUTURE)


class Cut(Struct, frozen=True, kw_only=True):
    """Cut every connection once, after so many events of the session or so many seconds since its start.

    ``abrupt`` resets the TCP connection: what the client has not read yet is gone. Otherwise the connection is closed
    properly, and everything sent before arrives.
    """

    after_events: int | None = None
    after_seconds: float | None = None
    abrupt: bool = True


class SimulatorSettings(Struct, frozen=True, kw_only=True):
    """One simulator.

    ``speed`` is session time over host time; 0 is as fast as the clients take it. ``hold`` stops the session's clock
    while nobody is subscribed (always so at speed 0). ``frame_events`` are the fewest and most events of one frame.
    ``api_key`` None accepts every key. ``settle_s`` is how long subscriptions must stay unchanged before the session
    starts, or goes on after a hold; a client that subscribes to everything that was subscribed before need not wait.
    ``patient`` stops the clock while a client is behind, as no real provider does: a demo on a slow machine loses nothing.
    ``max_buffer_bytes`` is what may wait for one client before it is disconnected as a slow consumer.
    ``hostile_rate`` is the share of frames that are followed by a hostile one.
    """

    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = DEMO_KEY
    speed: float = 0.0
    hold: bool = False
    patient: bool = False
    start: Start = Start.FIRST_CLIENT
    ending: Ending = Ending.SILENT
    settle_s: float = 0.05
    frame_events: tuple[int, int] = (500, 500)
    mixed_frames: bool = True
    authentication: Authentication = Authentication.CHECK
    authentication_timeout_s: float = 10.0
    connection_limit: int | None = None
    evict: Eviction = Eviction.NEWEST
    limit_after_subscribe: bool = False
    unentitled: frozenset[str] = frozenset()
    cuts: tuple[Cut, ...] = ()
    max_buffer_bytes: int = 64 * 1024 * 1024
    hostile_rate: float = 0.0
    hostile_kinds: tuple[HostileKind, ...] = HostileKind.harmless()
    seed: int = 0

    def __repr__(self) -> str:
        return f"SimulatorSettings(speed={self.speed:g}, hold={self.hold}, start={self.start.value})"

    @property
    def holds(self) -> bool:
        """Whether the session waits while nobody is subscribed."""
        return self.hold or self.speed == 0
