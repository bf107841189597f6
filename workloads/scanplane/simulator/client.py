"""One client as the provider sees it: what it takes, what was written to it, and how it is made to go.

Data frames are written to the transport directly, so that a run of frames is one write. That is sound because the
connection neither masks nor compresses nor fragments what it sends, and a write is refused as soon as a close frame
was received or sent: what was written stands before the server's close frame, in order.
"""

import asyncio
import contextlib
import socket
import struct

from msgspec import Struct
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from scanplane.feeds.massive.messages import StatusMessage
from scanplane.marketdata.channels import AssetClass
from scanplane.simulator.accounting import ConnectionEntry
from scanplane.simulator.statuses import encode_statuses
from scanplane.simulator.topics import Subscriptions

__all__ = ["Client", "Dismissal"]

_LAST_WORD_S = 1.0
_CLOSE_S = 3.0


class Dismissal(Struct, frozen=True):
    """Why a client has to go: the status that it is told first, if any, and the close code."""

    why: str
    status: StatusMessage | None
    code: int


class Client:
    """One connection, from the opening handshake on."""

    def __init__(self, connection: ServerConnection, entry: ConnectionEntry, asset_class: AssetClass) -> None:
        self.connection = connection
        self.entry = entry
        self.asset_class = asset_class
        self.subscriptions = Subscriptions()
        self.authenticated = False
        self._dismissal: asyncio.Future[Dismissal] = asyncio.get_running_loop().create_future()

    @property
    def open(self) -> bool:
        """Whether what is written now stands before the end of the connection."""
        return self.connection.state is State.OPEN and not self._dismissal.done()

    @property
    def listening(self) -> bool:
        """Whether it is open and takes anything."""
        return bool(self.subscriptions) and self.open

    @property
    def waiting_bytes(self) -> int:
        """What was written and not yet taken by the operating system."""
        return self.connection.transport.get_write_buffer_size()

    async def tell(self, *statuses: StatusMessage) -> None:
        """Send statuses in one frame, unless there are none or the client is gone."""
        if statuses:
            with contextlib.suppress(ConnectionClosed):
                await self.connection.send(encode_statuses(statuses))

    def write(self, wire: bytes, *, frames: int, events: int) -> None:
        """Write complete WebSocket frames; only allowed while :attr:`open`."""
        self.connection.transport.write(wire)
        self.entry.frames += frames
        self.entry.events += events
        self.entry.bytes += len(wire)

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written, or is gone."""
        with contextlib.suppress(OSError):
            await self.connection.drain()

    async def confirm(self, timeout_s: float) -> bool:
        """Ask, by a ping, whether all that was written has arrived; False if the client is gone or does not answer."""
        try:
            async with asyncio.timeout(timeout_s):
                await (await self.connection.ping())
        except (ConnectionClosed, TimeoutError):
            return False
        return True

    def dismiss(self, dismissal: Dismissal) -> None:
        """Make the client go: it is told the status, then the connection is closed properly."""
        if not self._dismissal.done():
            self.entry.ended_by = dismissal.why
            self._dismissal.set_result(dismissal)

    async def see_off(self) -> None:
        """Wait for a dismissal and carry it out."""
        dismissal = await asyncio.shield(self._dismissal)
        if dismissal.status is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD_S):
                    await self.tell(dismissal.status)
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self.connection.close(dismissal.code, dismissal.why)
        except TimeoutError:  # what waits for a client that does not read keeps the close frame waiting too
            self.connection.transport.abort()

    def reset(self) -> None:
        """Cut the TCP connection with a reset: what has not arrived never will."""
        self.dismiss(Dismissal("reset", None, 1001))
        transport = self.connection.transport
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
