"""A headless Chromium as a child of the test session, driven over its DevTools protocol: just what the page's tests need."""

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from support.servers import ChildProcess, ServerUnavailableError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 30.0


class Browser:
    """One tab. Errors and log lines of the page are kept in ``complaints``."""

    def __init__(self, connection: ClientConnection) -> None:
        self.complaints: list[str] = []
        self._connection = connection
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def read(self) -> None:
        """Take what the browser says, until the connection ends."""
        async for text in self._connection:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            elif message["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))
            elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.complaints.append(message["params"]["entry"]["text"])

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(PATIENCE_S):
            message = await answer
        assert "error" not in message, message["error"]
        result: dict[str, Any] = message["result"]
        return result

    async def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        result = await self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait in the page until *expression* is true there, and return its value."""
        promise = f"""new Promise((resolve, reject) => {{
            const end = performance.now() + {PATIENCE_S * 500};
            const look = () => {{
                const value = {expression};
                if (value) resolve(value);
                else if (performance.now() > end) reject(new Error("not reached: " + document.body.innerText.slice(0, 2000)));
                else setTimeout(look, 20);
            }};
            look();
        }})"""
        return await self.evaluate(promise)

    async def open(self, url: str, *, width: int = 1440, height: int = 900, dark: bool = False) -> None:
        """Load *url* in a window of this size."""
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = "dark" if dark else "light"
        await self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await self.command("Page.navigate", url=url)

    async def screenshot(self) -> bytes:
        """Return what is seen as PNG."""
        picture = await self.command("Page.captureScreenshot", format="png")
        return base64.b64decode(picture["data"])


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Start Chromium within the context. Raises ServerUnavailableError where none is installed."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise ServerUnavailableError("chromium is not installed; run `python tests/servers.py install`")
    folder = Path(tempfile.mkdtemp(prefix="scanplane-chromium-"))
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-port=0"
    )
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "America/New_York"}
    command = [program, *flags.split(), f"--user-data-dir={folder / 'profile'}", "about:blank"]
    child = ChildProcess(command, environment, folder / "chromium.log")
    port_file = folder / "profile" / "DevToolsActivePort"
    try:
        await asyncio.to_thread(child.wait_until, lambda: _is_written(port_file), "chromium", PATIENCE_S)
        port = port_file.read_text().split("\n")[0]
        async with httpx.AsyncClient() as client:
            targets = (await client.get(f"http://127.0.0.1:{port}/json/list")).json()
        url = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        async with connect(url, max_size=None, compression=None) as connection:
            browser = Browser(connection)
            reader = asyncio.create_task(browser.read())
            for domain in ("Page", "Runtime", "Log"):
                await browser.command(f"{domain}.enable")
            try:
                yield browser
            finally:
                reader.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reader
    finally:
        await asyncio.to_thread(child.end, signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


def _is_written(path: Path) -> bool:
    return path.exists() and path.read_text().count("\n") >= 1
