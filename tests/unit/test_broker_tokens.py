"""What the tokens of a baton say together."""

from hypothesis import given
from hypothesis import strategies as st

from scanplane.broker.rabbitmq.tokens import Token, decode_token, encode_token, is_abandoned, last_memo, next_generation

tokens = st.builds(Token, st.integers(0, 2**50), st.text(max_size=8), st.booleans(), st.binary(max_size=20))


@given(token=tokens)
def test_a_token_is_read_back_as_it_was(token: Token) -> None:
    assert decode_token(encode_token(token)) == token


@given(body=st.binary(max_size=40))
def test_any_other_message_is_no_token_and_no_error(body: bytes) -> None:
    decoded = decode_token(body)
    assert decoded is None or decode_token(encode_token(decoded)) == decoded


@given(seen=st.lists(tokens), now_ms=st.integers(0, 2**50))
def test_a_generation_is_above_all_that_were_seen_and_not_below_the_clock(seen: list[Token], now_ms: int) -> None:
    generation = next_generation(seen, now_ms)
    assert generation >= now_ms
    assert all(generation > token.generation for token in seen)


def test_a_baton_is_abandoned_when_its_last_holder_released_nothing() -> None:
    claim, release, seed = Token(2, "b"), Token(2, "c", released=True), Token(0, "d")
    assert is_abandoned([Token(1, "a", released=True), claim, seed])
    assert not is_abandoned([claim, release, seed])
    assert not is_abandoned([seed])
    assert not is_abandoned([])


def test_the_memo_is_that_of_the_newest_release() -> None:
    old = Token(1, "a", released=True, memo=b"old")
    claim, release = Token(2, "b"), Token(2, "c", released=True, memo=b"new")
    seed = Token(0, "d")
    assert last_memo([old, claim, release, seed]) == b"new"
    assert last_memo([old, claim, seed]) == b""
    assert last_memo([seed]) == b""
    assert last_memo([]) == b""
