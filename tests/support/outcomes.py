"""What a disturbed run and an undisturbed one are compared by."""

from collections.abc import Mapping

from scanplane.features.catalogue import CATALOGUE, FeatureType
from scanplane.marketdata.results import QuoteRow
from support.journeys import Figures, Results

__all__ = ["LASTING", "WINDOWS", "Outcome"]

WINDOWS = ("change_1m_percent", "change_5m_percent", "change_15m_percent", "volume_1m", "volume_5m")
"""What depends on the ticks before: a window is sampled at them."""

LASTING = tuple(
    name
    for name, feature in CATALOGUE.items()
    if feature.type is FeatureType.NUMBER and name not in {"minutes_since_open", "relative_volume", *WINDOWS}
)
"""What the last event of a symbol decides; the others move on with the ticks, and quotes are written now and then."""


class Outcome:
    """What a run ends with."""

    def __init__(self, results: Results, quotes: Mapping[str, QuoteRow], figures: Figures, connections: int) -> None:
        self.results = results
        self.quotes = {
            symbol: {name: row.values.get(name) for name in LASTING} for symbol, row in sorted(quotes.items())
        }
        self.figures = figures
        self.connections = connections
