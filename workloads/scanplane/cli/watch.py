"""``scanplane watch``: boards and signals of a gateway in a terminal, live, or as JSON lines for other programs.

The token comes from the environment or a file, never from the command line, where every user of the machine could read it.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
import typer
from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.text import Text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from scanplane.cli.tables import board_table, signal_line
from scanplane.cli.watch_state import SIGNALS_KEPT, WatchError, WatchState
from scanplane.gateway.topics import TopicError, parse_pattern
from scanplane.roles.backoff import Backoff
from scanplane.roles.tasks import TaskScope

__all__ = [
    "DEFAULT_TOPICS",
    "DEFAULT_URL",
    "WatchSettings",
    "follow",
    "run_watch",
    "split_arguments",
    "stream_url",
    "watch",
]

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_TOPICS = ("boards/*", "signals/*")
TOKEN_VARIABLE = "SCANPLANE_TOKEN"  # noqa: S105  # the name of a variable
URL_VARIABLE = "SCANPLANE_URL"

_ONCE_SECONDS = 15.0
_PLAIN_SECONDS = 1.0
_UNAUTHORIZED = 4401
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class WatchSettings(Struct, frozen=True, kw_only=True):
    """What to watch and how to show it."""

    url: str
    topics: tuple[str, ...]
    once: bool = False
    as_json: bool = False
    rows: int = 15
    token: str | None = None

    def __repr__(self) -> str:
        return f"WatchSettings({self.url}, {self.topics})"


def stream_url(text: str) -> str:
    """Return the stream's URL for what a person writes: ``localhost:8080``, ``https://host/``. Raises WatchError."""
    refusal = WatchError(f"{text!r} is no gateway's URL; write one such as {DEFAULT_URL}", 2)
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, _ = (parts.hostname or "").encode("idna"), parts.port  # both raise it for what can't be connected to
    except ValueError:
        raise refusal from None
    if parts.scheme not in _SCHEMES or not host:
        raise refusal
    path = parts.path.rstrip("/")
    if not path.endswith("/v1/stream"):
        path += "/v1/stream"
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, "", ""))


def split_arguments(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return URL and topics: the first argument is the URL if it is one."""
    url, topics = environment.get(URL_VARIABLE) or DEFAULT_URL, tuple(arguments)
    if topics and ("://" in topics[0] or ("/" not in topics[0] and topics[0] != "*")):
        url, topics = topics[0], topics[1:]
    return url, topics or DEFAULT_TOPICS


def _check_topics(topics: Sequence[str]) -> None:
    """Refuse what no gateway knows before one is looked for, which may take for ever. Raises WatchError."""
    for topic in topics:
        try:
            parse_pattern(topic)
        except TopicError as error:
            raise WatchError(str(error), 2) from None


class _ReaderGoneError(Exception):
    """Whoever read our output has seen enough. (A BrokenPipeError could as well be the gateway's socket.)"""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the pipe's end be told apart from an error."""
        raise _ReaderGoneError


class _Printer:
    """Where messages go when they are not drawn in place: JSON lines, or plain text."""

    def __init__(self, settings: WatchSettings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._shown: dict[str, float] = {}
        self._told = ""

    def tell(self, problem: str) -> None:
        """Say on standard error, once, why nothing comes; nothing is wrong where *problem* is empty."""
        if problem and problem != self._told:
            sys.stderr.write(f"scanplane: {problem}\n")
        self._told = problem

    def show(self, text: str | bytes, message: Mapping[str, Any]) -> None:
        if "topic" not in message or (self._settings.once and not self._settings.as_json):
            return
        if self._settings.as_json:
            try:
                sys.stdout.write((text if isinstance(text, str) else text.decode()) + "\n")
                sys.stdout.flush()
            except BrokenPipeError as error:
                raise _ReaderGoneError from error
        elif message["type"] == "signal":
            self._console.print(Text(signal_line(message["data"])), soft_wrap=True)
        elif message["topic"].startswith("boards/"):
            now = asyncio.get_running_loop().time()
            if now - self._shown.get(message["topic"], -_PLAIN_SECONDS) >= _PLAIN_SECONDS:
                self._shown[message["topic"]] = now
                self._console.print(board_table(message["data"], message["freshness"], rows=self._settings.rows))


async def _converse(
    connection: ClientConnection, settings: WatchSettings, state: WatchState, printer: _Printer | None
) -> None:
    """Say who we are and what we want, and take what comes; return when ``--once`` has everything.

    Without a *printer* the state is drawn by somebody else.
    """
    if printer is not None:
        printer.tell("")
    async for text in connection:
        message = msgspec.json.decode(text)
        if message["type"] == "hello":
            if not message["authenticated"]:
                if settings.token is None:
                    raise WatchError(f"the gateway asks for a token: set {TOKEN_VARIABLE}, or give --token-file", 2)
                await connection.send(msgspec.json.encode({"action": "auth", "token": settings.token}).decode())
                continue
            request = {"action": "subscribe", "topics": settings.topics, "id": 1}
            await connection.send(msgspec.json.encode(request).decode())
        state.take(message)
        if printer is not None:
            printer.show(text, message)
        if settings.once and state.missing is not None and not state.missing:
            return
    if connection.close_code == _UNAUTHORIZED:
        raise WatchError(f"the gateway refused: {connection.close_reason}", 1)


async def follow(settings: WatchSettings, state: WatchState) -> None:
    """Keep *state* what the gateway tells, until cancelled. Raises WatchError."""
    await _watch(settings, state, None)


async def _watch(settings: WatchSettings, state: WatchState, printer: _Printer | None) -> None:
    """Stay connected until cancelled, or until ``--once`` has everything. Raises WatchError."""
    url, pauses = stream_url(settings.url), Backoff(longest_seconds=5.0)
    while True:
        try:
            async with connect(url, compression=None, max_size=None, user_agent_header="scanplane-watch") as connection:
                pauses.reset()
                await _converse(connection, settings, state, printer)
                if settings.once:
                    return
            reason = connection.close_reason or "the connection was closed"
        except InvalidStatus as error:
            raise WatchError(f"{settings.url} refused: {_refusal(error)}") from None
        except InvalidURI as error:
            raise WatchError(f"{settings.url!r} is no gateway's URL; write one such as {DEFAULT_URL}", 2) from error
        except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError) as error:
            reason = str(error) or type(error).__name__
        if settings.once:
            raise WatchError(f"{settings.url} can't be reached: {reason}")
        state.problem = f"{settings.url} is not there ({reason}); trying again"
        if printer is not None:
            printer.tell(state.problem)
        await asyncio.sleep(pauses.next_seconds())


def _refusal(error: InvalidStatus) -> str:
    try:
        return str(msgspec.json.decode(error.response.body or b"")["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"HTTP status {error.response.status_code}"


async def _run(settings: WatchSettings, console: Console) -> None:
    state = WatchState(settings.topics)
    printer = _Printer(settings, console)
    if settings.once:
        try:
            async with asyncio.timeout(_ONCE_SECONDS):
                await _watch(settings, state, printer)
        except TimeoutError:
            raise WatchError(f"{settings.url} did not send everything within {_ONCE_SECONDS:g} s") from None
        if not settings.as_json:
            console.print(state.render(settings.rows))
    elif settings.as_json or not console.is_terminal:
        await _watch(settings, state, printer)
    else:
        await _draw(settings, state, console)


async def _draw(settings: WatchSettings, state: WatchState, console: Console) -> None:
    """Draw the state in place, four times a second."""
    with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:

        async def redraw() -> None:
            while True:
                boards = max(1, len(state.boards))
                room = (console.size.height - SIGNALS_KEPT) // boards - 5
                live.update(state.render(max(3, min(settings.rows, room))), refresh=True)
                await asyncio.sleep(0.25)

        async with TaskScope() as scope:
            scope.accompany(redraw(), "redraw")
            await scope.run(follow(settings, state), "watch")


def _read_token(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text; write the token alone into it"
    except OSError as error:
        reason = (error.strerror or "input/output error").lower()
    raise WatchError(f"can't read the token from {file}: {reason}", 2)


def run_watch(settings: WatchSettings) -> int:
    """Watch until Ctrl-C, or once; return the exit code."""
    console = _Console(highlight=False)
    try:
        _check_topics(settings.topics)
        asyncio.run(_run(settings, console))
    except WatchError as error:
        sys.stderr.write(f"scanplane: {error}\n")
        return error.code
    except _ReaderGoneError:
        # nothing may be flushed into the closed pipe at exit
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def watch(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[URL] [TOPIC]...",
            help=f"The gateway ({DEFAULT_URL}, or {URL_VARIABLE}), then topics or patterns such as "
            "boards/us-stocks/* signals/* quotes/us-stocks/AAPL; all boards and signals if left out.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Show what there is now, and end.")] = False,  # an option
    as_json: Annotated[bool, typer.Option("--json", help="Write each message as a line of JSON.")] = False,
    rows: Annotated[int, typer.Option(help="Rows of each board at most.", min=1, max=1000)] = 15,
    token_file: Annotated[
        Path | None, typer.Option(help=f"A file that holds the bearer token; {TOKEN_VARIABLE} if left out.")
    ] = None,
) -> None:
    """Watch boards and signals of a gateway, live. Ctrl-C ends it."""
    url, topics = split_arguments(arguments or (), os.environ)
    try:
        token = _read_token(token_file) if token_file is not None else os.environ.get(TOKEN_VARIABLE)
    except WatchError as error:
        sys.stderr.write(f"scanplane: {error}\n")
        raise typer.Exit(error.code) from error
    settings = WatchSettings(url=url, topics=topics, once=once, as_json=as_json, rows=rows, token=token or None)
    raise typer.Exit(run_watch(settings))
