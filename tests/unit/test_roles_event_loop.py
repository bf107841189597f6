"""A connection attempt that is cancelled leaves nothing behind that asyncio could complain of."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from scanplane.roles.event_loop import new_event_loop

NOWHERE = b"n" * 64 + b".invalid"
"""Longer than a name may be, so that the look-up fails without asking anybody."""


class Loop:
    """Runs coroutines and collects what the event loop complains of."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.complaints: list[str] = []
        runner.get_loop().set_exception_handler(self._note)

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.complaints.append(str(context["message"]))


@pytest.fixture
def loop() -> Iterator[Loop]:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        yield Loop(runner)


async def connect_to(host: str | bytes, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def test_a_look_up_that_fails_after_it_was_given_up_is_no_error(loop: Loop) -> None:
    async def give_up() -> None:
        begun = asyncio.create_task(connect_to(NOWHERE, 80))
        await asyncio.sleep(0)
        assert not begun.done()
        begun.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begun
        # by the time that this one has failed, the one before it has
        with pytest.raises(socket.gaierror):
            await connect_to(NOWHERE, 80)
        gc.collect()

    loop.run(give_up())
    assert loop.complaints == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_connections_are_made_as_ever(loop: Loop, host: str) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def converse() -> bytes:
        async with await asyncio.start_server(greet, host, 0) as server:
            return await connect_to(host, server.sockets[0].getsockname()[1])

    assert loop.run(converse()) == b"hello"
