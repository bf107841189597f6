"""A second net under the rule that secrets are never logged: what is registered here never leaves as text.

The first net is that nobody formats a secret. This one catches what others format: a client library that puts the
URL it was given into its exception, a traceback that shows an argument. It works on finished text, because only
there message, arguments, extra fields and tracebacks are all of one kind.

A secret is replaced in the spellings that formatting gives it: as it is, URL-encoded, escaped as in JSON and as in
``repr``. Of a URL, the password alone is a secret of its own.
"""

import json
import re
import threading
from urllib.parse import quote, quote_plus, unquote, urlsplit

__all__ = ["MINIMUM_SECRET_LENGTH", "REPLACEMENT", "redact", "register_secret"]

REPLACEMENT = "***"

MINIMUM_SECRET_LENGTH = 4
"""Shorter values are words of the language: replacing them would destroy the log and hide nothing."""

_lock = threading.Lock()
_spellings: set[str] = set()
_pattern: re.Pattern[str] | None = None


def _spellings_of(value: str) -> set[str]:
    """Return how *value* may look after the formatting that others do."""
    spellings = {value, quote(value, safe=""), quote(value), quote_plus(value)}
    for spelling in tuple(spellings):
        spellings.add(json.dumps(spelling)[1:-1])
        spellings.add(json.dumps(spelling, ensure_ascii=False)[1:-1])
        spellings.add(repr(spelling)[1:-1])
    lowered = {re.sub(r"%[0-9A-F]{2}", lambda match: match.group().lower(), spelling) for spelling in spellings}
    return {spelling for spelling in spellings | lowered if len(spelling) >= MINIMUM_SECRET_LENGTH}


def _password_of(value: str) -> str | None:
    """Return the password of a URL, or None for other texts."""
    if "://" not in value:
        return None
    try:
        return urlsplit(value).password
    except ValueError:
        return None


def register_secret(value: str) -> bool:
    """Replace *value* by ``***`` in every text from now on; return False if it is too short for that.

    Of a URL with a password, the password is registered too, as written and decoded. Each line of a value of
    several lines counts as well, since tracebacks and log shippers split them.
    """
    global _pattern  # noqa: PLW0603  # one process has one set of secrets, whoever made the loggers
    values = {value, *(line.strip() for line in value.splitlines())}
    password = _password_of(value)
    if password is not None:
        values |= {password, unquote(password)}
    found = {spelling for each in values if len(each) >= MINIMUM_SECRET_LENGTH for spelling in _spellings_of(each)}
    if not found:
        return False
    with _lock:
        _spellings.update(found)
        longest_first = sorted(_spellings, key=len, reverse=True)
        _pattern = re.compile("|".join(re.escape(spelling) for spelling in longest_first))
    return True


def redact(text: str) -> str:
    """Return *text* with every registered secret replaced."""
    pattern = _pattern
    return text if pattern is None else pattern.sub(REPLACEMENT, text)
