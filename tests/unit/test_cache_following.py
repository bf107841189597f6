"""Which patterns are subscribed to, and what a push says."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanplane.cache.interface import CacheUnavailableError, Update
from scanplane.cache.redis.cache import RedisCache
from scanplane.cache.redis.connection import redis_address
from scanplane.cache.redis.following import decode_update, disjoint_prefixes, escape_pattern

words = st.text(alphabet="ab:*?[]\\", max_size=6)


@given(prefixes=st.lists(words), key=words)
def test_disjoint_prefixes_match_each_key_once_and_no_other(prefixes: list[str], key: str) -> None:
    matching = [prefix for prefix in disjoint_prefixes(prefixes) if key.startswith(prefix)]
    assert len(matching) == (1 if any(key.startswith(prefix) for prefix in prefixes) else 0)


@given(text=st.text(alphabet="ab:*?[]", max_size=6), key=st.text(alphabet="ab:*?[]", max_size=8))
def test_an_escaped_prefix_matches_only_itself(text: str, key: str) -> None:
    # fnmatch has no backslash escapes, but sets do the same for it.
    pattern = "".join(f"[{c[1]}]" if len(c) == 2 else c for c in _units(escape_pattern(text))) + "*"
    assert fnmatch.fnmatchcase(key, pattern) == key.startswith(text)


def _units(pattern: str) -> list[str]:
    rest = iter(pattern)
    return [character + next(rest) if character == "\\" else character for character in rest]


def test_pushes_are_told_apart() -> None:
    assert decode_update(b"ns:boards:a", b"=1 2") == Update("ns:boards:a", b"1 2")
    assert decode_update(b"ns:signals:a", b"+17-3 a b") == Update("ns:signals:a", b"a b", (17, 3))
    for foreign in (b"+", b"+1 x", b"+a-b x"):
        with pytest.raises(ValueError, match=r"id|int"):
            decode_update(b"ns:signals:a", foreign)


@pytest.mark.parametrize("url", ["", "http://user:sesame@host", "redis://", "redis://:sesame@host:port/0", "sesame"])
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(CacheUnavailableError, match="redis://:password@host") as refused:
        RedisCache(url)
    assert "sesame" not in str(refused.value)


def test_a_cache_does_not_show_its_password() -> None:
    assert redis_address("redis://:sesame@cache.example:6380/2") == "cache.example:6380"
    assert "sesame" not in repr(RedisCache("redis://:sesame@cache.example:6380/2"))
