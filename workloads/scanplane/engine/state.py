"""Every column of the engine's state: what is kept of a trading day, per symbol.

All of it is forgotten when the next trading day begins. Prices and volumes are float64, instants int64 nanoseconds UTC.
Highs and lows are kept by session (premarket, regular, postmarket) as six planes: the highs, then the lows with their
sign turned, so that one rule ("the greatest counts") serves both.

``LAYOUT_VERSION`` names the meaning of these columns in a saved state: raise it when a column changes its meaning.
"""

from scanplane.engine.columns import Column

__all__ = [
    "BAR_SUM_DEPTH",
    "DAY_COLUMNS",
    "HIGHS",
    "LAYOUT_VERSION",
    "LOWS",
    "MINUTE_BARS",
    "POSTMARKET",
    "PREMARKET",
    "RECENT_SECONDS",
    "REFERENCE_COLUMNS",
    "REGULAR",
    "SECOND_BARS",
    "SESSIONS",
]

LAYOUT_VERSION = 3

PREMARKET, REGULAR, POSTMARKET = 0, 1, 2
SESSIONS = 3
HIGHS, LOWS = 0, SESSIONS
SECOND_BARS, MINUTE_BARS = 0, 1
BAR_SUM_DEPTH = 16
"""How many of a symbol's newest bars of each kind can still be corrected in a volume that has to be summed."""
RECENT_SECONDS = 16
"""How many seconds of trades are told apart: a few after the last tick, the others before it. Bars come 2 to 3 s late."""

_UNKNOWN = float("nan")
_LEAST = float("-inf")
_NEVER = -(2**63)
_NEVER_YET = 2**63 - 1

DAY_COLUMNS = (
    # The last eligible trade.
    Column("trade_price", "<f8", _UNKNOWN),
    Column("trade_ns", "<i8", _NEVER),
    # The first eligible trade of the regular session.
    Column("trade_open", "<f8", _UNKNOWN),
    Column("trade_open_ns", "<i8", _NEVER_YET),
    # Volumes, the bar that each stands on, and trades by second: see scanplane.engine.volumes.
    Column("volume", "<f8", 0.0),
    Column("volume_bar", "<f8", 0.0),
    Column("volume_bar_end_ns", "<i8", _NEVER),
    Column("premarket_volume", "<f8", 0.0),
    Column("premarket_volume_bar", "<f8", 0.0),
    Column("premarket_volume_bar_end_ns", "<i8", _NEVER),
    Column("recent_volume", "<f8", 0.0, RECENT_SECONDS),
    Column("unplaced_ns", "<i8", _NEVER),
    # Sums over trades that may set price, and what they were when the newest bar was taken up.
    Column("trade_notional", "<f8", 0.0),
    Column("trade_notional_volume", "<f8", 0.0),
    Column("notional_before", "<f8", 0.0),
    Column("notional_volume_before", "<f8", 0.0),
    Column("trade_extreme", "<f8", _LEAST, 2 * SESSIONS),
    # The newest bar that knew each figure, and when it ended (of the first: began), doubled, plus 1 for a minute bar; and
    # the latest start of a bar that knew a price.
    Column("bar_price", "<f8", _UNKNOWN),
    Column("bar_end_key", "<i8", _NEVER),
    Column("bar_start_ns", "<i8", _NEVER),
    Column("bar_open", "<f8", _UNKNOWN),
    Column("bar_open_start_key", "<i8", _NEVER_YET),
    Column("official_open", "<f8", _UNKNOWN),
    Column("official_open_end_key", "<i8", _NEVER),
    Column("session_vwap", "<f8", _UNKNOWN),
    Column("session_vwap_end_key", "<i8", _NEVER),
    Column("accumulated_volume", "<f8", _UNKNOWN),
    Column("accumulated_volume_end_key", "<i8", _NEVER),
    Column("premarket_accumulated_volume", "<f8", _UNKNOWN),
    Column("premarket_accumulated_volume_end_key", "<i8", _NEVER),
    Column("newest_start_ns", "<i8", _NEVER, 2),
    # Highs and lows of bars, correctable: see scanplane.engine.records.
    Column("record_key", "<i8", _NEVER, 2 * SESSIONS),
    Column("record", "<f8", _LEAST, 2 * SESSIONS),
    Column("runner_up_key", "<i8", _NEVER, 2 * SESSIONS),
    Column("runner_up", "<f8", _LEAST, 2 * SESSIONS),
    Column("remainder", "<f8", _LEAST, 2 * SESSIONS),
    # Volume of bars without accumulated volume, by kind, with the newest bars kept for correction.
    Column("bar_sum_volume", "<f8", 0.0, 2),
    Column("bar_sum_notional", "<f8", 0.0, 2),
    Column("bar_sum_starts", "<i8", _NEVER, 2 * BAR_SUM_DEPTH),
    Column("bar_sum_volumes", "<f8", 0.0, 2 * BAR_SUM_DEPTH),
    Column("bar_sum_notionals", "<f8", 0.0, 2 * BAR_SUM_DEPTH),
    # Both sides of the newest quote.
    Column("bid", "<f8", _UNKNOWN),
    Column("ask", "<f8", _UNKNOWN),
    Column("quote_ns", "<i8", _NEVER),
    # What the last tick saw, for events.
    Column("ticked_high", "<f8", _UNKNOWN),
    Column("ticked_low", "<f8", _UNKNOWN),
    Column("vwap_side", "|i1", 0),
    # Volume windows: volume before the first known accumulated volume, and since when that counts.
    Column("volume_before", "<f8", 0.0),
    Column("volume_since_ns", "<i8", _NEVER),
    # Whether an event touched the symbol since the last tick, and at any tick of the day.
    Column("changed", "|b1", 0),
    Column("heard", "|b1", 0),
)

REFERENCE_COLUMNS = (
    Column("previous_close", "<f8", _UNKNOWN),
    Column("average_volume", "<f8", _UNKNOWN),
    Column("free_float", "<f8", _UNKNOWN),
    Column("curve_position", "<i8", -1),
    # What the provider tells of the regular session before the analyzer began.
    Column("told_open", "<f8", _UNKNOWN),
    Column("told_high", "<f8", _UNKNOWN),
    Column("told_low", "<f8", _UNKNOWN),
)
