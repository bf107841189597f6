"""``scanplane record``: the raw frames of one Feed into a file, until Ctrl-C, for so many seconds, or until the disk is full."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from scanplane.feeds.factory import open_feed
from scanplane.feeds.replay.recorder import Recorded, record
from scanplane.feeds.replay.recording import RecordingError
from scanplane.local.files import InputError, read_sources
from scanplane.local.world import WITHHELD, World, build_world
from scanplane.plan.configuration import ListenerConfiguration, MassiveConnection
from scanplane.plan.inventory import ResourceKey
from scanplane.resources.kinds import Kind
from scanplane.resources.problems import render_problems
from scanplane.roles.event_loop import new_event_loop
from scanplane.roles.signals import StopSignals, catch_stop_signals
from scanplane.telemetry.logs import configure_logging, flush_logging

__all__ = ["RecordSettings", "run_record"]


class RecordSettings(Struct, frozen=True, kw_only=True):
    """What to record, and where to; ``feed`` may be left out where the files have one, ``seconds`` for no end."""

    paths: Sequence[Path]
    feed: str | None
    output: Path
    seconds: float | None


def run_record(settings: RecordSettings) -> int:
    """Record until the end; return the exit code: 1 if frames were lost or the disk refused, 2 for bad input."""
    signals = catch_stop_signals()
    try:
        world = build_world(read_sources(settings.paths), os.environ)
        listener = _chosen(world, settings.feed)
        configure_logging("Warning")
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            recorded = runner.run(_live(settings, world, listener, signals))
    except (InputError, RecordingError) as error:
        flush_logging()
        sys.stderr.write(f"scanplane: {error}\n")
        return 2
    flush_logging()
    return _tell(recorded, settings.output)


def _chosen(world: World, name: str | None) -> ListenerConfiguration:
    """Return the listener of the Feed called *name*, or the only one. Raises InputError."""
    listeners = {
        each.feed: each for each in world.plan.configurations.values() if isinstance(each, ListenerConfiguration)
    }
    if name in listeners or (name is None and len(listeners) == 1):
        chosen = listeners[name] if name is not None else next(iter(listeners.values()))
        if not isinstance(chosen.connection, MassiveConnection):
            raise InputError(f"Feed '{chosen.feed}' is a recording already: name one that is live")
        return chosen
    if world.problems:
        sys.stderr.write(render_problems(world.problems) + "\n")
    if world.plan.is_withheld:
        raise InputError(WITHHELD)
    known = ", ".join(sorted(listeners))
    wanted = "several Feeds can be recorded" if name is None and listeners else f"there is no Feed '{name}' to record"
    if name is None and not listeners:
        wanted = "there is no Feed to record"
    hint = f"write --feed with one of {known}" if known else "it takes a Feed, a Market and a Subscription"
    raise InputError(f"{wanted}: {hint}")


async def _live(
    settings: RecordSettings, world: World, listener: ListenerConfiguration, signals: StopSignals
) -> Recorded:
    """Record until the time is over, the disk refuses, or a signal. Raises RecordingError if the file can't be made."""
    assert isinstance(listener.connection, MassiveConnection)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals.tell(lambda: loop.call_soon_threadsafe(stop.set))
    folder = Path(world.files[ResourceKey(Kind.FEED, listener.feed)]).parent
    connection = open_feed(listener, world.secrets.read, folder)
    return await record(
        connection,
        settings.output,
        asset_class=listener.connection.asset_class,
        note=f"Feed {listener.feed}",
        seconds=settings.seconds,
        stop=stop,
    )


def _tell(recorded: Recorded, output: Path) -> int:
    sys.stdout.write(f"{recorded.frames:,} frames are in {output}; {recorded.dropped:,} were dropped\n")
    if recorded.stopped:
        sys.stderr.write(f"scanplane: {recorded.stopped}\n")
    return 1 if recorded.stopped or recorded.dropped else 0
