"""What travels with every answer: freshness, CSV, cursors, tokens, messages."""

import base64
import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanplane.gateway.cursors import CursorError, decode_cursor, encode_cursor, parse_since
from scanplane.gateway.export import board_csv, file_name, quotes_csv, signals_csv
from scanplane.gateway.freshness import Freshness, freshness_of, iso_time
from scanplane.gateway.merge import merge_parts
from scanplane.gateway.protocol import Auth, MessageError, Ping, Subscribe, decode_client_message
from scanplane.gateway.tokens import TokenError, Tokens, bearer_of_header, bearer_of_subprotocols
from scanplane.marketdata.results import QuoteRow
from support.gateway import SECOND_NS, TICK_NS, part_of, signal_of

MINUTE_NS = 60 * SECOND_NS


def judged(*, behind_ns: int = 0, silent_ns: int = 0, label: str = "", **said: Any) -> Freshness:
    """Judge an answer that was received *behind_ns* after its tick, *silent_ns* ago."""
    received_ns = TICK_NS + behind_ns
    return freshness_of(
        tick_ns=TICK_NS,
        received_ns=received_ns,
        evaluated_ns=received_ns,
        now_ns=received_ns + silent_ns,
        data_label=label,
        **said,
    )


def test_a_live_market_has_an_age_and_no_label() -> None:
    fresh = judged(behind_ns=20_000_000, silent_ns=5_000_000)
    assert (fresh.delay, fresh.live, fresh.age_seconds, fresh.lag_milliseconds) == ("", True, 0.025, 5.0)
    assert not fresh.stale


def test_a_delayed_feed_is_seen_by_the_distance_of_its_ticks() -> None:
    fresh = judged(behind_ns=15 * MINUTE_NS + SECOND_NS)
    assert (fresh.delay, fresh.live) == ("15 min delayed", True)


def test_a_recording_says_so_and_has_no_age() -> None:
    fresh = judged(behind_ns=90 * 24 * 60 * MINUTE_NS)
    assert (fresh.delay, fresh.live, fresh.age_seconds) == ("recorded session of 2026-01-05", False, None)


def test_the_label_of_the_data_is_kept_and_its_time_tells_whether_it_is_live() -> None:
    assert (judged(label="synthetic").delay, judged(label="synthetic").live) == ("synthetic", True)
    old = judged(label="2014-03-26, path made up", behind_ns=90 * 24 * 60 * MINUTE_NS)
    assert (old.delay, old.live, old.age_seconds) == ("2014-03-26, path made up", False, None)


@pytest.mark.parametrize("seconds", [5, 15, 60])
def test_what_was_not_evaluated_for_as_long_as_its_market_says_is_stale(seconds: int) -> None:
    limit_ns = seconds * SECOND_NS
    fresh, stale = (judged(silent_ns=limit_ns + more, stale_after_ns=limit_ns) for more in (0, SECOND_NS))
    assert (fresh.stale, fresh.stale_after_seconds) == (False, seconds)
    assert (stale.stale, stale.stale_reason) == (True, f"nothing was evaluated for {seconds + 1} s")


def test_a_silent_feed_and_a_lost_cache_make_stale_and_the_nearest_cause_is_told() -> None:
    silence, lost = "Feed 'massive' has sent nothing for 20 s", "the cache is lost: refused"
    assert judged(silence=silence).stale_reason == silence
    assert judged(silence=silence, silent_ns=16 * SECOND_NS).stale_reason == "nothing was evaluated for 16 s"
    assert judged(silence=silence, silent_ns=16 * SECOND_NS, problem=lost).stale_reason == lost


def test_what_happened_once_does_not_grow_stale() -> None:
    once = judged(silent_ns=3600 * SECOND_NS, silence="Feed 'massive' has sent nothing for 20 s", ages=False)
    assert (once.stale, once.stale_after_seconds) == (False, None)


def test_times_are_written_with_their_milliseconds() -> None:
    assert iso_time(TICK_NS + 250_999_999) == "2026-01-05T14:00:00.250Z"
    assert iso_time(0) == ""


DANGEROUS = ["=1+1", "+A", "-A", "@SUM(A1)", "\tA", "\rA"]


@pytest.mark.parametrize("symbol", DANGEROUS)
def test_no_cell_can_become_a_formula(symbol: str) -> None:
    board = merge_parts([part_of(rows=[(symbol, -1.5)])], 1)
    quote = QuoteRow("m", symbol, TICK_NS, {"price": 1.0, "session": symbol})
    for text in (board_csv(board, judged()), signals_csv([signal_of(1, symbol=symbol)]), quotes_csv([quote])):
        cells = next(iter(list(csv.DictReader(io.StringIO(text, newline=""))))).values()
        assert f"'{symbol}" in cells
        assert not [cell for cell in cells if cell.startswith(tuple("=+@\t\r"))]


def test_a_board_in_csv_has_its_columns_and_its_numbers_as_they_are() -> None:
    board = merge_parts([part_of(rows=[("A,B", 5.25), ("C", -1.0)])], 1)
    rows = list(csv.DictReader(io.StringIO(board_csv(board, judged(label="replay")))))
    assert rows[0] == {
        "position": "1",
        "symbol": "A,B",
        "rank_value": "5.25",
        "price": "10.0",
        "gap_percent": "5.25",
        "tick_time": "2026-01-05T14:00:00.000Z",
        "delay": "replay",
    }
    assert rows[1]["rank_value"] == "-1.0"


def test_quotes_in_csv_have_every_known_feature_as_a_column() -> None:
    quotes = [QuoteRow("m", "A", TICK_NS, {"price": 1.0}), QuoteRow("m", "B", TICK_NS, {"volume": 5, "halted": True})]
    rows = list(csv.DictReader(io.StringIO(quotes_csv(quotes))))
    assert (rows[0]["price"], rows[0]["volume"], rows[1]["volume"], rows[1]["halted"]) == ("1.0", "", "5", "true")


def test_a_file_name_is_free_of_what_would_break_a_header_or_leave_the_folder() -> None:
    assert file_name("us-stocks", '../"x\r\ny', "") == "us-stocks_..--x--y.csv"


POSITIONS = st.dictionaries(st.text(max_size=20), st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), max_size=5)


@given(POSITIONS)
def test_a_cursor_is_read_as_it_was_written(positions: dict[str, tuple[int, int]]) -> None:
    word = encode_cursor(positions)
    assert decode_cursor(word) == positions
    assert all(each.isalnum() or each in ".-_" for each in word)


@given(st.text(max_size=40))
def test_a_damaged_cursor_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(CursorError, match=r"^this cursor is damaged; take `next` [^\n]*$"):
        parse_since(f"c.!{text}")


@pytest.mark.parametrize("position", [(0, -1), (-1, 0), (0, 2**63), (2**64, 0)])
def test_a_cursor_of_what_no_stream_has_is_refused(position: tuple[int, int]) -> None:
    with pytest.raises(CursorError, match="this cursor is damaged"):
        decode_cursor(encode_cursor({"us-stocks:0-of-1": position}))


@pytest.mark.parametrize(
    "text", ["2026-01-05T14:00:00Z", "2026-01-05T09:00:00-05:00", str(TICK_NS), "2026-01-05T15:00:00 01:00"]
)
def test_a_time_is_read_in_every_spelling(text: str) -> None:
    assert parse_since(text) == TICK_NS


@pytest.mark.parametrize(
    ("text", "hint"),
    [("2026-01-05T14:00:00", "has no time zone"), ("yesterday", "neither"), ("1767621600", "nanoseconds")],
)
def test_a_time_that_could_mean_several_is_refused(text: str, hint: str) -> None:
    with pytest.raises(CursorError, match=hint):
        parse_since(text)


def test_a_token_names_its_client() -> None:
    tokens = Tokens({"alice": "first-token", "bob": "second-token"})
    assert tokens.name_of("second-token") == "bob"
    assert tokens.name_of("second-tokem") is None
    assert tokens.name_of("") is None
    assert tokens.name_of(None) is None


def test_without_tokens_everybody_may_read() -> None:
    assert Tokens(None).name_of(None) == ""


@pytest.mark.parametrize(("secret", "hint"), [({}, "holds no token"), ({"alice": " "}, "empty token for 'alice'")])
def test_a_secret_that_would_let_everybody_in_is_refused(secret: dict[str, str], hint: str) -> None:
    with pytest.raises(TokenError, match=hint):
        Tokens(secret)


def test_tokens_never_show_themselves() -> None:
    assert "first-token" not in repr(Tokens({"alice": "first-token"}))
    assert "first-token" not in repr(Auth(token="first-token"))


def test_a_token_is_found_in_a_header_and_among_subprotocols() -> None:
    assert bearer_of_header("Bearer abc") == bearer_of_header("bearer  abc ") == "abc"
    assert bearer_of_header("Basic abc") is None
    assert bearer_of_header(None) is None
    encoded = base64.urlsafe_b64encode("tök~en?".encode()).decode().rstrip("=")
    assert bearer_of_subprotocols(["scanplane.v1", f"bearer.{encoded}"]) == "tök~en?"
    assert bearer_of_subprotocols(["bearer.%%%", "x"]) is None


def test_messages_are_read() -> None:
    assert decode_client_message(b'{"action":"subscribe","topics":["*"],"id":"x"}') == Subscribe(["*"], "x")
    assert decode_client_message(b'{"action":"ping"}') == Ping()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b"subscribe", "this is no JSON"),
        (b"\xff\xfe", "this is no JSON"),
        (b'{"action":"subscrbe","topics":[]}', "Invalid value 'subscrbe'"),
        (b'{"action":"subscribe"}', "missing required field `topics`"),
        (b'{"action":"subscribe","topic":"*"}', "topic"),
        (b'{"action":"subscribe","topics":["' + b"x" * 300 + b'"]}', "at most 256"),
        (b"[]", "write for example"),
    ],
)
def test_what_can_not_be_read_is_answered_with_what_to_write(text: bytes, hint: str) -> None:
    with pytest.raises(MessageError, match=hint):
        decode_client_message(text)
