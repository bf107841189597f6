"""Where the trace of a batch ends: its board is handed to the clients.

A board's part brings the trace context of its ``cache.write`` along. One that is replaced before it was published was seen by
nobody, so its trace ends there.
"""

import time

from msgspec import Struct

from scanplane.gateway.view import ScannerKey
from scanplane.marketdata.results import BoardPart
from scanplane.telemetry.traces import BatchTraces

__all__ = ["BoardTraces"]


class _Arrival(Struct, frozen=True, gc=False):
    traceparent: str
    arrived_ns: int


class BoardTraces:
    """Records ``gateway.publish`` for every traced part, from its arrival to the moment its board is published, once."""

    def __init__(self, traces: BatchTraces) -> None:
        self._traces = traces
        self._waiting: dict[ScannerKey, dict[str, _Arrival]] = {}

    def arrive(self, key: ScannerKey, part: BoardPart) -> None:
        """Take notice of a part that has just been written; an untraced one costs a look."""
        if part.traceparent:
            arrival = _Arrival(part.traceparent, time.time_ns())
            self._waiting.setdefault(key, {})[part.partition] = arrival
        elif key in self._waiting:
            self._waiting[key].pop(part.partition, None)

    def publish(self, key: ScannerKey) -> None:
        """Record what waits for this board: it was published."""
        arrivals = self._waiting.pop(key, None)
        if arrivals:
            market, scanner = key
            for arrival in arrivals.values():
                self._traces.record_span(
                    arrival.traceparent,
                    "gateway.publish",
                    arrival.arrived_ns,
                    attributes={"market": market, "scanner": scanner},
                )

    def forget(self, key: ScannerKey) -> None:
        """Forget what waits for this board: it is gone, or was read anew."""
        self._waiting.pop(key, None)
