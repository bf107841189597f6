"""The original's side of the benchmark: kuhl-haus-mdp, installed from PyPI and measured as it is.

It lives in a virtual environment of its own and runs as a subprocess; nothing of it is copied or imported here.
What exactly is exercised stands in ``publish.py`` and ``analyze.py``.
"""

from pathlib import Path

from .environment import ORIGINAL_VERSION, WITHOUT_ORIGINAL, OriginalUnavailableError, original_python, run_in_original

__all__ = [
    "ANALYZE_CONDITIONS",
    "ORIGINAL_VERSION",
    "PUBLISH_CONDITIONS",
    "WITHOUT_ORIGINAL",
    "OriginalUnavailableError",
    "measure_original_analyze",
    "measure_original_publish",
    "original_python",
]

MAX_SECONDS = 15.0

PUBLISH_CONDITIONS = (
    "MassiveDataListener on a loopback WebSocket with frames of {events_per_frame} second aggregates, "
    "MassiveDataQueues with its defaults (confirms on, one channel per queue, gather per frame)"
)
ANALYZE_CONDITIONS = (
    "one MassiveDataProcessor with LeaderboardAnalyzer and its defaults (100 prefetched, 500 tasks), "
    "second aggregates of 8,000 symbols, reference data already cached, hiredis added"
)

_HERE = Path(__file__).parent


def _bounded(seconds: float) -> float:
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"measure for more than 0 and at most {MAX_SECONDS:g} s, not {seconds:g}")
    return seconds


def measure_original_publish(
    amqp_url: str, seconds: float, *, events_per_frame: int = 100, confirms: bool = True
) -> float:
    """Return how many events a second the original's listener gets confirmed by the broker at *amqp_url*.

    Without *confirms*, which it can be told but is not by default, it is what it has written to its socket.
    The broker may be behind a proxy that adds delay. It declares the original's queues (``aggregate``, ``trades`` ...)
    there. Raises OriginalUnavailableError.
    """
    arguments = {
        "amqp_url": amqp_url,
        "seconds": _bounded(seconds),
        "events_per_frame": events_per_frame,
        "confirms": confirms,
    }
    result = run_in_original(_HERE / "publish.py", arguments, seconds=seconds)
    return float(result["events_per_second"])


def measure_original_analyze(redis_url: str, seconds: float, amqp_url: str | None = None) -> float:
    """Return how many events a second one of the original's analyzer processes gets through.

    It writes its keys into the Redis at *redis_url* and removes none. With *amqp_url* it consumes from that broker;
    without, messages are handed to it from memory, which is in its favour. Raises OriginalUnavailableError.
    """
    arguments = {"redis_url": redis_url, "seconds": _bounded(seconds), "amqp_url": amqp_url}
    result = run_in_original(_HERE / "analyze.py", arguments, seconds=seconds)
    return float(result["events_per_second"])
