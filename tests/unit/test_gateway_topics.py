import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanplane.gateway.topics import (
    TopicError,
    board_topic,
    parse_pattern,
    quote_topic,
    signals_topic,
    split_quote_topic,
    status_topic,
)

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
TOPICS = st.one_of(
    st.builds(board_topic, NAMES, NAMES), st.builds(signals_topic, NAMES, NAMES), st.builds(status_topic, NAMES)
)


@given(TOPICS)
def test_a_topic_matches_itself_and_the_pattern_of_everything(topic: str) -> None:
    assert parse_pattern(topic).matches(topic)
    assert parse_pattern(topic).exact
    assert parse_pattern("*").matches(topic)


@given(TOPICS, st.data())
def test_a_topic_matches_with_any_of_its_segments_replaced(topic: str, data: st.DataObject) -> None:
    segments = topic.split("/")
    replaced = data.draw(st.sets(st.integers(0, len(segments) - 1), min_size=1))
    pattern = "/".join("*" if position in replaced else segment for position, segment in enumerate(segments))
    assert parse_pattern(pattern).matches(topic)


@given(TOPICS, TOPICS)
def test_an_exact_topic_matches_no_other(topic: str, other: str) -> None:
    assert parse_pattern(topic).matches(other) == (topic == other)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("boards/*", "boards/us-stocks/gappers", True),
        ("boards/us-stocks/*", "boards/us-stocks/gappers", True),
        ("boards/us-stocks/*", "boards/us-stocks-2/gappers", False),
        ("boards/us-stocks/*", "signals/us-stocks/gappers", False),
        ("boards/*/gappers", "boards/crypto/gappers", True),
        ("boards/*/gappers", "boards/crypto/losers", False),
        ("*/us-stocks/*", "signals/us-stocks/gappers", True),
        ("*/us-stocks/*", "status/us-stocks", False),
        ("status/*", "status/analyzer-us-stocks-0", True),
        ("*/*", "status/gateway", True),
        ("*/*", "boards/us-stocks/gappers", True),
        ("*/*/*", "status/gateway", False),
        ("*", "quotes/us-stocks/AAPL", False),
        ("quotes/us-stocks/AAPL", "quotes/us-stocks/AAPL", True),
    ],
)
def test_patterns_match_what_they_name(*, pattern: str, topic: str, expected: bool) -> None:
    assert parse_pattern(pattern).matches(topic) is expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "boards/us-stocks/"),
        ("board/us-stocks/x", "begins with boards, signals, quotes or status"),
        ("boards/us-*/x", "a \\* stands for a whole segment"),
        ("boards//x", "empty segment"),
        ("boards/us-stocks", "write boards/<market>/<scanner>, or boards/\\* for all"),
        ("boards/a/b/c", "is no topic"),
        ("status/a/b", "write status/<instance>"),
        ("*/a/b/c", "more than 3 segments"),
        ("quotes/us-stocks/*", "quotes are asked for by symbol"),
        ("quotes/us-stocks", "write quotes/us-stocks/AAPL"),
        ("boards/us-stocks/" + "x" * 300, "1 to 256"),
        ("boards/us\nstocks/x", "printable"),
    ],
)
def test_what_can_never_match_is_refused_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(TopicError, match=hint):
        parse_pattern(text)


@pytest.mark.parametrize("symbol", ["AAPL", "BRK.A", "O:SPY251219C00650000", "X:BTC/USD"])
def test_a_quote_of_any_symbol_can_be_named(symbol: str) -> None:
    topic = quote_topic("us-stocks", symbol)
    assert parse_pattern(topic).matches(topic)
    assert split_quote_topic(topic) == ("us-stocks", symbol)
