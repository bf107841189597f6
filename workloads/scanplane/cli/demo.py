"""``scanplane demo``: the whole pipeline on real market data, from a provider to a screen, ending by itself.

The simulated provider is a process of its own, as a provider is; everything behind it is ``scanplane up``. What is shown comes
through the gateway's stream, as any client gets it.
"""

import asyncio
import os
import socket
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.live import Live

from scanplane.cli.demo_screen import DemoScreen
from scanplane.cli.simulator_process import SimulatorProcess, start_simulator
from scanplane.cli.up import telemetry_settings
from scanplane.cli.watch import WatchSettings, follow
from scanplane.cli.watch_state import WatchState
from scanplane.local.files import InputError
from scanplane.local.home import Home, HomeSettings
from scanplane.roles.event_loop import new_event_loop
from scanplane.roles.signals import StopSignals, catch_stop_signals
from scanplane.roles.tasks import TaskScope
from scanplane.telemetry.logs import configure_logging, flush_logging
from scanplane.telemetry.setup import start_telemetry

__all__ = ["DEMOS", "Demo", "run_demo"]

SIMULATOR_URL = "ws://127.0.0.1:8765"
TOPICS = ("boards/*", "signals/*")


class Demo(Struct, frozen=True, kw_only=True):
    """One demo: resources, what the provider plays, and what people are told about it."""

    resources: str
    arguments: tuple[str, ...]
    speed: float
    boards: tuple[str, ...]
    title: str
    honesty: str


DEMOS: dict[str, Demo] = {
    "market": Demo(
        resources="demo-market",
        arguments=("market", "--events", "2500000"),
        speed=700,
        boards=("top-volume", "top-gainers", "top-gappers", "unusual-volume"),
        title="The whole US market of 2014-03-26",
        honesty="closes and volumes are real, the path between two closes is synthetic",
    ),
    "ticks": Demo(
        resources="demo-ticks",
        arguments=("ticks",),
        speed=600,
        boards=(),
        title="Every trade of AIG, BAC, IBM and SPY on 2013-10-08, and every quote of the first three",
        honesty="real ticks; the source has no quotes of SPY",
    ),
}


def examples_folder() -> Path:
    """Return the folder of examples: beside the package where it is installed, or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "examples", package.parents[1] / "examples"):
        if folder.is_dir():
            return folder
    raise InputError("the examples are not here: run the demo from a checkout")


def run_demo(name: str, speed: float | None) -> int:
    """Run one demo to its end, at its own speed where *speed* is None; return the exit code."""
    signals = catch_stop_signals()
    os.environ["TZ"] = "America/New_York"  # the exchange's time, on every table
    time.tzset()
    console = Console(highlight=False)
    configure_logging("Warning")
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(_play(DEMOS[name], speed, console, signals))
    except InputError as error:
        flush_logging()
        if signals.received is not None:
            return 130  # Ctrl-C ends also a child that has not left the terminal's session yet
        sys.stderr.write(f"scanplane: {error}\n")
        return 2
    finally:
        flush_logging()


async def _play(demo: Demo, speed: float | None, console: Console, signals: StopSignals) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals.tell(lambda: loop.call_soon_threadsafe(stop.set))
    console.print(f"[bold]{demo.title}[/bold] ({demo.honesty})")
    console.print("[dim]starting the simulated provider ...[/dim]")
    speed = demo.speed if speed is None else speed
    arguments = (*demo.arguments, "--speed", str(speed), "--patient", "--hold")
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(start_simulator(arguments))
        replacements = {SIMULATOR_URL: simulator.url} | _free_port_instead()
        home = Home(HomeSettings(paths=[examples_folder() / demo.resources], replacements=replacements))
        world = home.load()
        with start_telemetry(telemetry_settings(world)) as telemetry:
            screen = DemoScreen(demo.title, demo.honesty, demo.boards, speed)
            async with TaskScope() as scope:
                watcher = _Watcher(home, simulator, screen, console, stop)
                scope.accompany(watcher.run(), "screen")
                await scope.run(home.run(world, telemetry, stop), "home")
    screen.print_result(console)
    if signals.received is not None:
        console.print("interrupted: these are the boards so far")
        return 130
    return 0 if screen.is_whole else 1


def _free_port_instead() -> dict[str, str]:
    """Return what to replace where somebody else already listens on the page's port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8080))
        except OSError:
            return {"port: 8080": "port: 0"}
    return {}


class _Watcher:
    """Follows the gateway, draws, and ends the demo when everything that was played has been shown."""

    def __init__(
        self, home: Home, simulator: SimulatorProcess, screen: DemoScreen, console: Console, stop: asyncio.Event
    ) -> None:
        self._home = home
        self._simulator = simulator
        self._screen = screen
        self._console = console
        self._stop = stop
        self._state = WatchState(TOPICS)

    async def run(self) -> None:
        await self._home.started.wait()
        self._console.print(f"the same on a page: [bold]{self._home.gateway_url}[/bold]")
        settings = WatchSettings(url=self._home.gateway_url, topics=TOPICS)
        async with TaskScope() as scope:
            scope.accompany(follow(settings, self._state), "follows the gateway")
            if self._console.is_terminal:
                await scope.run(self._draw(), "draws")
            else:
                await scope.run(self._tell(), "tells")
        self._stop.set()

    async def _draw(self) -> None:
        with Live(console=self._console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
            while not await self._look():
                live.update(self._screen.render(self._console.size.height, self._console.size.width), refresh=True)
                await asyncio.sleep(0.25)

    async def _tell(self) -> None:
        """Without a terminal: one line every few seconds."""
        told = 0.0
        while not await self._look():
            if time.monotonic() - told >= 5.0:
                told = time.monotonic()
                self._console.print(self._screen.line(), soft_wrap=True)
            await asyncio.sleep(0.25)

    async def _look(self) -> bool:
        """Take in how far everything is; tell whether the session is over and shown."""
        status = await self._simulator.status()
        self._screen.take(self._state, status, _figures(self._home))
        return self._screen.is_complete


def _figures(home: Home) -> dict[str, float]:
    """Return the figures of all roles, those of one kind added up: ``analyzer.events_total``."""
    figures: dict[str, float] = {}
    for role in home.roles.values():
        for name, value in role.status().figures.items():
            key = f"{role.name.partition('-')[0]}.{name}"
            figures[key] = figures.get(key, 0.0) + value
    return figures
