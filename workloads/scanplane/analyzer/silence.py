"""Which feeds of an open market have been silent for too long: the listener ticks it on, so that its boards would look fresh.

Silence is counted by the host's clock, from a feed's newest event or from the market's opening, whatever came last. Pure.
"""

from collections.abc import Sequence

from scanplane.plan.configuration import Stream

__all__ = ["FeedSilence"]


class FeedSilence:
    """Judges one partition's feeds. One that was not heard yet counts from *now_ns*, when the partition was taken up."""

    def __init__(self, streams: Sequence[Stream], now_ns: int) -> None:
        self._bearable_ns = {stream.feed: stream.stale_after_ns for stream in streams if stream.stale_after_ns}
        self._heard_ns = dict.fromkeys(self._bearable_ns, now_ns)
        self._closed_ns = 0

    def hear(self, feed: str, received_ns: int) -> None:
        """Take notice of when the newest event of *feed* was received, as each of its batches says, ticks included."""
        if received_ns and feed in self._heard_ns:
            self._heard_ns[feed] = received_ns

    def judge(self, now_ns: int, *, is_open: bool) -> str:
        """Say at a tick which feed is silent and for how long; empty where none is, and while the market is closed."""
        if not is_open:
            self._closed_ns = now_ns
            return ""
        for feed, bearable_ns in self._bearable_ns.items():
            silent_ns = now_ns - max(self._heard_ns[feed], self._closed_ns)
            if silent_ns > bearable_ns:
                return f"Feed '{feed}' has sent nothing for {silent_ns // 10**9} s"
        return ""
