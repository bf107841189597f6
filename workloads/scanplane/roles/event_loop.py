"""The event loop that roles run in: uvloop, whose connection attempts end when they are cancelled.

uvloop forgets the look-up of a name when the connection that it is for is cancelled: a name that is not known is then an error
that nobody fetches, and asyncio complains of it in the middle of an orderly end. So the name is looked up before, by whoever
asks for the connection; the second look-up, within, has nothing to fail with.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import uvloop

__all__ = ["new_event_loop"]


class _EventLoop(uvloop.Loop):
    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,  # noqa: ANN401  # passed on, as is all that follows
        port: Any = None,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> tuple[Any, Any]:
        if host is not None:
            wanted = {name: options[name] for name in ("family", "proto", "flags") if name in options}
            await self.getaddrinfo(host, port, **wanted)
        return await super().create_connection(protocol_factory, host, port, **options)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop, for ``asyncio.Runner``."""
    return _EventLoop()
