"""Who a client is: bearer tokens from a Secret, whose keys name the clients.

Tokens are compared by their SHA-256 in constant time and against every known one, so that neither the time nor the
length of an answer tells anything about them. A token never comes in a URL: URLs end up in logs and histories.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping

__all__ = ["SUBPROTOCOL", "TokenError", "Tokens", "bearer_of_header", "bearer_of_subprotocols"]

SUBPROTOCOL = "scanplane.v1"
"""What a browser offers beside ``bearer.<token in URL-safe base64 without padding>``, as it can set no header."""

_BEARER_SUBPROTOCOL = "bearer."
_MAX_TOKEN_LENGTH = 4096


class TokenError(ValueError):
    """The Secret can't serve as a list of tokens; the text says which key, never its value."""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class Tokens:
    """The known clients. None at all means that nobody is asked."""

    def __init__(self, tokens: Mapping[str, str] | None, *, source: str = "the tokens' Secret") -> None:
        self.required = tokens is not None
        if tokens is not None and not tokens:
            raise TokenError(f"{source} holds no token: add a key for each client, or leave out tokensSecretRef")
        for name, token in (tokens or {}).items():
            if not token.strip():
                raise TokenError(f"{source} has an empty token for {name!r}: give it a value, or remove the key")
        self._names = {_digest(token): name for name, token in (tokens or {}).items()}

    def __repr__(self) -> str:
        return f"Tokens({sorted(self._names.values())})"

    def name_of(self, token: str | None) -> str | None:
        """Return the client whose token it is; ``""`` where no tokens are asked for, None where the token is not known."""
        if not self.required:
            return ""
        if not token or len(token) > _MAX_TOKEN_LENGTH:
            return None
        wanted = _digest(token)
        found = None
        for known, name in self._names.items():
            if hmac.compare_digest(known, wanted):
                found = name
        return found


def bearer_of_header(authorization: str | None) -> str | None:
    """Return the token of an ``Authorization`` header, or None."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def bearer_of_subprotocols(offered: Iterable[str]) -> str | None:
    """Return the token among the offered WebSocket subprotocols, or None."""
    for name in offered:
        if name.startswith(_BEARER_SUBPROTOCOL):
            encoded = name.removeprefix(_BEARER_SUBPROTOCOL)
            try:
                return base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True).decode()
            except (binascii.Error, UnicodeDecodeError, ValueError):
                return None
    return None
