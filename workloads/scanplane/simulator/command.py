"""``scanplane simulate``: the simulated provider as a process of its own."""

import asyncio
import signal
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
import uvloop

from scanplane.marketdata.channels import Channel
from scanplane.simulator.server import ListenError, Simulator
from scanplane.simulator.sessions.choice import SESSION_NAMES, choose_session
from scanplane.simulator.sessions.files import DATA_DIRECTORY
from scanplane.simulator.sessions.interface import Session, SessionFileError
from scanplane.simulator.sessions.market import DEFAULT_EVENTS
from scanplane.simulator.sessions.recorded import write_recording
from scanplane.simulator.settings import (
    DEMO_KEY,
    Authentication,
    Cut,
    Ending,
    Eviction,
    HostileKind,
    SimulatorSettings,
    Start,
)

__all__ = ["simulate"]

_USAGE = 2
_PROGRESS_S = 1.0
_NEW_YORK = ZoneInfo("America/New_York")
_PROVIDER = "How it behaves"
_SESSION = "What it plays"
_MISBEHAVIOUR = "How it misbehaves"


def simulate(
    session: Annotated[str, typer.Argument(help=f"{', '.join(SESSION_NAMES)}, or the path of a recording.")] = "market",
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.", rich_help_panel=_PROVIDER)] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535, rich_help_panel=_PROVIDER)
    ] = 8765,
    api_key: Annotated[
        str,
        typer.Option(
            envvar="SCANPLANE_SIMULATOR_API_KEY",
            show_envvar=True,
            help="The key that clients need; give a real one by the environment only.",
            rich_help_panel=_PROVIDER,
        ),
    ] = DEMO_KEY,
    speed: Annotated[
        float, typer.Option(help="Times real time; 0 is as fast as clients take it.", min=0, rich_help_panel=_PROVIDER)
    ] = 1.0,
    hold: Annotated[
        bool, typer.Option("--hold", help="Stop the session while nobody is subscribed.", rich_help_panel=_PROVIDER)
    ] = False,
    patient: Annotated[
        bool,
        typer.Option("--patient", help="Stop the session while a client is behind.", rich_help_panel=_PROVIDER),
    ] = False,
    start: Annotated[
        Start, typer.Option(help="When the session begins.", rich_help_panel=_PROVIDER)
    ] = Start.FIRST_CLIENT,
    ending: Annotated[
        Ending, typer.Option(help="After the last event: silence, or close 1001.", rich_help_panel=_PROVIDER)
    ] = Ending.SILENT,
    until_finished: Annotated[
        bool, typer.Option("--until-finished", help="Exit when the session is over.", rich_help_panel=_PROVIDER)
    ] = False,
    frame_events: Annotated[
        str, typer.Option(help="Events in a frame: a number, or a range such as 1-10.", rich_help_panel=_PROVIDER)
    ] = "500",
    mixed_frames: Annotated[
        bool, typer.Option(help="Let a frame mix kinds of event.", rich_help_panel=_PROVIDER)
    ] = True,
    data: Annotated[
        Path, typer.Option(help="Folder of the shipped data.", show_default="examples/data", rich_help_panel=_SESSION)
    ] = DATA_DIRECTORY,
    channel: Annotated[
        list[Channel] | None, typer.Option(help="Only these channels (ticks, market, load).", rich_help_panel=_SESSION)
    ] = None,
    events: Annotated[
        int, typer.Option(help="Second bars of the market session.", min=1, rich_help_panel=_SESSION)
    ] = DEFAULT_EVENTS,
    rate: Annotated[
        float, typer.Option(help="Events a second of the load; 0 is unlimited.", min=0, rich_help_panel=_SESSION)
    ] = 10_000.0,
    symbols: Annotated[int, typer.Option(help="Symbols of the load.", min=1, rich_help_panel=_SESSION)] = 8000,
    seconds: Annotated[
        float | None,
        typer.Option(help="Length of the load, or of an asset class's session.", min=0, rich_help_panel=_SESSION),
    ] = None,
    corrections: Annotated[
        float, typer.Option(help="Share of second bars late or corrected.", min=0, max=1, rich_help_panel=_SESSION)
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Decides everything that is left to chance.", rich_help_panel=_SESSION)] = 0,
    prepare: Annotated[
        Path | None,
        typer.Option(help="Write the session to this new recording and exit.", rich_help_panel=_SESSION),
    ] = None,
    authentication: Annotated[
        Authentication, typer.Option(help="What becomes of keys.", rich_help_panel=_MISBEHAVIOUR)
    ] = Authentication.CHECK,
    connection_limit: Annotated[
        int | None,
        typer.Option(help="Connections at once before one is evicted.", min=1, rich_help_panel=_MISBEHAVIOUR),
    ] = None,
    evict: Annotated[
        Eviction, typer.Option(help="Which connection has to go.", rich_help_panel=_MISBEHAVIOUR)
    ] = Eviction.NEWEST,
    limit_after_subscribe: Annotated[
        bool,
        typer.Option(
            "--limit-after-subscribe", help="Evict after acknowledging topics.", rich_help_panel=_MISBEHAVIOUR
        ),
    ] = False,
    unentitled: Annotated[
        list[str] | None, typer.Option(help="Event types that are not authorized.", rich_help_panel=_MISBEHAVIOUR)
    ] = None,
    cut_after_events: Annotated[
        list[int] | None,
        typer.Option(help="Cut connections after so many events.", min=0, rich_help_panel=_MISBEHAVIOUR),
    ] = None,
    cut_after_seconds: Annotated[
        list[float] | None,
        typer.Option(help="Cut connections after so many seconds.", min=0, rich_help_panel=_MISBEHAVIOUR),
    ] = None,
    cut_properly: Annotated[
        bool, typer.Option("--cut-properly", help="Cut by a close frame, not a reset.", rich_help_panel=_MISBEHAVIOUR)
    ] = False,
    max_buffer_mib: Annotated[
        int, typer.Option(help="What may wait for one slow client.", min=1, rich_help_panel=_MISBEHAVIOUR)
    ] = 64,
    hostile_rate: Annotated[
        float,
        typer.Option(help="Share of frames followed by a hostile one.", min=0, max=1, rich_help_panel=_MISBEHAVIOUR),
    ] = 0.0,
    hostile: Annotated[
        list[HostileKind] | None, typer.Option(help="Kinds of hostile frames.", rich_help_panel=_MISBEHAVIOUR)
    ] = None,
) -> None:
    """Serve a market session as the provider would, on the provider's protocol."""
    try:
        sizes = _frame_sizes(frame_events)
        chosen = choose_session(
            session,
            data=data,
            events=events,
            channels=tuple(channel or ()),
            rate=rate,
            symbols=symbols,
            seconds=seconds,
            frame_events=sizes,
            corrections=corrections,
            seed=seed,
        )
        if prepare is not None:
            _prepare(chosen, prepare, sizes, seed)
            return
        abrupt = not cut_properly
        settings = SimulatorSettings(
            host=host,
            port=port,
            api_key=api_key,
            speed=speed,
            hold=hold,
            patient=patient,
            start=start,
            ending=ending,
            frame_events=sizes,
            mixed_frames=mixed_frames,
            authentication=authentication,
            connection_limit=connection_limit,
            evict=evict,
            limit_after_subscribe=limit_after_subscribe,
            unentitled=frozenset(unentitled or ()),
            cuts=(
                *(Cut(after_events=number, abrupt=abrupt) for number in cut_after_events or ()),
                *(Cut(after_seconds=number, abrupt=abrupt) for number in cut_after_seconds or ()),
            ),
            max_buffer_bytes=max_buffer_mib * 1024 * 1024,
            hostile_rate=hostile_rate,
            hostile_kinds=tuple(hostile) if hostile else HostileKind.harmless(),
            seed=seed,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(chosen, settings, until_finished=until_finished))
    except (ListenError, SessionFileError, ValueError) as error:
        typer.echo(f"scanplane simulate: {error}", err=True)
        raise typer.Exit(_USAGE) from None


def _frame_sizes(text: str) -> tuple[int, int]:
    fewest, _, most = text.partition("-")
    try:
        sizes = int(fewest), int(most or fewest)
    except ValueError:
        sizes = (0, 0)
    if not 1 <= sizes[0] <= sizes[1]:
        raise ValueError(f"--frame-events {text}: write a number such as 500, or a range such as 1-10")
    return sizes


def _prepare(session: Session, path: Path, sizes: tuple[int, int], seed: int) -> None:
    began = time.monotonic()
    events = write_recording(
        session, path, frame_events=sizes, note=f"made by scanplane simulate {session.name}", seed=seed
    )
    elapsed = time.monotonic() - began
    typer.echo(f"wrote {events:,} events of {session.name} to {path} in {elapsed:.1f} s")


async def _serve(session: Session, settings: SimulatorSettings, *, until_finished: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(session, settings) as simulator:
        typer.echo(f"{session.name} at {simulator.url}, REST and status at {simulator.rest_url}/simulator/status")
        sys.stdout.flush()
        ends = [stop.wait(), *((simulator.ended.wait(),) if until_finished else ())]
        tasks = [asyncio.create_task(end) for end in ends]
        try:
            waiting = set(tasks)
            events = 0
            while len(waiting) == len(tasks) and simulator.failure is None:
                _, waiting = await asyncio.wait(waiting, timeout=_PROGRESS_S, return_when=asyncio.FIRST_COMPLETED)
                if sys.stderr.isatty():
                    _show_progress(simulator, simulator.events - events)
                events = simulator.events
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if sys.stderr.isatty():
            typer.echo("", err=True)
        if simulator.failure is not None:
            raise simulator.failure
        _summarize(simulator)


def _show_progress(simulator: Simulator, per_second: int) -> None:
    status = simulator.status()
    clock = datetime.fromtimestamp(status.position_ns / 1e9, tz=_NEW_YORK)
    state = "finished" if status.finished else "holding" if status.holding else f"{per_second:,} events/s"
    line = f"{clock:%Y-%m-%d %H:%M:%S} New York  {status.events:,} events  {state}  {status.connections.now} connected"
    typer.echo(f"\r\033[K{line}", nl=False, err=True)


def _summarize(simulator: Simulator) -> None:
    status = simulator.status()
    connections = status.connections
    typer.echo(
        f"{status.events:,} events played, {status.unheard:,} unheard; {connections.total} connections, "
        f"at most {connections.maximum} at once; "
        f"{connections.evicted} evicted, {connections.slow_consumers} slow consumers; "
        f"{'finished' if status.finished else 'stopped early'}"
    )
