"""What an analyzer counts, over all partitions that it works in and has worked in."""

from collections.abc import Mapping, Sequence

from scanplane.analyzer.partition_work import PartitionWork
from scanplane.engine.sessions import Session

__all__ = ["figures_of", "totals_of"]

_SESSIONS = {Session.CLOSED: 0.0, Session.PREMARKET: 1.0, Session.REGULAR: 2.0, Session.POSTMARKET: 3.0}
"""What the operator knows an open market by. Before its first tick an analyzer knows no session, and says none."""

_LATEST = frozenset({"last_signal_unix_seconds"})
"""Of several partitions the latest counts."""


def totals_of(work: PartitionWork) -> dict[str, float]:
    """Return what only grows."""
    return {name: value for name, value in _figures(work).items() if name.endswith("_total")}


def figures_of(
    works: Sequence[PartitionWork], before: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return the figures of *works* together, on top of the totals of those *before*, and those of each scanner.

    Nothing before the first has begun. The tick is that of the partition that is furthest behind.
    """
    each = [figures for figures in map(_figures, works) if figures]
    if not each:
        return dict(before), {}
    summed = dict(before)
    for figures in each:
        _add(summed, figures)
    summed["tick_unix_seconds"] = min(figures["tick_unix_seconds"] for figures in each)
    if sessions := [figures["session"] for figures in each if "session" in figures]:
        summed["session"] = max(sessions)
    scanners: dict[str, dict[str, float]] = {}
    for work in works:
        if work.engine is not None:
            for scanner, figures in work.engine.scanner_figures().items():
                _add(scanners.setdefault(scanner, {}), figures)
    return summed, scanners


def _add(sums: dict[str, float], figures: Mapping[str, float]) -> None:
    for name, value in figures.items():
        sums[name] = max(sums.get(name, 0.0), value) if name in _LATEST else sums.get(name, 0.0) + value


def _figures(work: PartitionWork) -> dict[str, float]:
    engine, consumption, positions, writer = work.engine, work.consumption, work.positions, work.writer
    if engine is None or consumption is None or positions is None or writer is None:
        return {}
    consumed, seen, written = consumption.counts, positions.counts, writer.counts
    return {
        "batches_total": consumed.batches,
        "events_total": consumed.events,
        "evaluations_total": consumed.ticks,
        "malformed_batches_total": consumed.malformed_batches,
        "state_saves_total": consumed.saves,
        "lost_states_total": consumed.lost_states + work.lost_states + seen.unknown_beginnings,
        "repeated_batches_total": seen.repeated_batches,
        "outdated_batches_total": seen.outdated_batches,
        "missing_batches_total": seen.missing_batches,
        "lost_seals_total": seen.lost_seals,
        "boards_written_total": written.boards,
        "boards_conflated_total": written.boards_conflated,
        "signals_repeated_total": written.signals_repeated,
        "cache_failures_total": written.failures,
        "tick_unix_seconds": consumption.tick_ns / 1e9,
        **({"session": _SESSIONS[engine.session]} if consumption.tick_ns else {}),
        **engine.figures(),
    }
