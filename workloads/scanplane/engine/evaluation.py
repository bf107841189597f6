"""What one tick yields."""

from msgspec import Struct

from scanplane.marketdata.results import BoardPart, Signal

__all__ = ["Evaluation"]


class Evaluation(Struct, frozen=True):
    """Boards in the order of the scanners, signals by scanner and symbol, and the symbols that an event touched since
    the last tick, ascending. ``released`` are symbols that the engine no longer knows.

    ``received_ns`` and ``evaluated_ns`` of the parts are 0: the engine has no clock, whoever runs it fills them in.
    """

    tick_ns: int
    boards: tuple[BoardPart, ...] = ()
    signals: tuple[Signal, ...] = ()
    changed: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
