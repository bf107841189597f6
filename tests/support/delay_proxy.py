"""A TCP proxy that makes loopback behave like a distant or broken network.

Every byte is held for half of the round trip in each direction, in order and with unlimited bandwidth; ``cut`` resets
every connection, ``blackhole`` keeps them open and lets nothing through. As a program it takes a load off the process
that measures: ``python tests/support/delay_proxy.py 5672 20`` prints the port it listens on and runs until it is ended.
"""

import argparse
import asyncio
import socket
import struct
from collections import deque
from typing import Self

__all__ = ["DelayProxy"]

_LOOPBACK = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, zero seconds
_MAXIMUM_HELD_BYTES = 64 * 1024 * 1024


class _Direction(asyncio.Protocol):
    """Reads one side and writes the other later."""

    def __init__(self, proxy: "DelayProxy", *, dialled: bool = True) -> None:
        self._proxy = proxy
        self._dialled = dialled
        self._loop = asyncio.get_running_loop()
        self._held: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self.transport: asyncio.Transport | None = None
        self.peer: _Direction | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._proxy.directions.add(self)
        if not self._dialled:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self._proxy.blackholed:
            return
        self._held.append((self._loop.time() + self._proxy.one_way_s, data))
        self._held_bytes += len(data)
        if self._held_bytes > _MAXIMUM_HELD_BYTES and self.transport is not None:
            self.transport.pause_reading()
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._held[0][0], self._forward) if self._held else None

    def _forward(self) -> None:
        target = self.peer.transport if self.peer is not None else None
        now = self._loop.time()
        due = []
        while self._held and self._held[0][0] <= now:
            due.append(self._held.popleft()[1])
        self._held_bytes -= sum(map(len, due))
        if self.transport is not None and self._held_bytes <= _MAXIMUM_HELD_BYTES // 2:
            self.transport.resume_reading()
        if target is not None and not target.is_closing() and not self._proxy.blackholed:
            target.writelines(due)
        self._arm()
        if self._ended and not self._held and target is not None:
            target.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, _error: Exception | None) -> None:
        self._proxy.directions.discard(self)
        self._ended = True
        target = self.peer.transport if self.peer is not None else None
        if not self._held and target is not None and not self._proxy.blackholed:
            target.close()


class DelayProxy:
    """Forwards connections to *target_port* on loopback, *round_trip_ms* slower than without it."""

    def __init__(self, target_port: int, round_trip_ms: float = 0.0) -> None:
        self.target_port = target_port
        self.one_way_s = round_trip_ms / 2000.0
        self.blackholed = False
        self.directions: set[_Direction] = set()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._dials: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(self._accept, _LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_details: object) -> None:
        assert self._server is not None
        self._server.close()
        for dial in list(self._dials):
            dial.cancel()
        self.cut()
        await asyncio.sleep(0)
        await self._server.wait_closed()

    def _accept(self) -> _Direction:
        inbound = _Direction(self, dialled=False)
        dial = asyncio.get_running_loop().create_task(self._dial(inbound))
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)
        return inbound

    async def _dial(self, inbound: _Direction) -> None:
        outbound = _Direction(self)
        try:
            await asyncio.get_running_loop().create_connection(lambda: outbound, _LOOPBACK, self.target_port)
        except OSError:
            if inbound.transport is not None:
                inbound.transport.abort()
            return
        inbound.peer, outbound.peer = outbound, inbound
        if inbound.transport is None or inbound.transport.is_closing():
            assert outbound.transport is not None
            outbound.transport.abort()
        else:
            inbound.transport.resume_reading()

    def cut(self) -> None:
        """Reset every connection; new ones are accepted."""
        for direction in list(self.directions):
            if direction.transport is not None:
                connection = direction.transport.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                direction.transport.abort()

    def blackhole(self) -> None:
        """Let nothing through any more, as a network that vanished."""
        self.blackholed = True

    def restore(self) -> None:
        """Let new connections through; those that lost bytes in the black hole are reset."""
        self.blackholed = False
        self.cut()


async def _serve(target_port: int, round_trip_ms: float) -> None:
    async with DelayProxy(target_port, round_trip_ms) as proxy:
        print(proxy.port, flush=True)  # noqa: T201  # the port is what the caller waits for
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Delay TCP connections to a port on loopback.")
    parser.add_argument("target_port", type=int)
    parser.add_argument("round_trip_ms", type=float)
    options = parser.parse_args()
    asyncio.run(_serve(options.target_port, options.round_trip_ms))
