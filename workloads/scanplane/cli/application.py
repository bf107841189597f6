"""The command ``scanplane``: what it can do, and how it ends.

Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted. Errors are one line on standard error, never a traceback.
What a command needs is imported when it runs, so that ``scanplane --help`` and a mistyped option answer at once.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from scanplane import __version__
from scanplane.cli.watch import watch
from scanplane.simulator.command import simulate
from scanplane.telemetry.listening import EVERY_INTERFACE

__all__ = ["application", "main"]

application = typer.Typer(
    name="scanplane",
    help="Real-time market scanners from resources: feeds, markets, subscriptions and scanners in, boards and signals out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Files = Annotated[
    list[Path],
    typer.Argument(help="Files of resources, or folders that hold some.", metavar="FILE...", show_default=False),
]


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        sys.exit(application(prog_name="scanplane", standalone_mode=False))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except typer.TyperException as error:
        sys.exit(_say_misuse(error))


def _say_misuse(error: typer.TyperException) -> int:
    """Say in one line what is wrong with the arguments; without any, the help has been shown already."""
    if type(error).__name__ != "NoArgsIsHelpError":
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "scanplane"
        what = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
        sys.stderr.write(f"scanplane: {what}; see {command} --help\n")
    return 2


def _show_version(value: bool) -> None:  # typer's callbacks get their value so
    if value:
        typer.echo(f"scanplane {__version__}")
        raise typer.Exit


@application.callback()
def _options(
    version: Annotated[  # its callback does the work
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Hold the options of the command itself."""


@application.command()
def validate(
    files: Files,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Check also what a cluster asks for: a broker, a cache, files as ConfigMaps."),
    ] = False,
) -> None:
    """Check files of resources: every mistake at once, with its place and what to write instead."""
    from scanplane.cli.documents import validate_files  # noqa: PLC0415  # see the module's text

    raise typer.Exit(validate_files(files, cluster=cluster))


@application.command()
def plan(
    files: Files,
    output: Annotated[
        Path | None, typer.Option(help="Write each role's configuration into this folder, and its Secrets beside it.")
    ] = None,
    namespace: Annotated[str, typer.Option(help="What every key and queue begins with.")] = "default",
) -> None:
    """Show what files of resources become: one configuration for each listener, analyzer and gateway."""
    from scanplane.cli.documents import plan_files  # noqa: PLC0415

    raise typer.Exit(plan_files(files, output, namespace))


@application.command()
def up(files: Files) -> None:
    """Run files of resources in this process; an edited file is applied at once. Ctrl-C ends it."""
    _remember_ctrl_c()
    from scanplane.cli.up import run_up  # noqa: PLC0415

    raise typer.Exit(run_up(files))


@application.command()
def demo(
    name: Annotated[
        str, typer.Argument(help="market: the whole US market of a day; ticks: the real ticks of four symbols.")
    ] = "market",
    speed: Annotated[float | None, typer.Option(help="Times real time; the demo's own if left out.", min=1.0)] = None,
) -> None:
    """Play a recorded day through the whole pipeline, live on this terminal and on a page, and end by itself."""
    _remember_ctrl_c()
    from scanplane.cli.demo import DEMOS, run_demo  # noqa: PLC0415

    if name not in DEMOS:
        typer.echo(f"scanplane: there is no demo '{name}': write one of {', '.join(DEMOS)}", err=True)
        raise typer.Exit(2)
    raise typer.Exit(run_demo(name, speed))


@application.command()
def record(
    files: Files,
    output: Annotated[Path, typer.Option(help="The recording to make; there must be no such file yet.")],
    feed: Annotated[str | None, typer.Option(help="The Feed to record, where the files have several.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long; until Ctrl-C if left out.", min=0)] = None,
) -> None:
    """Record what a Feed's provider sends, frame by frame, for a Feed of provider Replay to play later."""
    _remember_ctrl_c()
    from scanplane.cli.record import RecordSettings, run_record  # noqa: PLC0415

    raise typer.Exit(run_record(RecordSettings(paths=files, feed=feed, output=output, seconds=seconds)))


application.command()(watch)
application.command()(simulate)


@application.command()
def run(
    configuration: Annotated[
        Path, typer.Argument(help="A role's configuration, as `scanplane plan --output` writes it.")
    ],
    secrets: Annotated[Path, typer.Option(help="Folder of Secrets: <name>/<key>.")] = Path("secrets"),
    files: Annotated[Path, typer.Option(help="Where relative paths in the configuration start from.")] = Path(),
    status_host: Annotated[
        str, typer.Option(help="Address of /metrics, /healthz, /readyz and /status; * is every one.")
    ] = EVERY_INTERFACE,
    status_port: Annotated[int, typer.Option(help="Port of the same; 0 takes a free one.", min=0, max=65535)] = 9464,
    logs: Annotated[Literal["auto", "json", "terminal"], typer.Option(help="How log lines look.")] = "auto",
) -> None:
    """Run one role from its configuration: what a pod does."""
    _remember_ctrl_c()
    from scanplane.local.roles import make_role  # noqa: PLC0415
    from scanplane.roles.process import ProcessSettings, run_role_process  # noqa: PLC0415
    from scanplane.telemetry.logs import LogStyle  # noqa: PLC0415

    settings = ProcessSettings(
        configuration=configuration,
        secrets=secrets,
        files=files,
        status_host=status_host,
        status_port=status_port,
        log_style=LogStyle(logs),
    )
    raise typer.Exit(run_role_process(settings, make_role))


def _remember_ctrl_c() -> None:
    """Catch signals before what a command needs is loaded: one that comes meanwhile ends it as soon as it can."""
    from scanplane.roles.signals import catch_stop_signals  # noqa: PLC0415

    catch_stop_signals()
