"""Whether the operator lives and is ready: judged by what its loops did last, not by whether it answers."""

import asyncio
import time

from scanplane.telemetry.server import Check
from scanplane_operator.loops import NamespaceLoops, longest_silence_s
from scanplane_operator.settings import Settings
from scanplane_operator.watches import Watches

__all__ = ["Heart"]

_SILENCE_MARGIN_S = 60.0
"""How much longer than a resync a loop may be without an attempt before it counts as dead."""
_LAG_S = 10.0


class Heart:
    """What liveness is judged by: the event loop turns, every loop goes on trying, and no watch has ended."""

    def __init__(self, loops: NamespaceLoops, settings: Settings) -> None:
        self._loops = loops
        self._longest_silence_s = settings.resync_s + _SILENCE_MARGIN_S
        self._last_beat = time.monotonic()
        self._watches = Watches()
        self.started = False
        self.outdated = ""
        """What the definitions in the cluster lack; see :mod:`scanplane_operator.definitions`."""

    async def beat(self) -> None:
        """Beat for ever."""
        while True:
            self._last_beat = time.monotonic()
            self._watches.look()
            await asyncio.sleep(1.0)

    def live(self) -> list[Check]:
        """Say whether the process should live."""
        now = time.monotonic()
        silence = longest_silence_s(self._loops.states, now)
        lag = now - self._last_beat
        ended = self._watches.ended
        return [
            Check("event loop", lag < _LAG_S, f"last turned {lag:.1f} s ago"),
            Check("reconciling", silence < self._longest_silence_s, f"the last attempt was {silence:.0f} s ago"),
            Check("watches", not ended, f"{', '.join(ended)} ended" if ended else f"{len(self._watches)} run"),
        ]

    def ready(self) -> list[Check]:
        """Say whether it reconciles: the kinds are served, and every namespace's last pass succeeded."""
        failing = [f"{state.namespace}: {state.problem}" for state in self._loops.states.values() if state.problem]
        return [
            Check("custom resources", self.started, "served" if self.started else "not served by the API server yet"),
            Check("definitions", not self.outdated, self.outdated or "as new as the operator"),
            Check("passes", not failing, "; ".join(failing) or "the last of each namespace succeeded"),
        ]
