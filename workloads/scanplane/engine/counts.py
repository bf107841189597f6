"""What the engine did, as totals since it was made; none of it is part of the saved state."""

import msgspec
from msgspec import Struct

__all__ = ["EngineCounts"]


class EngineCounts(Struct, kw_only=True):
    """Totals in events unless the name says otherwise.

    ``stale_events`` are older than the trading day. ``early_events`` belong to a later one than the next, or were too many
    to wait for the next: neither is applied. ``waiting_early_events`` wait for their day at this moment.
    ``refused_events`` are those of symbols beyond the market's ``maxSymbols``.
    ``ineligible_trades`` changed nothing (no price, no size, or a sale condition that allows nothing);
    ``volume_only_trades`` changed volume alone. ``late_trades`` are older than the symbol's last price.
    ``repeated_bars`` are not newer than the newest bar of their symbol and kind: corrections and late ones.
    ``dropped_bar_volumes`` are bars that came too late to be added to a volume that has to be summed.
    ``symbols_without_reference`` are those that no source of reference data knows.
    ``ignored_ticks`` were not later than the last one.
    """

    events: dict[str, int]
    stale_events: int = 0
    early_events: int = 0
    waiting_early_events: int = 0
    refused_events: int = 0
    ineligible_trades: int = 0
    volume_only_trades: int = 0
    late_trades: int = 0
    repeated_bars: int = 0
    dropped_bar_volumes: int = 0
    symbols: int = 0
    refused_symbols: int = 0
    symbols_without_reference: int = 0
    evaluations: int = 0
    ignored_ticks: int = 0
    day_resets: int = 0
    rewinds: int = 0
    signals: int = 0
    signals_by_scanner: dict[str, int]
    last_signal_ns_by_scanner: dict[str, int]
    matches_by_scanner: dict[str, int]

    def figures(self) -> dict[str, float]:
        """Return everything as a figure: what is counted at this moment as it is, totals with ``_total``."""
        gauges = {"symbols", "refused_symbols", "symbols_without_reference", "waiting_early_events"}
        numbers = {name: value for name, value in msgspec.structs.asdict(self).items() if isinstance(value, int)}
        figures = {name if name in gauges else f"{name}_total": float(value) for name, value in numbers.items()}
        return figures | {f"{_snake(channel)}_total": float(count) for channel, count in self.events.items()}


def _snake(channel: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in channel).removeprefix("_")
