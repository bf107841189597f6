"""Source text to tokens, by the lexical rules of CEL.

Habits of SQL, Python and spreadsheets (``and``, ``=``, ``<>``, ``20M``) are reported with what to write instead and then
read as that, so that the rest of the expression is still checked.
"""

import enum
import math
import re

from msgspec import Struct

from scanplane.expressions.problems import ProblemCollector, Span, quote
from scanplane.expressions.text_literals import TextLiteralError, decode_text

__all__ = ["Token", "TokenKind", "tokenize"]


class TokenKind(enum.Enum):
    """What a token is. INVALID stands for something already reported."""

    NUMBER = "number"
    TEXT = "text"
    NAME = "name"
    SYMBOL = "symbol"
    INVALID = "invalid"
    END = "end"


class Token(Struct, frozen=True):
    """One token. ``text`` is as CEL writes it, also where the source had a habit; ``value`` is set for literals."""

    kind: TokenKind
    text: str
    span: Span
    value: float | str | bool | None = None


_BLANK = re.compile(r"(?:[\t\n\f\r ]|//[^\n]*)+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|(?:[0-9]*\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NUMBER_TAIL = re.compile(r"[A-Za-z0-9_]+")
_TEXT = re.compile(
    r"(?P<prefix>[rR]?[bB]|[bB]?[rR])?"
    r"(?P<quote>\"\"\"|'''|\"|')",
)
_NOT_IN = re.compile(r"not[\t\n\f\r ]+in\b", re.IGNORECASE)
_CURLY_QUOTES = re.compile(r"[“”„‘’‚]([^“”„‘’‚\n]*)[“”‘’]")  # noqa: RUF001 - those of word processors
_GROUPED_DIGITS = re.compile(r"(?:_?[0-9])+")

_SYMBOLS = ("&&", "||", "==", "!=", "<=", ">=", *"<>+-*/%!?:.,()[]{}")

_HABITS = {
    "===": "==",
    "!==": "!=",
    "<>": "!=",
    "=>": ">=",
    "=<": "<=",
    "**": "*",
    "=": "==",
    "&": "&&",
    "|": "||",
    "^": "*",
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "×": "*",
    "÷": "/",
    "−": "-",  # noqa: RUF001 - the minus sign that word processors make is what is looked for
    "–": "-",
}
_POWERS = ("**", "^")
_WORD_HABITS = {"and": "&&", "or": "||", "not": "!"}
_CHARACTER_HINTS = {
    "#": "a comment begins with //",
    ";": "leave it out: an expression ends with its text",
    "$": "leave it out: prices are plain numbers",
    "€": "leave it out: prices are plain numbers",
    "`": "write names without quotes",
    "~": "write ! for not",
}
_SUFFIX_POWERS = {"k": "e3", "m": "e6", "b": "e9"}
_MAX_INTEGER = 2**63 - 1


class _Lexer:
    def __init__(self, source: str, problems: ProblemCollector) -> None:
        self._source = source
        self._problems = problems
        self._offset = 0
        self._line = 1
        self._line_start = 0

    def tokens(self) -> list[Token]:
        found: list[Token] = []
        while True:
            self._skip_blank()
            if self._offset == len(self._source):
                return [*found, Token(TokenKind.END, "", self._span(0))]
            token = self._next()
            self._advance(token.span.end)
            found.append(token)

    def _span(self, length: int) -> Span:
        return Span(self._line, self._offset - self._line_start + 1, self._offset, self._offset + length)

    def _advance(self, end: int) -> None:
        breaks = self._source.count("\n", self._offset, end)
        if breaks:
            self._line += breaks
            self._line_start = self._source.rindex("\n", self._offset, end) + 1
        self._offset = end

    def _skip_blank(self) -> None:
        while True:
            if blank := _BLANK.match(self._source, self._offset):
                self._advance(blank.end())
            if self._offset == len(self._source) or not self._source[self._offset].isspace():
                return
            character = self._source[self._offset]
            self._problems.add(self._span(1), f"unexpected blank U+{ord(character):04X}", "write a plain space")
            self._advance(self._offset + 1)

    def _next(self) -> Token:
        if text := _TEXT.match(self._source, self._offset):
            return self._text(text)
        if number := _NUMBER.match(self._source, self._offset):
            return self._number(number.group())
        if name := _NAME.match(self._source, self._offset):
            return self._name(name.group())
        return self._symbol()

    def _text(self, opening: re.Match[str]) -> Token:
        prefix = (opening["prefix"] or "").lower()
        closing = self._find_closing(opening.end(), opening["quote"], raw="r" in prefix)
        if closing < 0:
            line_end = self._source.find("\n", self._offset) if len(opening["quote"]) == 1 else -1
            span = self._span((line_end if line_end >= 0 else len(self._source)) - self._offset)
            self._problems.add(span, "this text has no end", f"close it with {opening['quote']}")
            return Token(TokenKind.INVALID, "", span)
        span = self._span(closing + len(opening["quote"]) - self._offset)
        shown = self._source[span.start : span.end]
        if "b" in prefix:
            self._problems.add(span, "bytes are not available", "write a text without the b before it")
            return Token(TokenKind.INVALID, shown, span)
        try:
            value = decode_text(self._source[opening.end() : closing], raw="r" in prefix)
        except TextLiteralError as error:
            self._problems.add(span, str(error), error.suggestion)
            return Token(TokenKind.INVALID, shown, span)
        return Token(TokenKind.TEXT, shown, span, value)

    def _find_closing(self, begin: int, delimiter: str, *, raw: bool) -> int:
        position = begin
        while position < len(self._source):
            if self._source.startswith(delimiter, position):
                return position
            character = self._source[position]
            if character in "\r\n" and len(delimiter) == 1:
                return -1
            position += 2 if character == "\\" and not raw else 1
        return -1

    def _number(self, digits: str) -> Token:
        tail = _NUMBER_TAIL.match(self._source, self._offset + len(digits))
        if tail:
            return self._number_with_tail(digits, tail.group())
        span = self._span(len(digits))
        if digits.isdigit() and self._source.startswith(".", span.end) and not _NAME.match(self._source, span.end + 1):
            span = self._span(len(digits) + 1)
            self._problems.add(span, f"a number cannot end with a point: {quote(digits + '.')}", f"write {digits}.0")
            return Token(TokenKind.INVALID, digits, span)
        base = 16 if digits[:2] in {"0x", "0X"} else 10
        if (base == 16 or digits.isdigit()) and int(digits, base) > _MAX_INTEGER:
            self._problems.add(span, "this integer does not fit in 64 bits", "write it with an exponent, such as 1e20")
            return Token(TokenKind.INVALID, digits, span)
        value = float(int(digits, base)) if base == 16 else float(digits)
        if math.isinf(value):
            self._problems.add(span, f"the number {quote(digits)} is too large", "write at most 1.7e308")
            return Token(TokenKind.INVALID, digits, span)
        return Token(TokenKind.NUMBER, digits, span, value)

    def _number_with_tail(self, digits: str, tail: str) -> Token:
        span = self._span(len(digits) + len(tail))
        written = quote(digits + tail)
        suffix = tail.lower()
        if suffix == "u":
            self._problems.add(span, f"unsigned integers are not available: {written}", f"write {digits}")
        elif suffix in _SUFFIX_POWERS and "e" not in digits.lower():
            self._problems.add(span, f"not a number: {written}", f"write {digits}{_SUFFIX_POWERS[suffix]}")
        elif "_" in tail and _GROUPED_DIGITS.fullmatch(tail):
            self._problems.add(span, f"not a number: {written}", f"write {digits}{tail.replace('_', '')}")
        else:
            self._problems.add(span, f"not a number and not a name: {written}", "a name begins with a letter")
        return Token(TokenKind.INVALID, digits, span)

    def _name(self, name: str) -> Token:
        span = self._span(len(name))
        lowered = name.lower()
        if name in {"true", "false"}:
            return Token(TokenKind.NAME, name, span, name == "true")
        if name == "in":
            return Token(TokenKind.SYMBOL, "in", span)
        if lowered in {"true", "false", "in"}:
            self._problems.add(span, f"{quote(name)} is not CEL", f"write {lowered}")
            kind = TokenKind.SYMBOL if lowered == "in" else TokenKind.NAME
            return Token(kind, lowered, span, None if lowered == "in" else lowered == "true")
        if not_in := _NOT_IN.match(self._source, self._offset):
            span = self._span(len(not_in.group()))
            self._problems.add(span, "'not in' is not CEL", "write !(a in [b, c])")
            return Token(TokenKind.SYMBOL, "not in", span)
        if lowered in _WORD_HABITS:
            self._problems.add(span, f"{quote(name)} is not a CEL operator", f"write {_WORD_HABITS[lowered]}")
            return Token(TokenKind.SYMBOL, _WORD_HABITS[lowered], span)
        return Token(TokenKind.NAME, name, span)

    def _symbol(self) -> Token:
        for length in (3, 2, 1):
            candidate = self._source[self._offset : self._offset + length]
            if len(candidate) < length:
                continue
            span = self._span(length)
            if candidate in _SYMBOLS:
                return Token(TokenKind.SYMBOL, candidate, span)
            if candidate in _HABITS:
                meant = _HABITS[candidate]
                instead = "write x * x" if candidate in _POWERS else f"write {meant}"
                self._problems.add(span, f"{quote(candidate)} is not a CEL operator", instead)
                return Token(TokenKind.SYMBOL, meant, span)
        if curly := _CURLY_QUOTES.match(self._source, self._offset):
            span = self._span(len(curly.group()))
            self._problems.add(span, "curly quotes are not CEL", f"write {quote(curly[1])}")
            return Token(TokenKind.TEXT, curly.group(), span, curly[1])
        character = self._source[self._offset]
        span = self._span(1)
        self._problems.add(span, f"unexpected character {quote(character)}", _CHARACTER_HINTS.get(character, ""))
        return Token(TokenKind.INVALID, character, span)


def tokenize(source: str, problems: ProblemCollector) -> list[Token]:
    """Return the tokens of *source*, the last of kind END. What cannot be read is added to *problems*."""
    return _Lexer(source, problems).tokens()
