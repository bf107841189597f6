"""The CSV files that Markets name, read for their mistakes before anything runs."""

from collections.abc import Iterable
from pathlib import Path

from scanplane.resources.documents import LocatedResource
from scanplane.resources.market import Market, Reference, ReferenceSource
from scanplane.resources.problems import Problem

__all__ = ["reference_problems"]


def reference_problems(resources: Iterable[LocatedResource]) -> list[Problem]:
    """Return what is wrong with the files that the Markets of *resources* read: the first mistake of each file."""
    return [
        problem
        for each in resources
        if isinstance(each.resource, Market) and each.resource.spec.reference is not None
        for problem in _problems_of(each, each.resource.spec.reference)
    ]


def _problems_of(market: LocatedResource, reference: Reference) -> Iterable[Problem]:
    """Read what an analyzer would; relative paths start at the folder of the Market's own file."""
    figures = {
        "previous_close": reference.previous_close,
        "average_volume": reference.average_volume,
        "free_float": reference.free_float,
    }
    from_file = [figure for figure, source in figures.items() if source is ReferenceSource.FILE]
    file = reference.file
    if file is None:
        return
    from scanplane.reference.errors import ReferenceDataError  # noqa: PLC0415  # they take longer than all other checks
    from scanplane.reference.file import read_symbols, read_volume_curve  # noqa: PLC0415

    folder = Path(market.file).parent
    if from_file and file.symbols is not None:
        try:
            read_symbols(folder / file.symbols, from_file)
        except ReferenceDataError as error:
            yield market.problem("spec.reference.file.symbols", str(error))
    if reference.volume_curve is ReferenceSource.FILE and file.volume_curve is not None:
        try:
            read_volume_curve(folder / file.volume_curve)
        except ReferenceDataError as error:
            yield market.problem("spec.reference.file.volumeCurve", str(error))
