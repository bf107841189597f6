"""The decoder of Massive's frames: every field and unit, and what happens to what is wrong."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanplane.feeds.interface import Decoded, RejectionReason
from scanplane.feeds.massive import conversion
from scanplane.feeds.massive.decoder import MassiveDecoder
from scanplane.feeds.massive.messages import MARKET_MESSAGES, StatusMessage, TradeMessage
from scanplane.marketdata.batches import decode_events, encode_events
from scanplane.marketdata.channels import Channel
from scanplane.marketdata.events import (
    Bar,
    FairValue,
    Imbalance,
    IndexValue,
    LimitBand,
    Quote,
    Trade,
    event_type_of,
)

MS = 1_700_000_000_000
NS = MS * 1_000_000

TRADE = {"ev": "T", "sym": "AAPL", "t": MS, "p": 190.5, "s": 100, "c": [12, 37], "x": 4, "q": 7, "i": "52", "z": 3}
BAR = {
    "ev": "A", "sym": "AAPL", "s": MS, "e": MS + 1000, "o": 1.0, "h": 4.0, "l": 0.5, "c": 2.0, "v": 300,
    "vw": 1.5, "av": 9000, "op": 1.25, "a": 1.75, "z": 60, "otc": True,
}  # fmt: skip
NAN = math.nan


def decode(*elements: dict[str, Any] | str) -> Decoded:
    texts = [element if isinstance(element, str) else json.dumps(element) for element in elements]
    return MassiveDecoder().decode(f"[{','.join(texts)}]".encode())


def only_event(element: dict[str, Any]) -> Any:
    decoded = decode(element)
    assert decoded.rejected == {}
    ((_, events),) = decoded.runs
    (event,) = events
    return event


def changed(element: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in {**element, **fields}.items() if value is not ...}


@pytest.mark.parametrize(
    ("element", "channel", "event"),
    [
        (TRADE, Channel.TRADES, Trade("AAPL", NS, 190.5, 100.0, (12, 37), 4, 7)),
        (
            {"ev": "Q", "sym": "AAPL", "t": MS, "bp": 190.0, "bs": 200, "bx": 4, "ap": 190.5, "as": 300, "ax": 7,
             "c": 1, "i": [604], "z": 3, "q": 9},
            Channel.QUOTES,
            Quote("AAPL", NS, 190.0, 200.0, 190.5, 300.0, 9),
        ),
        (
            BAR,
            Channel.SECOND_AGGREGATES,
            Bar("AAPL", NS + 10**9, NS, 1.0, 4.0, 0.5, 2.0, 300.0, 1.5, 9000.0, 1.25, 1.75),
        ),
        (
            {**BAR, "ev": "AM", "e": MS + 60_000},
            Channel.MINUTE_AGGREGATES,
            Bar("AAPL", NS + 60 * 10**9, NS, 1.0, 4.0, 0.5, 2.0, 300.0, 1.5, 9000.0, 1.25, 1.75),
        ),
        (
            {"ev": "LULD", "T": "MSFT", "h": 218.2, "l": 197.4, "i": [17], "z": 3, "t": MS * 1000, "q": 5},
            Channel.LIMIT_UP_LIMIT_DOWN,
            LimitBand("MSFT", NS, 218.2, 197.4, (17,), 5),
        ),
        (
            {"ev": "NOI", "T": "NTEST.Q", "t": NS + 123, "at": 930, "a": "M", "i": 44, "x": 10, "o": -480, "p": 440,
             "b": 25.03},
            Channel.NET_ORDER_IMBALANCE,
            Imbalance("NTEST.Q", NS + 123, "M", 440.0, -480.0, 25.03),
        ),
        (
            {"ev": "FMV", "fmv": 189.22, "sym": "AAPL", "t": NS},
            Channel.FAIR_MARKET_VALUE,
            FairValue("AAPL", NS, 189.22),
        ),
        (
            {"ev": "XT", "pair": "BTC-USD", "p": 33021.9, "t": MS, "s": 0.01616617, "c": [2], "i": 1, "x": 1, "r": MS},
            Channel.TRADES,
            Trade("X:BTC-USD", NS, 33021.9, 0.01616617, (2,), 1),
        ),
        (
            {"ev": "XQ", "pair": "BTC-USD", "bp": 33052.7, "bs": 0.48, "ap": 33073.1, "as": 0.6, "t": MS, "x": 6,
             "r": MS},
            Channel.QUOTES,
            Quote("X:BTC-USD", NS, 33052.7, 0.48, 33073.1, 0.6),
        ),
        (
            {"ev": "C", "p": "USD/CNH", "x": 44, "a": 6.83, "b": 6.82, "t": MS},
            Channel.QUOTES,
            Quote("C:USD-CNH", NS, 6.82, 0.0, 6.83, 0.0),
        ),
        ({"ev": "V", "val": 3988.5, "T": "I:SPX", "t": MS}, Channel.INDEX_VALUES, IndexValue("I:SPX", NS, 3988.5)),
    ],
)  # fmt: skip
def test_every_message_becomes_the_event_of_its_channel(
    element: dict[str, Any], channel: Channel, event: object
) -> None:
    decoded = decode(element)
    assert decoded == Decoded(((channel, [event]),))  # type: ignore[arg-type]  # the event's type is the table's
    assert type(event) is event_type_of(channel)


@pytest.mark.parametrize(
    ("tag", "symbol", "channel", "seconds", "vwap"),
    [
        ("XA", "BTC-USD", Channel.MINUTE_AGGREGATES, 60, 1.5),
        ("XAS", "BTC-USD", Channel.SECOND_AGGREGATES, 1, 1.5),
        ("CA", "USD/CNH", Channel.MINUTE_AGGREGATES, 60, NAN),
        ("CAS", "USD-CNH", Channel.SECOND_AGGREGATES, 1, NAN),
    ],
)
def test_the_bare_name_of_a_pair_bar_is_the_minute_and_s_the_second(
    tag: str, symbol: str, channel: Channel, seconds: int, vwap: float
) -> None:
    element = changed(BAR, ev=tag, sym=..., pair=symbol, e=MS + seconds * 1000)
    ((found, (bar,)),) = decode(element).runs
    assert found is channel
    assert isinstance(bar, Bar)
    assert bar.symbol in {"X:BTC-USD", "C:USD-CNH"}
    assert (bar.exchange_ns, bar.start_ns, bar.close, bar.volume) == (NS + seconds * 10**9, NS, 2.0, 300.0)
    assert bar.vwap == pytest.approx(vwap, nan_ok=True)
    assert all(math.isnan(value) for value in (bar.accumulated_volume, bar.official_open, bar.session_vwap))


def test_an_index_bar_has_no_volume_and_says_so() -> None:
    bar = only_event(changed(BAR, sym="I:SPX", v=..., vw=..., av=..., a=..., z=..., otc=...))
    assert (bar.symbol, bar.volume, bar.official_open) == ("I:SPX", 0.0, 1.25)
    assert math.isnan(bar.accumulated_volume)
    assert math.isnan(bar.vwap)
    assert math.isnan(bar.session_vwap)


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        (MS, NS),
        (MS * 1_000 + 7, NS + 7_000),
        (NS + 7, NS + 7),
        (788_918_400_000_000, 788_918_400_000 * 10**6),
        (631_152_000_000, 631_152_000_000 * 10**6),
        (7_258_118_400_000, 7_258_118_400_000 * 10**6),
        (7_258_118_400_000_000_000, 7_258_118_400_000 * 10**6),
    ],
)
@pytest.mark.parametrize("tag", ["T", "FMV", "LULD"])
def test_the_unit_of_a_time_is_told_by_its_magnitude_in_every_channel(written: int, nanoseconds: int, tag: str) -> None:
    rest = {
        "T": {"sym": "A", "p": 1.0, "s": 1},
        "FMV": {"sym": "A", "fmv": 1.0},
        "LULD": {"T": "A", "h": 2.0, "l": 1.0},
    }[tag]
    assert only_event({"ev": tag, "t": written, **rest}).exchange_ns == nanoseconds


@pytest.mark.parametrize(
    "time", [0, -1, 1_700_000_000, 631_151_999_999, 7_258_118_400_001, 99_999_999_999_999, 2**63, 10**30]
)
def test_a_time_outside_1990_to_2200_is_refused_whatever_its_unit(time: int) -> None:
    assert decode(changed(TRADE, t=time)).rejected == {RejectionReason.BAD_TIMESTAMP: 1}


def test_a_bar_that_ends_before_it_starts_is_refused() -> None:
    assert decode(changed(BAR, e=MS - 1)).rejected == {RejectionReason.BAD_TIMESTAMP: 1}
    assert decode(changed(BAR, ev="XA", pair="BTC-USD", e=MS - 1)).rejected == {RejectionReason.BAD_TIMESTAMP: 1}


@pytest.mark.parametrize("units", [(1_000, 1_000_000), (1, 1_000_000)])
def test_a_bar_may_give_start_and_end_in_different_units(units: tuple[int, int]) -> None:
    bar = only_event(changed(BAR, s=MS * units[0], e=(MS + 1000) * units[1]))
    assert (bar.start_ns, bar.exchange_ns) == (NS, NS + 10**9)


def test_fractions_of_a_share_come_from_the_decimal_texts() -> None:
    assert only_event(changed(TRADE, s=0, ds="0.123456")).size == 0.123456
    assert only_event(changed(TRADE, s=..., ds="2.5")).size == 2.5
    bar = only_event(changed(BAR, dv="300.25", dav="9000.75"))
    assert (bar.volume, bar.accumulated_volume) == (300.25, 9000.75)
    assert only_event(changed(BAR, av=..., dav="9000.75")).accumulated_volume == 9000.75


@pytest.mark.parametrize(
    ("decimal", "reason"),
    [
        ("many", RejectionReason.WRONG_TYPE),
        ("nan", RejectionReason.NOT_FINITE),
        ("inf", RejectionReason.NOT_FINITE),
        ("1e999", RejectionReason.NOT_FINITE),
        ("-1", RejectionReason.NEGATIVE),
        ("1e30", RejectionReason.TOO_LARGE),
        ("1" * 41, RejectionReason.TOO_LARGE),
    ],
)
def test_a_decimal_text_that_is_no_size_is_refused(decimal: str, reason: RejectionReason) -> None:
    assert decode(changed(TRADE, ds=decimal)).rejected == {reason: 1}
    assert decode(changed(BAR, dv=decimal)).rejected == {reason: 1}
    assert decode(changed(BAR, dav=decimal)).rejected == {reason: 1}


def test_a_side_without_a_price_is_unknown_and_has_no_size() -> None:
    quote = only_event({"ev": "Q", "sym": "A", "t": MS, "bp": 0, "bs": 300, "ap": 1.5, "as": 2})
    assert math.isnan(quote.bid_price)
    assert (quote.bid_size, quote.ask_price, quote.ask_size) == (0.0, 1.5, 2.0)
    assert math.isnan(only_event({"ev": "Q", "sym": "A", "t": MS, "bp": 1.0, "bs": 1}).ask_price)


def test_null_counts_as_left_out() -> None:
    assert only_event(changed(TRADE, c=None, x=None)) == Trade("AAPL", NS, 190.5, 100.0, (), 0, 7)
    assert decode(changed(TRADE, p=None)).rejected == {RejectionReason.MISSING_FIELD: 1}


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (changed(TRADE, p=...), RejectionReason.MISSING_FIELD),
        (changed(TRADE, s=...), RejectionReason.MISSING_FIELD),
        (changed(TRADE, ev=...), RejectionReason.MISSING_FIELD),
        (changed(TRADE, ev=5), RejectionReason.WRONG_TYPE),
        (changed(TRADE, ev="ZZ"), RejectionReason.UNKNOWN_EVENT),
        (changed(TRADE, ev="XL2"), RejectionReason.UNKNOWN_EVENT),
        (changed(TRADE, p="190"), RejectionReason.WRONG_TYPE),
        (changed(TRADE, p=True), RejectionReason.WRONG_TYPE),
        (changed(TRADE, p={}), RejectionReason.WRONG_TYPE),
        (changed(TRADE, p=-1.0), RejectionReason.NEGATIVE),
        (changed(TRADE, p=0), RejectionReason.ZERO_PRICE),
        (changed(TRADE, p=1e19), RejectionReason.TOO_LARGE),
        (changed(TRADE, p=10**400), RejectionReason.TOO_LARGE),
        (changed(TRADE, s=-5), RejectionReason.NEGATIVE),
        (changed(TRADE, q=-5), RejectionReason.NEGATIVE),
        (changed(TRADE, q=2**64), RejectionReason.TOO_LARGE),
        (changed(TRADE, q=1.5), RejectionReason.WRONG_TYPE),
        (changed(TRADE, c=[10**30]), RejectionReason.TOO_LARGE),
        (changed(TRADE, c=[1] * 65), RejectionReason.TOO_LARGE),
        (changed(TRADE, c=["x"]), RejectionReason.WRONG_TYPE),
        (changed(TRADE, c=7), RejectionReason.WRONG_TYPE),
        (changed(TRADE, t=1.5e12), RejectionReason.WRONG_TYPE),
        (changed(TRADE, t="now"), RejectionReason.WRONG_TYPE),
        (changed(TRADE, sym=""), RejectionReason.BAD_SYMBOL),
        (changed(TRADE, sym="A" * 65), RejectionReason.BAD_SYMBOL),
        (changed(TRADE, sym="A B"), RejectionReason.BAD_SYMBOL),
        (changed(TRADE, sym="A\n"), RejectionReason.BAD_SYMBOL),
        (changed(TRADE, sym="ÄPFEL"), RejectionReason.BAD_SYMBOL),
        (changed(TRADE, sym=5), RejectionReason.WRONG_TYPE),
        (changed(BAR, l=-0.5), RejectionReason.NEGATIVE),
        (changed(BAR, c=0), RejectionReason.ZERO_PRICE),
        (changed(BAR, c=...), RejectionReason.MISSING_FIELD),
        ("null", RejectionReason.WRONG_TYPE),
        ("[]", RejectionReason.WRONG_TYPE),
        ("7", RejectionReason.WRONG_TYPE),
        (json.dumps(TRADE).replace("190.5", "1e999"), RejectionReason.NOT_FINITE),
        (json.dumps(TRADE).replace("190.5", "NaN"), RejectionReason.NOT_FINITE),
        (json.dumps(TRADE).replace("190.5", "-Infinity"), RejectionReason.NOT_FINITE),
        (json.dumps(TRADE).replace("190.5", "1" * 5000), RejectionReason.NOT_FINITE),
    ],
)
def test_only_the_bad_element_of_a_frame_is_refused_and_its_reason_counted(
    element: dict[str, Any] | str, reason: RejectionReason
) -> None:
    decoded = decode(TRADE, element, BAR)
    assert [(channel, len(events)) for channel, events in decoded.runs] == [
        (Channel.TRADES, 1),
        (Channel.SECOND_AGGREGATES, 1),
    ]
    if element == json.dumps(TRADE).replace("190.5", "1" * 5000):
        reason = RejectionReason.MALFORMED_FRAME  # Python refuses to read such an integer at all
    assert decoded.rejected == {reason: 1}


def test_invalid_utf_8_costs_its_own_element_only() -> None:
    bad = json.dumps(TRADE).encode().replace(b"AAPL", b"AA\xff")
    decoded = MassiveDecoder().decode(b"[" + json.dumps(TRADE).encode() + b"," + bad + b"]")
    assert decoded.rejected == {RejectionReason.BAD_SYMBOL: 1}
    assert [len(events) for _, events in decoded.runs] == [1]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b" ",
        b"null",
        b"17",
        b'"T"',
        b"garbage",
        b"\xff\xfe\x00",
        b"[",
        b"{",
        json.dumps([TRADE]).encode()[:-1],
        json.dumps([TRADE]).encode()[:40],
        json.dumps([TRADE]).encode() + b"x",
        b"[" * 200_000,
        b"[" + b"[" * 200_000 + b"]" * 200_000 + b"]",
        b'[{"ev":"T","zz":' + b"[" * 200_000 + b"]" * 200_000 + b"}]",
        b"\xef\xbb\xbf[]",
    ],
)
def test_a_frame_that_is_no_array_of_messages_is_one_malformed_frame(frame: bytes) -> None:
    assert MassiveDecoder().decode(frame) == Decoded(rejected={RejectionReason.MALFORMED_FRAME: 1})


def test_a_single_message_without_its_array_is_taken() -> None:
    decoded = MassiveDecoder().decode(json.dumps(TRADE).encode())
    assert [len(events) for _, events in decoded.runs] == [1]
    assert decoded.rejected == {}


def test_an_empty_frame_holds_nothing_and_is_not_wrong() -> None:
    assert MassiveDecoder().decode(b"[]") == Decoded()


def test_a_frame_beyond_the_limit_is_refused_unread() -> None:
    frame = json.dumps([TRADE]).encode()
    assert MassiveDecoder(max_frame_bytes=len(frame)).decode(frame).rejected == {}
    assert MassiveDecoder(max_frame_bytes=len(frame) - 1).decode(frame).rejected == {RejectionReason.TOO_LARGE: 1}


def test_of_duplicate_keys_the_last_counts() -> None:
    doubled = json.dumps(TRADE).replace('"sym": "AAPL"', '"sym": "AAPL", "sym": "MSFT"')
    assert [event.symbol for _, events in decode(doubled).runs for event in events] == ["MSFT"]
    without_price = json.dumps(changed(TRADE, p=...)).replace('"sym": "AAPL"', '"sym": "AAPL", "sym": "MSFT"')
    assert decode(without_price).rejected == {RejectionReason.MISSING_FIELD: 1}


@pytest.mark.parametrize("spoiled", [False, True])
def test_runs_follow_the_order_of_the_frame_and_status_messages_do_not_count(*, spoiled: bool) -> None:
    status = {"ev": "status", "status": "success", "message": "subscribed to: T.*"}
    elements: list[dict[str, Any]] = [TRADE, changed(TRADE, q=8), BAR, status, changed(TRADE, q=9)]
    if spoiled:
        elements.insert(1, {"ev": "ZZ"})
    decoded = decode(*elements)
    assert [(channel, len(events)) for channel, events in decoded.runs] == [
        (Channel.TRADES, 2),
        (Channel.SECOND_AGGREGATES, 1),
        (Channel.TRADES, 1),
    ]
    assert decoded.rejected == ({RejectionReason.UNKNOWN_EVENT: 1} if spoiled else {})


def test_a_frame_of_status_messages_holds_no_events() -> None:
    assert MassiveDecoder().decode(msgspec.json.encode([StatusMessage(status="connected")])) == Decoded()


def test_every_market_message_has_a_conversion_and_every_channel_a_message() -> None:
    assert set(conversion.CONVERSIONS) == set(MARKET_MESSAGES)
    assert {channel for channel, _ in conversion.CONVERSIONS.values()} == set(Channel)


def test_what_the_whole_message_encodes_is_what_its_read_fields_decode() -> None:
    message = TradeMessage(symbol="A", time=MS, price=2.0, size=3.0, sequence=4, trade_id="9", tape=1)
    assert only_event(msgspec.json.decode(msgspec.json.encode(message))) == Trade("A", NS, 2.0, 3.0, (), 0, 4)


def test_the_memory_of_symbols_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    names = conversion.SymbolNames()
    monkeypatch.setattr(conversion.SymbolNames, "LIMIT", 3)
    assert [names[symbol] for symbol in "ABCDE"] == list("ABCDE")
    assert len(names) <= 3


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
wire_names = st.sampled_from(["ev", "sym", "pair", "T", "t", "p", "s", "e", "o", "h", "l", "c", "v", "ds", "av", "q"])
tags = st.sampled_from([str(message.__struct_config__.tag) for message in MARKET_MESSAGES])
elements = st.one_of(
    json_values,
    st.builds(
        lambda base, fields: {**base, **fields},
        st.sampled_from([TRADE, BAR]),
        st.dictionaries(wire_names, json_values, max_size=3),
    ),
    st.builds(lambda tag, fields: {**fields, "ev": tag}, tags, st.dictionaries(wire_names, json_values, max_size=12)),
)


@given(st.lists(elements, max_size=8))
@settings(deadline=None)
def test_whatever_comes_good_events_pass_and_all_others_are_counted(found: list[Any]) -> None:
    decoded = MassiveDecoder().decode(json.dumps([TRADE, *found]).encode())
    events = sum(len(events) for _, events in decoded.runs)
    statuses = sum(isinstance(e, dict) and e.get("ev") == "status" for e in found)
    assert events >= 1
    assert events + sum(decoded.rejected.values()) + statuses == len(found) + 1
    for channel, run in decoded.runs:
        assert decode_events(channel, encode_events(run)) == run or any("nan" in repr(event) for event in run)
        for event in run:
            numbers = [value for value in msgspec.to_builtins(event) if isinstance(value, float)]
            assert not any(math.isinf(number) for number in numbers)
            assert isinstance(event, Imbalance) or all(number >= 0 or math.isnan(number) for number in numbers)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_decoder_raise(frame: bytes) -> None:
    MassiveDecoder().decode(frame)
    MassiveDecoder().decode(b"[" + frame + b"]")
