"""Load what a Market asks to know beforehand, each figure from its own source."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from scanplane.engine.reference_data import ReferenceData, SymbolReference, VolumeCurve
from scanplane.plan.configuration import ReferenceConfiguration, SecretKey
from scanplane.reference.errors import ReferenceDataError
from scanplane.reference.file import read_symbols, read_volume_curve
from scanplane.reference.provider import PreviousDay, fetch_previous_days
from scanplane.resources.market import ReferenceSource

__all__ = ["load_reference"]

_FIGURES = ("previous_close", "average_volume", "free_float")


async def load_reference(
    configuration: ReferenceConfiguration, read_secret: Callable[[SecretKey], str], files: Path
) -> ReferenceData:
    """Load reference data; relative paths start at *files*.

    Figures of source None, and symbols that a source does not know, are unknown. Raises ReferenceDataError and what
    *read_secret* raises.
    """
    by_figure: dict[str, Mapping[str, float]] = {}
    wanted = {figure: getattr(configuration, figure) for figure in _FIGURES}
    from_file = [figure for figure, source in wanted.items() if source is ReferenceSource.FILE]
    from_provider = [figure for figure, source in wanted.items() if source is ReferenceSource.PROVIDER]
    if from_file:
        path = _path(configuration.symbols_file, files, "symbols")
        rows = await asyncio.to_thread(read_symbols, path, from_file)
        for figure in from_file:
            by_figure[figure] = {symbol: row[figure] for symbol, row in rows.items()}
    if from_provider:
        days = await _previous_days(configuration, read_secret)
        for figure in from_provider:
            by_figure[figure] = _from_provider(figure, days)
    curve: VolumeCurve | None = None
    if configuration.volume_curve is ReferenceSource.FILE:
        path = _path(configuration.volume_curve_file, files, "volumeCurve")
        curve = await asyncio.to_thread(read_volume_curve, path)
    elif configuration.volume_curve is ReferenceSource.PROVIDER:
        raise ReferenceDataError("reference.volumeCurve: the provider gives none; write File or None")
    symbols = {symbol for values in by_figure.values() for symbol in values}
    return ReferenceData(
        symbols={
            symbol: SymbolReference(**{f: values[symbol] for f, values in by_figure.items() if symbol in values})
            for symbol in sorted(symbols)
        },
        curve=curve,
    )


async def _previous_days(
    configuration: ReferenceConfiguration, read_secret: Callable[[SecretKey], str]
) -> Mapping[str, PreviousDay]:
    if configuration.rest_endpoint is None or configuration.api_key is None:
        raise ReferenceDataError("reference: source Provider needs a Feed of provider Massive; write File or None")
    return await fetch_previous_days(configuration.rest_endpoint, read_secret(configuration.api_key))


def _from_provider(figure: str, days: Mapping[str, PreviousDay]) -> dict[str, float]:
    if figure == "previous_close":
        return {symbol: day.close for symbol, day in days.items() if day.close}
    if figure == "average_volume":
        return {symbol: day.volume for symbol, day in days.items() if day.volume}
    raise ReferenceDataError("reference.freeFloat: the provider gives none; write File or None")


def _path(path: str | None, files: Path, field: str) -> Path:
    if path is None:
        raise ReferenceDataError(f"reference: source File needs reference.file.{field}")
    return files / path
