import json
from typing import Any

import pytest
from rich.console import Console

from scanplane.cli.tables import board_table, format_value, signal_line
from scanplane.cli.watch import DEFAULT_TOPICS, DEFAULT_URL, WatchSettings, split_arguments, stream_url
from scanplane.cli.watch_state import WatchError, WatchState
from scanplane.gateway.freshness import freshness_of
from scanplane.gateway.merge import merge_parts
from scanplane.gateway.protocol import TopicMessage, encode_frame
from scanplane.marketdata.results import Value
from support.gateway import TICK_NS, part_of, signal_of


def message_of(kind: str, topic: str, data: Any) -> dict[str, Any]:
    """A message as it comes out of the socket."""
    fresh = freshness_of(tick_ns=TICK_NS, received_ns=0, evaluated_ns=0, now_ns=TICK_NS, data_label="replay")
    frame = encode_frame(TopicMessage(type=kind, topic=topic, sequence=1, freshness=fresh, data=data))
    found: dict[str, Any] = json.loads(frame[frame.index(b"{") :])
    return found


def text_of(state: WatchState, rows: int = 15) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115  # rich wants a file
    console.print(state.render(rows))
    console.file.close()
    return console.export_text()


@pytest.mark.parametrize(
    ("arguments", "url", "topics"),
    [
        ([], DEFAULT_URL, DEFAULT_TOPICS),
        (["localhost:9000"], "localhost:9000", DEFAULT_TOPICS),
        (["https://host/x", "boards/m/*"], "https://host/x", ("boards/m/*",)),
        (["boards/m/*", "status/*"], DEFAULT_URL, ("boards/m/*", "status/*")),
        (["*"], DEFAULT_URL, ("*",)),
    ],
)
def test_the_first_argument_is_the_url_if_it_is_one(arguments: list[str], url: str, topics: tuple[str, ...]) -> None:
    assert split_arguments(arguments, {}) == (url, topics)


def test_the_url_can_come_from_the_environment() -> None:
    assert split_arguments(["boards/*"], {"SCANPLANE_URL": "http://there"}) == ("http://there", ("boards/*",))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:8080", "ws://localhost:8080/v1/stream"),
        ("https://host/base/", "wss://host/base/v1/stream"),
        ("[::1]:8080", "ws://[::1]:8080/v1/stream"),
        ("ws://host/v1/stream", "ws://host/v1/stream"),
    ],
)
def test_the_stream_is_found_from_what_people_write(text: str, url: str) -> None:
    assert stream_url(text) == url


@pytest.mark.parametrize(
    "text", ["ftp://host", "127.0.0.1:80800", "host:port", "http://[::1", "http://", "http://:8080", "a..b", "ä" * 64]
)
def test_what_is_no_url_is_bad_input(text: str) -> None:
    with pytest.raises(WatchError, match="is no gateway's URL") as caught:
        stream_url(text)
    assert caught.value.code == 2


def test_settings_do_not_show_their_token() -> None:
    assert "hush" not in repr(WatchSettings(url="u", topics=("*",), token="hush"))


def test_boards_and_signals_are_drawn_and_the_rest_of_the_rows_left_out() -> None:
    state = WatchState(["*"])
    board = merge_parts([part_of(rows=[(f"S{number}", 9.0 - number) for number in range(9)])], 1)
    state.take(message_of("snapshot", "boards/us-stocks/gappers", board))
    state.take(message_of("signal", "signals/us-stocks/gappers", signal_of(1, symbol="TSLA")))
    text = text_of(state, rows=3)
    assert "us-stocks/gappers" in text
    assert "gap %" in text
    assert "+9.00 %" in text
    assert "TSLA" in text
    assert "S2" in text
    assert "S3" not in text
    assert "replay" in text


def test_a_signal_that_comes_twice_is_shown_once() -> None:
    state = WatchState(["*"])
    second = signal_of(2)
    state.take(message_of("snapshot", "signals/m/s", [signal_of(1), second]))
    state.take(message_of("signal", "signals/m/s", second))
    assert len(state.signals) == 2


def test_a_signal_of_a_recording_that_is_played_again_is_shown_again() -> None:
    state = WatchState(["*"])
    for _ in range(2):
        state.take(message_of("signal", "signals/m/s", signal_of(1)))
    assert len(state.signals) == 2


def test_once_is_done_when_every_matching_topic_has_its_snapshot() -> None:
    state = WatchState(["boards/*", "quotes/m/A"])
    assert state.missing is None
    state.take({"type": "subscribed", "topics": ["boards/m/a"], "hints": []})
    assert state.missing == {"boards/m/a", "quotes/m/A"}
    state.take(message_of("snapshot", "quotes/m/A", {"market": "m", "symbol": "A", "tickNs": 1, "values": {}}))
    state.take(message_of("snapshot", "boards/m/a", merge_parts([part_of()], 1)))
    assert state.missing == set()


def test_a_removed_board_is_not_shown_any_more() -> None:
    state = WatchState(["*"])
    state.take(message_of("snapshot", "boards/m/a", merge_parts([part_of()], 1)))
    state.take({"type": "removed", "topic": "boards/m/a"})
    assert not state.boards


def test_an_error_of_the_gateway_is_bad_input() -> None:
    with pytest.raises(WatchError, match="is no topic") as caught:
        WatchState(["x"]).take({"type": "error", "id": 1, "message": "'x' is no topic"})
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("price", 12.345, "12.35"),
        ("price", 0.12345, "0.1235"),
        ("gap_percent", 4.2, "+4.20 %"),
        ("gap_percent", -4.2, "-4.20 %"),
        ("spread_percent", 4.2, "4.20 %"),
        ("volume", 950.0, "950"),
        ("volume", 12_345_678.0, "12.35M"),
        ("dollar_volume", 1.5e12, "$1.50T"),
        ("relative_volume", 5.333, "5.33x"),
        ("minutes_since_open", 37.0, "37 min"),
        ("price", None, "-"),
        ("new_high_of_day", True, "yes"),
        ("unknown_feature", 2.5, "2.50"),
        ("unknown_feature", 2, "2"),
    ],
)
def test_numbers_are_shown_in_their_unit(name: str, value: Value, text: str) -> None:
    assert format_value(name, value) == text


def test_an_incomplete_board_says_so() -> None:
    board = message_of("snapshot", "boards/m/a", merge_parts([part_of(partition="0-of-2")], 2))["data"]
    assert "1 of 2 partitions" in str(board_table(board).caption)


def test_a_signal_is_one_line() -> None:
    line = signal_line(message_of("signal", "signals/m/a", signal_of(1))["data"])
    assert "AAPL" in line
    assert "gap_percent 5.1 >= 4" in line
    assert "\n" not in line
