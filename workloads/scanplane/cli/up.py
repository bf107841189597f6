"""``scanplane up``: resources run in this process until Ctrl-C, and the log tells the story."""

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from scanplane.local.files import InputError
from scanplane.local.home import Home, HomeSettings
from scanplane.local.world import NAMESPACE, World
from scanplane.roles.event_loop import new_event_loop
from scanplane.roles.signals import StopSignals, catch_stop_signals
from scanplane.roles.tasks import TaskScope
from scanplane.telemetry.logs import configure_logging, flush_logging
from scanplane.telemetry.setup import TelemetrySettings, start_telemetry

__all__ = ["run_up", "telemetry_settings"]


def run_up(paths: Sequence[Path]) -> int:
    """Run *paths* until a signal; return the exit code."""
    signals = catch_stop_signals()
    configure_logging("Info")
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_live(paths, signals))
    except InputError as error:
        flush_logging()
        sys.stderr.write(f"scanplane: {error}\n")
        return 2
    finally:
        flush_logging()
    return 0


def telemetry_settings(world: World) -> TelemetrySettings:
    """Return what the DataPlane asks for, for a process that is all roles at once."""
    services = world.plan.configurations["gateway"].services
    return TelemetrySettings(
        service_name="scanplane-up",
        instance="up",
        namespace=NAMESPACE,
        otlp_endpoint=services.otlp_endpoint,
        trace_ratio=services.trace_ratio,
        export_interval_ns=services.export_interval_ns,
    )


async def _live(paths: Sequence[Path], signals: StopSignals) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals.tell(lambda: loop.call_soon_threadsafe(stop.set))
    home = Home(HomeSettings(paths=paths))
    world = home.load()
    configure_logging(world.plan.configurations["gateway"].services.log_level)
    with start_telemetry(telemetry_settings(world)) as telemetry:
        async with TaskScope() as scope:
            scope.accompany(_greet(home), "greets")
            await scope.run(home.run(world, telemetry, stop), "home")


async def _greet(home: Home) -> None:
    """Say where the page is, once everything runs."""
    await home.started.wait()
    logging.getLogger("scanplane.local").info("boards and signals: %s (Ctrl-C ends)", home.gateway_url)
