"""The simulated provider as a child process: started, asked how far it is, and ended with its parent."""

import asyncio
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from scanplane.local.files import InputError

__all__ = ["SimulatorProcess", "start_simulator"]

_START_S = 30.0
_STOP_S = 5.0


class SimulatorProcess:
    """A simulator that listens."""

    def __init__(self, url: str, status_url: str) -> None:
        self.url = url
        self._status_url = status_url

    async def status(self) -> dict[str, Any]:
        """Return what it says of itself; empty while it is too busy to answer."""
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(self._status_url, timeout=5) as answer:  # noqa: S310  # our own http URL
                status: dict[str, Any] = msgspec.json.decode(answer.read())
        except OSError:
            return {}
        return status


@asynccontextmanager
async def start_simulator(arguments: Sequence[str]) -> AsyncIterator[SimulatorProcess]:
    """Start ``scanplane simulate`` on a free port; it ends with the context. Raises InputError if it can't start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "scanplane.cli", "simulate", *arguments, "--port", "0"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the parent, which ends its child in order
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_START_S):
            line = (await process.stdout.readline()).decode()
        if " at ws://" not in line:
            reason = (await process.stderr.read()).decode().strip().rpartition("\n")[2]
            raise InputError(f"the simulated provider did not start: {reason or line.strip()}")
        words = line.replace(",", " ").split()
        yield SimulatorProcess(
            next(word for word in words if word.startswith("ws://")),
            next(word for word in words if word.startswith("http://")),
        )
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
