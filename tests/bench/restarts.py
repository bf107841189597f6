"""How long nobody works when a role's process ends: from the signal to the next holder of the baton."""

import signal

import uvloop

from bench.baton import measure_handover
from bench.report import Better, Figure, PartResult
from support.servers import RabbitServer

__all__ = ["measure"]

TRIES = 8
GOALS_MS = {signal.SIGTERM: 100.0, signal.SIGKILL: 1000.0}

_MEANING = (
    "A holder of a baton and a standby, each a process beside RabbitMQ on loopback: from the signal to the moment at which the "
    "standby may work. To it come a provider's handshake or the loading of state. The original restarts itself with three "
    "sleeps of a second each, and is not subscribed meanwhile; that is read in its source, not measured here."
)


def measure() -> PartResult:
    """End holders in order, and by force."""
    figures = []
    with RabbitServer() as rabbit:
        for end, goal in GOALS_MS.items():
            elapsed = uvloop.run(measure_handover(rabbit.url, end, TRIES, namespace=f"bench-{end.name}"))
            name = f"handover after {end.name}"
            figures.append(Figure(name=name, unit="ms", values=tuple(elapsed), better=Better.LESS, goal=goal))
    return PartResult(title="Restarts", meaning=_MEANING, figures=tuple(figures))
