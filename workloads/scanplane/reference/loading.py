"""Load what a Market asks to know beforehand, each figure from its own source: files once, the provider for every day."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from scanplane.engine.reference_data import DayReference, DaySoFar, ReferenceData, SymbolReference, VolumeCurve
from scanplane.plan.configuration import ReferenceConfiguration, SecretKey
from scanplane.reference.errors import ReferenceDataError
from scanplane.reference.file import read_symbols, read_volume_curve
from scanplane.reference.provider import Snapshot, fetch_snapshot
from scanplane.resources.market import ReferenceSource

__all__ = ["day_reference", "fetch_from_provider", "load_files"]

_FIGURES = ("previous_close", "average_volume", "free_float")


async def load_files(configuration: ReferenceConfiguration, files: Path) -> ReferenceData:
    """Load the figures of source File; relative paths start at *files*.

    Figures of another source, and symbols that a file does not name, are unknown. Raises ReferenceDataError, also for a source
    that does not have what is asked of it.
    """
    _check_provider(configuration)
    by_figure: dict[str, Mapping[str, float]] = {}
    digest = ""
    from_file = [figure for figure in _FIGURES if getattr(configuration, figure) is ReferenceSource.FILE]
    if from_file:
        path = _path(configuration.symbols_file, files, "symbols")
        rows = await asyncio.to_thread(read_symbols, path, from_file)
        digest = hashlib.sha256(await asyncio.to_thread(path.read_bytes)).hexdigest()[:16]
        for figure in from_file:
            by_figure[figure] = {symbol: row[figure] for symbol, row in rows.items()}
    curve: VolumeCurve | None = None
    if configuration.volume_curve is ReferenceSource.FILE:
        path = _path(configuration.volume_curve_file, files, "volumeCurve")
        curve = await asyncio.to_thread(read_volume_curve, path)
    symbols = {symbol for values in by_figure.values() for symbol in values}
    return ReferenceData(
        symbols={
            symbol: SymbolReference(**{f: values[symbol] for f, values in by_figure.items() if symbol in values})
            for symbol in sorted(symbols)
        },
        curve=curve,
        digest=digest,
    )


async def fetch_from_provider(
    configuration: ReferenceConfiguration, read_secret: Callable[[SecretKey], str]
) -> Snapshot | None:
    """Fetch the provider's snapshot; None where no figure has the provider as its source.

    Raises ReferenceUnavailableError, ReferenceDataError and what *read_secret* raises.
    """
    sources = {getattr(configuration, figure) for figure in _FIGURES}
    if ReferenceSource.PROVIDER not in sources or configuration.rest_endpoint is None or configuration.api_key is None:
        return None
    return await fetch_snapshot(configuration.rest_endpoint, read_secret(configuration.api_key))


def day_reference(configuration: ReferenceConfiguration, snapshot: Snapshot, begin_ns: int) -> DayReference:
    """Return what *snapshot* knows for the trading day that begins at *begin_ns*: the figures that have it as their source."""
    wants_close = configuration.previous_close is ReferenceSource.PROVIDER
    wants_volume = configuration.average_volume is ReferenceSource.PROVIDER
    symbols = {
        symbol: SymbolReference(
            previous_close=_known(day.close) if wants_close else _UNKNOWN,
            average_volume=_known(day.volume) if wants_volume else _UNKNOWN,
        )
        for symbol, day in snapshot.previous.items()
        if (wants_close and day.close) or (wants_volume and day.volume)
    }
    so_far = {
        symbol: DaySoFar(open=_known(bar.open), high=_known(bar.high), low=_known(bar.low))
        for symbol, bar in snapshot.days.items()
    }
    return DayReference(begin_ns=begin_ns, symbols=symbols, as_of_ns=snapshot.newest_ns, so_far=so_far)


_UNKNOWN = float("nan")


def _known(value: float | None) -> float:
    return value if value is not None and value > 0 else _UNKNOWN


def _check_provider(configuration: ReferenceConfiguration) -> None:
    if ReferenceSource.PROVIDER in (configuration.previous_close, configuration.average_volume) and (
        configuration.rest_endpoint is None or configuration.api_key is None
    ):
        raise ReferenceDataError("reference: source Provider needs a Feed of provider Massive; write File or None")
    for figure, name in (("volume_curve", "volumeCurve"), ("free_float", "freeFloat")):
        if getattr(configuration, figure) is ReferenceSource.PROVIDER:
            raise ReferenceDataError(f"reference.{name}: the provider gives none; write File or None")


def _path(path: str | None, files: Path, field: str) -> Path:
    if path is None:
        raise ReferenceDataError(f"reference: source File needs reference.file.{field}")
    return files / path
