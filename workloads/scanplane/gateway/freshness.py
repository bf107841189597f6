"""How old, how late and how live an answer is: said with every answer, because a number without its age is a wrong number.

Three clocks meet here. ``tick`` is event time: the instant of the market that was evaluated. ``received`` and ``evaluated`` are
the host's clock when the newest event behind it came in, and when it was evaluated. A live market's tick and
receipt are close; a delayed feed's tick is behind by its delay; a recorded session's tick lies on another day. So
the distance between tick and receipt says which of the three it is, and gives the label where the Feed gives none.
"""

from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

__all__ = ["STALE_AFTER_NS", "Freshness", "delay_label", "freshness_of", "is_live", "iso_time"]

STALE_AFTER_NS = 15_000_000_000
"""What nobody says otherwise of: a role's status, and boards of an analyzer that is older than the gateway."""
_SECOND = 1_000_000_000
_LIVE_WITHIN_NS = 60 * _SECOND
_DELAYED_WITHIN_NS = 6 * 3600 * _SECOND
_DAY_NS = 24 * 3600 * _SECOND


class Freshness(Struct, frozen=True, kw_only=True, rename="camel"):
    """Times of an answer, in nanoseconds UTC (0: unknown), and what they mean.

    ``delay`` is empty for a real-time market, and else says what it is: ``15 min delayed``, ``replay``. ``live`` is false for
    recorded or made-up data, whose event time has nothing to do with the clock on the wall; ``age_seconds`` (tick to now)
    is given only where it means something. ``lag_milliseconds`` is from the receipt of the newest event to now, at the moment
    of publishing. ``stale`` is true when nothing was evaluated for ``stale_after_seconds`` (null for what does not age), when a
    feed of the open market was silent for too long, or when the gateway lost its cache.
    """

    tick_ns: int
    tick_time: str
    received_ns: int
    evaluated_ns: int
    published_ns: int
    delay: str
    live: bool
    age_seconds: float | None
    lag_milliseconds: float | None
    stale_after_seconds: float | None
    stale: bool
    stale_reason: str = ""

    def of_row(self, tick_ns: int) -> "Freshness":
        """Return the freshness of a row of this market that was evaluated at *tick_ns*.

        A symbol that does not trade is no delayed one: its row has an age of its own, but the market's label.
        """
        age_seconds = round((self.published_ns - tick_ns) / _SECOND, 3) if self.live and tick_ns else None
        return replace(self, tick_ns=tick_ns, tick_time=iso_time(tick_ns), age_seconds=age_seconds)


def iso_time(time_ns: int) -> str:
    """Return nanoseconds UTC as ``2014-03-26T14:30:00.250Z``; empty for 0."""
    if time_ns == 0:
        return ""
    milliseconds = time_ns // 1_000_000
    moment = datetime.fromtimestamp(milliseconds // 1000, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def delay_label(data_label: str, tick_ns: int, received_ns: int) -> str:
    """Return the Feed's own label; without one, what the distance from tick to receipt shows."""
    if data_label or not received_ns or not tick_ns:
        return data_label
    behind_ns = received_ns - tick_ns
    if abs(behind_ns) <= _LIVE_WITHIN_NS:
        return ""
    if 0 < behind_ns <= _DELAYED_WITHIN_NS:
        return f"{round(behind_ns / (60 * _SECOND))} min delayed"
    return f"recorded session of {iso_time(tick_ns)[:10]}"


def is_live(tick_ns: int, received_ns: int) -> bool:
    """Return whether event time follows the clock on the wall, delayed or not."""
    return not received_ns or -_LIVE_WITHIN_NS <= received_ns - tick_ns <= _DELAYED_WITHIN_NS


def freshness_of(
    *,
    tick_ns: int,
    received_ns: int,
    evaluated_ns: int,
    now_ns: int,
    data_label: str = "",
    problem: str = "",
    silence: str = "",
    stale_after_ns: int = STALE_AFTER_NS,
    ages: bool = True,
) -> Freshness:
    """Judge an answer at *now_ns*, which is stale *stale_after_ns* after its evaluation.

    *problem* says why the gateway itself is behind (its cache is lost), *silence* which feed the market misses. What happened
    once, such as a signal, does not grow stale: *ages* is false for it.
    """
    label = delay_label(data_label, tick_ns, received_ns or evaluated_ns)
    live = is_live(tick_ns, received_ns or evaluated_ns)
    lag_ns = now_ns - received_ns
    silent_ns = now_ns - evaluated_ns if evaluated_ns else 0
    reason = problem
    if not reason and ages:
        unevaluated = f"nothing was evaluated for {silent_ns // _SECOND} s"
        reason = unevaluated if silent_ns > stale_after_ns else silence
    return Freshness(
        tick_ns=tick_ns,
        tick_time=iso_time(tick_ns),
        received_ns=received_ns,
        evaluated_ns=evaluated_ns,
        published_ns=now_ns,
        delay=label,
        live=live,
        age_seconds=round((now_ns - tick_ns) / _SECOND, 3) if live and tick_ns else None,
        # a receipt of another day comes from the recording itself and says nothing of this pipeline
        lag_milliseconds=round(lag_ns / 1_000_000, 3) if received_ns and 0 <= lag_ns < _DAY_NS else None,
        stale_after_seconds=stale_after_ns / _SECOND if ages else None,
        stale=bool(reason),
        stale_reason=reason,
    )
