"""The market that both sides of the benchmark are given: 8,000 symbols with one second bar each, again and again.

Standard library only: it is imported by the original's Python too.
"""

import json
from collections.abc import Iterator

__all__ = ["SYMBOLS", "aggregate_events", "aggregate_frames", "symbols"]

SYMBOLS = 8000


def symbols() -> list[str]:
    """Return the symbols, four letters each."""
    letters = "ABCDEFGHIJKLMNOPQRST"
    return [
        letters[number // 8000 % 20] + letters[number // 400 % 20] + letters[number // 20 % 20] + letters[number % 20]
        for number in range(SYMBOLS)
    ]


def aggregate_events(lap: int = 0) -> Iterator[dict[str, object]]:
    """Yield one second aggregate of every symbol, with the provider's field names; prices and volumes grow by lap."""
    start = 1_700_000_000_000 + lap * 1000
    for number, symbol in enumerate(symbols()):
        price = round(2 + number % 500 + (number * 7 + lap * 13) % 100 / 100, 4)
        yield {
            "ev": "A",
            "sym": symbol,
            "v": 100 + number % 900,
            "av": 1_000_000 + number * 10 + lap * 500,
            "op": price - 0.5,
            "vw": price,
            "o": price,
            "c": round(price + 0.01, 4),
            "h": round(price + 0.02, 4),
            "l": round(price - 0.02, 4),
            "a": price,
            "z": 50,
            "s": start,
            "e": start + 1000,
        }


def aggregate_frames(events_per_frame: int, lap: int = 0) -> list[str]:
    """Return :func:`aggregate_events` as the provider's WebSocket frames."""
    events = list(aggregate_events(lap))
    return [
        json.dumps(events[first : first + events_per_frame], separators=(",", ":"))
        for first in range(0, len(events), events_per_frame)
    ]
