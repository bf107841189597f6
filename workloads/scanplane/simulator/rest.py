"""What the simulated provider answers over plain HTTP, and the simulator's own status and switches.

Pure but for the token that is compared: a request path goes in, a status code and a document come out.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from scanplane.simulator.accounting import ConnectionEntry, ConnectionTotals
from scanplane.simulator.sessions.interface import ReferenceTicker

__all__ = ["Answer", "SimulatorStatus", "market_status", "permitted", "snapshot", "split_path"]

_NEW_YORK = ZoneInfo("America/New_York")


class Answer(Struct, frozen=True):
    """A status code and a JSON document."""

    status: HTTPStatus
    body: bytes


class SimulatorStatus(Struct, frozen=True, rename="camel"):
    """What ``/simulator/status`` says. ``position_ns`` is the session's clock; ``log`` the newest connections, at most 100."""

    session: str
    started: bool
    finished: bool
    holding: bool
    position_ns: int
    events: int
    unheard: int
    hostile_frames: int
    connections: ConnectionTotals
    log: Sequence[ConnectionEntry]


def split_path(target: str) -> tuple[str, dict[str, str]]:
    """Return the path of a request target and its query, the last of each name."""
    parts = urlsplit(target)
    return parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}


def permitted(api_key: str | None, query: Mapping[str, str], authorization: str | None) -> bool:
    """Whether a request carries the key, as ``apiKey`` in the query or as a bearer token."""
    given = query.get("apiKey") or (authorization or "").removeprefix("Bearer ")
    return api_key is None or hmac.compare_digest(given.encode(), api_key.encode())


def snapshot(tickers: Sequence[ReferenceTicker], updated_ns: int) -> bytes:
    """Return the snapshot of all tickers as it is before the day's first trade: only the previous day is known."""
    empty = {"o": 0, "h": 0, "l": 0, "c": 0, "v": 0, "vw": 0}
    return msgspec.json.encode(
        {
            "status": "OK",
            "count": len(tickers),
            "tickers": [
                {
                    "ticker": ticker.symbol,
                    "day": empty,
                    "prevDay": {"c": ticker.previous_close, "v": ticker.previous_volume},
                    "todaysChange": 0,
                    "todaysChangePerc": 0,
                    "updated": updated_ns,
                }
                for ticker in tickers
            ],
        }
    )


def market_status(now_ns: int) -> bytes:
    """Return the state of the US market at an instant of the session, by the hours of an ordinary day."""
    now = datetime.fromtimestamp(now_ns / 1e9, tz=_NEW_YORK)
    clock = now.time()
    weekday = now.weekday() < 5
    early = weekday and time(4) <= clock < time(9, 30)
    regular = weekday and time(9, 30) <= clock < time(16)
    late = weekday and time(16) <= clock < time(20)
    state = "open" if regular else "extended-hours" if early or late else "closed"
    return msgspec.json.encode(
        {
            "market": state,
            "earlyHours": early,
            "afterHours": late,
            "serverTime": now.isoformat(timespec="seconds"),
            "exchanges": dict.fromkeys(("nyse", "nasdaq", "otc"), state),
            "currencies": {"fx": "open" if weekday else "closed", "crypto": "open"},
        }
    )
