"""A feed that is silent in an open market is named, and only then."""

import pytest

from scanplane.analyzer.silence import FeedSilence
from scanplane.marketdata.channels import Channel
from scanplane.plan.configuration import Stream

SECOND_NS = 10**9
BEGIN_NS = 1_800_000_000 * SECOND_NS


def stream(feed: str, seconds: int) -> Stream:
    return Stream(feed=feed, channels=(Channel.TRADES,), stamps_ticks=feed == "a", stale_after_ns=seconds * SECOND_NS)


def at(seconds: float) -> int:
    return BEGIN_NS + int(seconds * SECOND_NS)


@pytest.fixture
def silence() -> FeedSilence:
    return FeedSilence([stream("a", 15), stream("b", 60), stream("c", 0)], BEGIN_NS)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, ""), (15, ""), (15.1, "Feed 'a' has sent nothing for 15 s"), (3600, "Feed 'a' has sent nothing for 3600 s")],
)
def test_a_feed_may_be_silent_for_as_long_as_it_says(silence: FeedSilence, seconds: float, expected: str) -> None:
    silence.hear("a", at(0))
    assert silence.judge(at(seconds), is_open=True) == expected


def test_each_feed_has_its_own_patience(silence: FeedSilence) -> None:
    silence.hear("a", at(50))
    assert silence.judge(at(60), is_open=True) == ""
    assert silence.judge(at(61), is_open=True) == "Feed 'b' has sent nothing for 61 s"
    silence.hear("b", at(61))
    assert silence.judge(at(62), is_open=True) == ""


def test_one_that_was_never_heard_counts_from_the_beginning(silence: FeedSilence) -> None:
    assert silence.judge(at(14), is_open=True) == ""
    assert silence.judge(at(16), is_open=True) == "Feed 'a' has sent nothing for 16 s"


def test_a_tick_that_tells_of_no_event_is_no_sign_of_life(silence: FeedSilence) -> None:
    silence.hear("a", 0)
    assert silence.judge(at(14), is_open=True) == ""
    silence.hear("a", at(0))
    assert silence.judge(at(16), is_open=True) != ""


def test_a_closed_market_may_be_silent_and_an_opening_begins_anew(silence: FeedSilence) -> None:
    silence.hear("a", at(0))
    assert silence.judge(at(3600), is_open=False) == ""
    assert silence.judge(at(3601), is_open=True) == ""
    assert silence.judge(at(3615), is_open=True) == ""
    assert silence.judge(at(3616), is_open=True) == "Feed 'a' has sent nothing for 16 s"


def test_what_feeds_nothing_is_not_waited_for() -> None:
    assert FeedSilence([stream("c", 0)], BEGIN_NS).judge(at(10**6), is_open=True) == ""
