"""Everyone who is connected, and whether somebody listens.

A session that starts with its first client, or waits for one to come back, must not run between a client's first
subscribe request and its second. So it waits until subscriptions have been left alone for a moment, or until
everything is subscribed that was before.
"""

import asyncio
from collections.abc import Iterator

from scanplane.simulator.client import Client
from scanplane.simulator.topics import Topic

__all__ = ["Audience"]


class Audience:
    """The open connections, in the order of their coming."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._clients: dict[int, Client] = {}
        self._changed = asyncio.Event()
        self._last_change = 0.0
        self._expected: frozenset[Topic] = frozenset()

    def __iter__(self) -> Iterator[Client]:
        return iter(tuple(self._clients.values()))

    @property
    def listening(self) -> list[Client]:
        """Clients that an event written now may reach."""
        return [client for client in self._clients.values() if client.listening]

    @property
    def authenticated(self) -> list[Client]:
        """Clients whose key was accepted, oldest first."""
        return [client for client in self._clients.values() if client.authenticated and client.open]

    def enter(self, client: Client) -> None:
        """A connection was opened."""
        self._clients[client.entry.number] = client

    def leave(self, client: Client) -> None:
        """A connection is gone."""
        self._clients.pop(client.entry.number, None)
        self._expected |= client.subscriptions.topics
        self.note_change()

    def note_change(self) -> None:
        """Somebody's subscriptions changed."""
        self._last_change = asyncio.get_running_loop().time()
        self._changed.set()

    async def assemble(self) -> None:
        """Wait until somebody listens and subscriptions have settled."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            listening = self.listening
            if listening:
                topics = frozenset().union(*(client.subscriptions.topics for client in listening))
                remaining = self._last_change + self._settle_s - loop.time()
                if remaining <= 0 or (self._expected and topics >= self._expected):
                    self._expected = frozenset()
                    return
            else:
                remaining = None
            try:
                async with asyncio.timeout(remaining):
                    await self._changed.wait()
            except TimeoutError:
                continue
