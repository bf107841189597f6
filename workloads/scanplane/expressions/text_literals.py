"""The escapes of CEL's text literals."""

import re

__all__ = ["TextLiteralError", "decode_text"]

_ESCAPE = re.compile(
    r"\\(?:(?P<plain>[abfnrtv\\?\"'`])|[xX](?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})"
    r"|U(?P<U>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2})|(?P<bad>.?))",
    re.DOTALL,
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


class TextLiteralError(ValueError):
    """A text literal that stands for no text."""

    def __init__(self, message: str, suggestion: str) -> None:
        super().__init__(message, suggestion)
        self.suggestion = suggestion

    def __str__(self) -> str:
        return str(self.args[0])


def decode_text(inside: str, *, raw: bool) -> str:
    """Return the text that a literal stands for, given what is between its quotes.

    Raises TextLiteralError for an unknown escape, a surrogate, and NUL: NumPy drops it at the end of a text, so that
    a text with it would equal the text without it.
    """
    text = inside if raw else _ESCAPE.sub(_decode_escape, inside)
    if "\x00" in text:
        raise TextLiteralError("a text cannot hold the character NUL", "leave it out")
    if any(ord(character) in _SURROGATES for character in text):
        raise TextLiteralError("a text cannot hold half of a surrogate pair", "write the whole character")
    return text


def _decode_escape(escape: re.Match[str]) -> str:
    if escape["plain"] is not None:
        return _PLAIN.get(escape["plain"], escape["plain"])
    if escape["bad"] is not None:
        raise TextLiteralError("unknown escape in a text", "write \\\\ for a backslash")
    digits, base = (escape["octal"], 8) if escape["octal"] else (escape["x"] or escape["u"] or escape["U"], 16)
    code_point = int(digits, base)
    if code_point > _LAST_CODE_POINT:
        raise TextLiteralError("an escape in this text is beyond Unicode", "write at most \\U0010ffff")
    return chr(code_point)
