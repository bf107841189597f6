"""What is true of the shipped data, computed by SQL from the source files and from nothing of Scanplane's own code.

Sale conditions are read as the flags of the source (``TradeConditionFlags`` in LEAN) and judged by a table of the tapes'
own letters, as the CTA and UTP plans print it in their specifications: may the trade update last, high and low, volume.
Times are milliseconds since midnight in New York. A tick at T stands before the first event at or after T, so "at T" is
"of everything before T".
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb

__all__ = ["DATA", "Daily", "Moment", "Ticks"]

DATA = Path(__file__).parents[2] / "examples" / "data"

Moment = tuple[int, str]
"""A tick, in milliseconds since midnight in New York, and a symbol."""

REGULAR_MS = (34_200_000, 57_600_000)
VWAP_BAND = 0.0005

# bit of the flag, the tape's letter, then: last, high and low, volume. What is not here (and the bit that nobody documents)
# changes nothing. T: outside the regular session such a trade is an ordinary one.
_RULES = """
    (1, 'C cash sale', false, false, true),
    (2, 'N next day', false, false, true),
    (3, 'R seller', false, false, true),
    (9, '4 derivatively priced', false, true, true),
    (10, 'T form T', false, false, true),
    (13, 'T extended hours', false, false, true),
    (14, 'Z sold out of sequence', false, true, true),
    (20, 'W average price', false, false, true),
    (22, 'H price variation', false, false, true),
    (24, 'M official close', false, false, false),
    (25, 'P prior reference price', false, true, true),
    (26, 'Q official open', false, false, false),
    (31, 'I odd lot', false, false, true)
"""
_CLOSING_PRINT, _EXTENDED_HOURS, _OUT_OF_SEQUENCE = 1 << 7, 1 << 13, 1 << 14

_TRADES = f"""
    CREATE TABLE trades AS
    WITH rules(bit, letter, last, extremes, volume) AS (VALUES {_RULES}),
    source AS (
        SELECT upper(regexp_extract(filename, '([a-z]+)_20131008', 1)) AS symbol,
               time_ms, price, size, ('0x' || conditions)::BIGINT AS flags, row_number() OVER () AS place
        FROM read_csv('{DATA}/us-equities-ticks/*_trades.csv.gz', filename = true, types = {{'conditions': 'VARCHAR'}})
        WHERE suspicious = 0
    ),
    timed AS (
        SELECT *, CASE WHEN time_ms < {REGULAR_MS[0]} THEN 'premarket'
                       WHEN time_ms < {REGULAR_MS[1]} OR flags & {_CLOSING_PRINT} > 0 THEN 'regular'
                       ELSE 'postmarket' END AS session
        FROM source
    ),
    kinds AS (SELECT DISTINCT flags, session = 'regular' AS is_regular FROM timed),
    judged AS (
        -- T and Z together are the tape's U, extended hours sold out of sequence: volume only.
        SELECT flags, is_regular,
               coalesce(bool_and(volume), true) AS counts_volume,
               coalesce(bool_and(extremes) FILTER (is_regular OR bit NOT IN (10, 13)), true) AND NOT any_value(
                   flags & {_EXTENDED_HOURS} > 0 AND flags & {_OUT_OF_SEQUENCE} > 0) AS counts_extremes,
               coalesce(bool_and(last) FILTER (is_regular OR bit NOT IN (10, 13)), true) AS counts_last
        FROM kinds LEFT JOIN rules ON (flags >> bit) & 1 = 1
        GROUP BY flags, is_regular
    )
    SELECT timed.*, counts_volume, counts_extremes, counts_last
    FROM timed JOIN judged ON timed.flags = judged.flags AND (session = 'regular') = is_regular
"""

_QUOTES = f"""
    CREATE TABLE quotes AS
    SELECT upper(regexp_extract(filename, '([a-z]+)_20131008', 1)) AS symbol,
           time_ms, bid_price AS bid, ask_price AS ask, row_number() OVER () AS place
    FROM read_csv('{DATA}/us-equities-ticks/*_quotes.csv.gz', filename = true)
    WHERE suspicious = 0
"""

# One row for each symbol and millisecond with a trade: what is true once all its trades are in.
_RUNNING = """
    CREATE TABLE running AS
    SELECT symbol, time_ms,
           last_value(CASE WHEN counts_last THEN price END IGNORE NULLS) OVER so_far AS price,
           sum(size) FILTER (counts_volume) OVER so_far AS volume,
           sum(size) FILTER (counts_volume AND session = 'premarket') OVER so_far AS premarket_volume,
           sum(price * size) FILTER (counts_last AND counts_volume) OVER so_far
               / sum(size) FILTER (counts_last AND counts_volume) OVER so_far AS vwap,
           first_value(CASE WHEN counts_last AND session = 'regular' THEN price END IGNORE NULLS) OVER so_far AS open,
           max(price) FILTER (counts_extremes) OVER so_far AS high_of_day,
           min(price) FILTER (counts_extremes) OVER so_far AS low_of_day,
           max(price) FILTER (counts_extremes AND session = 'regular') OVER so_far AS high,
           min(price) FILTER (counts_extremes AND session = 'regular') OVER so_far AS low,
           max(price) FILTER (counts_extremes AND session = 'premarket') OVER so_far AS premarket_high,
           min(price) FILTER (counts_extremes AND session = 'premarket') OVER so_far AS premarket_low
    FROM trades
    WINDOW so_far AS (PARTITION BY symbol ORDER BY time_ms, place)
    QUALIFY row_number() OVER (PARTITION BY symbol, time_ms ORDER BY place DESC) = 1
"""

_QUOTED = """
    CREATE TABLE quoted AS
    SELECT symbol, time_ms, bid, ask FROM quotes
    QUALIFY row_number() OVER (PARTITION BY symbol, time_ms ORDER BY place DESC) = 1
"""

# The instants at which the scanners look: the end of every interval with an event, and after a pause the beginning of the next.
_TICKS = """
    CREATE TABLE ticks AS
    WITH intervals AS (
        SELECT DISTINCT time_ms // {interval_ms} AS number
        FROM (SELECT time_ms FROM trades UNION ALL SELECT time_ms FROM quotes)
    )
    SELECT (number + 1) * {interval_ms} AS tick_ms FROM intervals
    UNION
    SELECT number * {interval_ms} FROM intervals WHERE number - 1 NOT IN (SELECT number FROM intervals)
"""

# Windows reach back to the first tick of a slot of five seconds.
_SAMPLES = "CREATE TABLE samples AS SELECT min(tick_ms) AS sampled_ms FROM ticks GROUP BY tick_ms // 5000"

_FIGURES = (
    "price", "volume", "premarket_volume", "vwap", "open", "high_of_day", "low_of_day", "high", "low",
    "premarket_high", "premarket_low",
)  # fmt: skip


class Ticks:
    """The ticks of four symbols on 2013-10-08, evaluated every *interval_ms*."""

    MIDNIGHT_NS = 1_381_204_800_000_000_000
    """2013-10-08 00:00 in New York, four hours behind UTC."""

    def __init__(self, interval_ms: int = 250) -> None:
        self._interval_ms = interval_ms
        self._database = duckdb.connect()
        for statement in (_TRADES, _QUOTES, _RUNNING, _QUOTED, _TICKS.format(interval_ms=interval_ms), _SAMPLES):
            self._database.execute(statement)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of *sql* over ``trades``, ``quotes``, ``running`` and ``ticks``."""
        return self._database.execute(sql, list(parameters)).fetchall()

    @property
    def events(self) -> int:
        """How many trades and quotes there are."""
        return int(self.query("SELECT (SELECT count(*) FROM trades) + (SELECT count(*) FROM quotes)")[0][0])

    @property
    def ticks(self) -> int:
        """At how many instants the scanners look."""
        return int(self.query("SELECT count(*) FROM ticks")[0][0])

    @property
    def last(self) -> list[Moment]:
        """Every symbol at the last tick, by symbol."""
        return self.query("SELECT (SELECT max(tick_ms) FROM ticks), symbol FROM trades GROUP BY symbol ORDER BY symbol")

    def figures(self, moments: Iterable[Moment]) -> dict[Moment, dict[str, float | None]]:
        """Return what is true of symbols at ticks, by the names of the features."""
        self._database.execute("CREATE OR REPLACE TABLE asked (tick_ms BIGINT, symbol VARCHAR)")
        self._database.executemany("INSERT INTO asked VALUES (?, ?)", sorted(set(moments)))
        names = ", ".join(f"running.{name}" for name in _FIGURES)
        rows = self.query(f"""
            SELECT tick_ms, asked.symbol, {names}, bid, ask, CASE WHEN ask >= bid THEN 200 * (ask - bid) / (ask + bid) END
            FROM asked
            ASOF LEFT JOIN running ON asked.symbol = running.symbol AND tick_ms > running.time_ms
            ASOF LEFT JOIN quoted ON asked.symbol = quoted.symbol AND tick_ms > quoted.time_ms
        """)
        columns = (*_FIGURES, "bid", "ask", "spread_percent")
        found = {(tick_ms, symbol): dict(zip(columns, row, strict=True)) for tick_ms, symbol, *row in rows}
        for minutes in (1, 5, 15):
            for tick_ms, symbol, *window in self._windows(minutes):
                columns = (f"change_{minutes}m_percent", f"volume_{minutes}m")
                found[tick_ms, symbol] |= dict(zip(columns, window, strict=True))
        return found

    def _windows(self, minutes: int) -> list[tuple[Any, ...]]:
        """Return for every moment asked for the change and the volume since the newest sample that is old enough."""
        return self.query(f"""
            WITH reaching AS (
                SELECT tick_ms, symbol, sampled_ms
                FROM asked ASOF LEFT JOIN samples ON tick_ms - {minutes * 60_000} >= sampled_ms
            )
            SELECT tick_ms, reaching.symbol, 100 * (now.price - past.price) / past.price,
                   CASE WHEN sampled_ms IS NOT NULL THEN now.volume - coalesce(past.volume, 0) END
            FROM reaching
            ASOF LEFT JOIN running AS now ON reaching.symbol = now.symbol AND tick_ms > now.time_ms
            ASOF LEFT JOIN running AS past ON reaching.symbol = past.symbol AND sampled_ms > past.time_ms
        """)

    def new_extremes(self, extreme: str = "max", *, cooldown_ms: int = 0, regular_only: bool = False) -> list[Moment]:
        """Return the ticks at which the day's high (``max``) or low (``min``) went beyond what it was at the tick before.

        An event's interval ends at its tick; the first price of the day is no new high. *regular_only* leaves out the
        ticks at which the regular session is not open. Within *cooldown_ms* of one that counts, none counts.
        """
        beyond = ">" if extreme == "max" else "<"
        first_ms, end_ms = REGULAR_MS if regular_only else (0, 24 * 3_600_000)
        self._database.execute(f"""
            CREATE OR REPLACE TABLE candidates AS
            WITH intervals AS (
                SELECT symbol, (time_ms // {self._interval_ms} + 1) * {self._interval_ms} AS tick_ms, {extreme}(price) AS price
                FROM trades WHERE counts_extremes GROUP BY ALL
            ), compared AS (
                SELECT *, {extreme}(price) OVER (PARTITION BY symbol ORDER BY tick_ms
                                                 ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
                FROM intervals
            )
            SELECT symbol, tick_ms FROM compared
            WHERE price {beyond} before AND tick_ms >= {first_ms} AND tick_ms < {end_ms}
        """)
        return self.query(f"""
            WITH RECURSIVE fired AS (
                SELECT symbol, min(tick_ms) AS tick_ms FROM candidates GROUP BY symbol
                UNION ALL
                SELECT symbol, min(candidates.tick_ms) FROM fired JOIN candidates USING (symbol)
                WHERE candidates.tick_ms > fired.tick_ms AND candidates.tick_ms >= fired.tick_ms + {cooldown_ms}
                GROUP BY symbol
            )
            SELECT tick_ms, symbol FROM fired ORDER BY ALL
        """)

    def vwap_crossings(self) -> list[Moment]:
        """Return the ticks at which price was off VWAP by more than the band, on the other side than the last time."""
        return self.query(f"""
            WITH ticked AS (
                SELECT symbol, (time_ms // {self._interval_ms} + 1) * {self._interval_ms} AS tick_ms, price, vwap FROM running
                QUALIFY row_number() OVER (PARTITION BY symbol, tick_ms ORDER BY time_ms DESC) = 1
            ), off AS (
                SELECT symbol, tick_ms, price > vwap AS is_above FROM ticked
                WHERE price > vwap * (1 + {VWAP_BAND}) OR price < vwap * (1 - {VWAP_BAND})
            ), compared AS (
                SELECT *, lag(is_above) OVER (PARTITION BY symbol ORDER BY tick_ms) AS was_above FROM off
            )
            SELECT tick_ms, symbol FROM compared WHERE is_above <> was_above ORDER BY ALL
        """)


_DAYS = f"""
    CREATE TABLE today AS
    WITH rows AS (
        SELECT regexp_extract(filename, '([0-9]{{8}})', 1) AS day, * EXCLUDE (filename)
        FROM read_csv('{DATA}/us-equities-daily/*.csv.gz', filename = true)
    ), now AS (
        -- A few tickers belong to two securities: the one that traded more.
        SELECT * FROM rows WHERE day = '20140326' AND volume > 0
        QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY volume DESC) = 1
    )
    SELECT now.symbol, now.close AS price, now.volume,
           before.close * before.split_factor / now.split_factor AS previous_close,
           (price - previous_close) / previous_close * 100 AS change_percent
    FROM now LEFT JOIN rows AS before ON before.security_id = now.security_id AND before.day = '20140325'
"""


class Daily:
    """Close and volume of the whole US market on 2014-03-26, against the day before."""

    LAST_TRADE_NS = 1_395_878_400_000_000_000
    """2014-03-26 20:00 in New York."""

    def __init__(self) -> None:
        self._database = duckdb.connect()
        self._database.execute(_DAYS)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of *sql* over ``today``: symbol, price, volume, previous_close, change_percent."""
        return self._database.execute(sql).fetchall()
