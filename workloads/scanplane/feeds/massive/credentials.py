"""Whether the provider knows a key, asked before anything depends on it.

The WebSocket would tell too, but whoever opens it holds the one connection that the account allows: a new configuration
with a wrong key would have taken the place of one that worked. So a listener asks over HTTP first, with the cheapest call
there is, ``GET /v1/marketstatus/now``.
"""

import aiohttp

__all__ = ["refusal_of"]

STATUS_PATH = "/v1/marketstatus/now"
TIMEOUT_S = 3.0
_REFUSED = {401, 403}


async def refusal_of(rest_endpoint: str, api_key: str) -> str | None:
    """Return why the provider refuses *api_key*, in one line without the key, or None.

    None also if it cannot be told: an HTTP service that is down must not keep a listener from its WebSocket.
    """
    url = rest_endpoint.rstrip("/") + STATUS_PATH
    headers = {"Authorization": f"Bearer {api_key}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), headers=headers) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
    return f"{url} answers HTTP {status}: the API key is not accepted" if status in _REFUSED else None
