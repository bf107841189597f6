"""What a disturbed run and an undisturbed one are compared by."""

from collections.abc import Mapping

from scanplane.marketdata.results import QuoteRow
from support.journeys import Figures, Results

__all__ = ["LASTING", "Outcome"]

LASTING = ("price", "open", "high", "low", "high_of_day", "low_of_day", "vwap", "volume")
"""What the last event of a symbol decides; windows move on with the ticks, and quotes are written now and then."""


class Outcome:
    """What a run ends with."""

    def __init__(self, results: Results, quotes: Mapping[str, QuoteRow], figures: Figures, connections: int) -> None:
        self.results = results
        self.quotes = {
            symbol: {name: row.values.get(name) for name in LASTING} for symbol, row in sorted(quotes.items())
        }
        self.figures = figures
        self.connections = connections
