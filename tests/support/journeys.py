"""Whole pipelines for end-to-end journeys: the simulated provider and every role as processes of their own.

:class:`Deployment` does to role processes what Kubernetes does to pods: a changed configuration is a new process that has to
be ready before the old one gets SIGTERM; a process that was killed is started again.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec

from scanplane.cache import keys
from scanplane.cache.interface import Cache
from scanplane.cli.documents import write_plan
from scanplane.gateway.merge import Board, merge_parts, parse_partition
from scanplane.local.world import World, build_world
from scanplane.marketdata.results import BoardPart, QuoteRow, Signal
from scanplane.plan.configuration import RoleConfiguration, configuration_hash
from scanplane.plan.restarts import Restart, explain_restart
from scanplane.resources.documents import SourceText
from support.servers import ChildProcess, free_port

__all__ = [
    "Deployment",
    "Figures",
    "Results",
    "SimulatorProcess",
    "read_quotes",
    "read_results",
    "wait_for",
    "whole_board",
    "without_host",
]

PATIENCE = 4
"""How many times longer than on an idle machine: a wait ends a test that hangs, it measures nothing."""

SCANPLANE = (sys.executable, "-m", "scanplane.cli")


def wait_for(condition: Callable[[], bool], what: str, patience_s: float = 60.0, *, pause_s: float = 0.02) -> None:
    """Look again every *pause_s* until *condition* holds; fail with *what* if it never does."""
    patience_s *= PATIENCE
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {patience_s:.0f} s")
        time.sleep(pause_s)


class SimulatorProcess:
    """``scanplane simulate`` on *port*, or a free one."""

    def __init__(self, folder: Path, *arguments: str, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=5)
        self._process = ChildProcess(
            [*SCANPLANE, "simulate", *arguments, "--port", str(self.port)], os.environ, folder / "simulator.log"
        )
        self._process.wait_until(self._listens, "the simulator", 60)

    def _listens(self) -> bool:
        try:
            return self._http.get("/simulator/status").is_success
        except httpx.TransportError:
            return False

    def status(self) -> dict[str, Any]:
        """Return the simulator's status."""
        answer: dict[str, Any] = self._http.get("/simulator/status").json()
        return answer

    @property
    def finished(self) -> bool:
        return bool(self.status()["finished"])

    def wait_until_finished(self, patience_s: float = 120.0) -> int:
        """Wait for the end of the session and return the number of its events."""
        wait_for(lambda: self.finished, "the end of the session", patience_s, pause_s=0.25)
        return int(self.status()["events"])

    def losses(self) -> dict[str, int]:
        """Return what says that an event was not heard, or that anybody else was connected at any time."""
        status = self.status()
        connections = status["connections"]
        extra = {"connections": connections["total"] - 1, "connections at once": connections["maximum"] - 1}
        found = {"unheard": status["unheard"], "slow consumers": connections["slowConsumers"], **extra}
        return {name: count for name, count in found.items() if count}

    def wait_events(self, count: int) -> None:
        """Wait until the session has played *count* events."""
        wait_for(lambda: int(self.status()["events"]) >= count or self.finished, f"event {count:,}")

    def fall_silent(self) -> None:
        """Let it send nothing any more, its connections open."""
        self._process.send(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it send again."""
        self._process.send(signal.SIGCONT)

    def kill(self) -> None:
        """End it with SIGKILL, as a provider's machine may."""
        self._process.end(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._process.end()


class _Replica:
    """One role process."""

    def __init__(self, folder: Path, name: str, files: Path) -> None:
        self.port = free_port()
        self.process = ChildProcess(
            [
                *SCANPLANE,
                "run",
                str(folder / f"{name}.json"),
                "--secrets",
                str(folder / "secrets"),
                "--files",
                str(files),
                "--status-host",
                "127.0.0.1",
                "--status-port",
                str(self.port),
                "--logs",
                "json",
            ],
            os.environ,
            folder / f"{name}.log",
        )

    def status(self) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self.port}/status", timeout=5).json()
        except httpx.TransportError:
            return None
        return answer

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False


class Deployment:
    """Role processes kept equal to resources, against a real broker and cache."""

    def __init__(self, folder: Path, namespace: str, files: Path = Path()) -> None:
        self._folder = folder
        self._namespace = namespace
        self._files = files
        self._world: World | None = None
        self._generation = 0
        self._replicas: dict[str, _Replica] = {}
        self._folders: dict[str, Path] = {}
        self.restarts: list[tuple[str, Restart]] = []

    def apply(
        self,
        text: str,
        *,
        without: frozenset[str] = frozenset({"gateway"}),
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the processes what *text* declares; instances named in *without* are left out.

        *meanwhile* happens when the analyzers are new and the listeners are still the old ones.
        """
        world = build_world([SourceText("resources.yaml", text)], {}, self._world, namespace=self._namespace)
        assert not world.problems, [str(problem) for problem in world.problems]
        self._generation += 1
        folder = self._folder / f"generation-{self._generation}"
        write_plan(world, folder)
        before = {} if self._world is None else self._world.plan.configurations
        self._world = world
        wanted = {name: each for name, each in world.plan.configurations.items() if name not in without}
        removed = sorted(self._replicas.keys() - wanted.keys())
        self._end([name for name in removed if not name.startswith("analyzer-")])
        for analyzers in (True, False):  # a listener goes where its analyzers stand by
            self._bring_up(
                {name: each for name, each in wanted.items() if name.startswith("analyzer-") is analyzers},
                before,
                folder,
            )
            if analyzers:
                meanwhile()
        self._end([name for name in removed if name.startswith("analyzer-")])

    def _end(self, names: Sequence[str]) -> None:
        for name in names:
            self._replicas.pop(name).process.end()

    def _bring_up(
        self, wanted: Mapping[str, RoleConfiguration], before: Mapping[str, RoleConfiguration], folder: Path
    ) -> None:
        """Start what is new or changed, and end what it replaces once it is ready."""
        started: dict[str, _Replica] = {}
        for name, configuration in wanted.items():
            if name in self._replicas and configuration_hash(before[name]) == configuration_hash(configuration):
                continue
            self._folders[name] = folder
            started[name] = _Replica(folder, name, self._files)
        for name, replica in started.items():
            replica.process.wait_until(replica.is_ready, name, 60)
        for name, replica in started.items():
            if name in self._replicas:
                self.restarts.append((name, explain_restart(before[name], wanted[name])))
                self._replicas[name].process.end()
            self._replicas[name] = replica

    def kill(self, name: str) -> None:
        """Kill an instance with SIGKILL and start it again, as a kubelet does."""
        self._replicas[name].process.end(signal.SIGKILL)
        self._replicas[name] = _Replica(self._folders[name], name, self._files)

    def pid(self, name: str) -> int:
        """Return the process id of an instance."""
        return self._replicas[name].process.pid

    def status_url(self, name: str) -> str:
        """Return where an instance answers probes and scrapes."""
        return f"http://127.0.0.1:{self._replicas[name].port}"

    def status(self, name: str) -> dict[str, Any]:
        """Return the status of an instance, waiting for it if it has just been started."""
        found: list[dict[str, Any]] = []

        def answers() -> bool:
            status = self._replicas[name].status()
            found.extend([] if status is None else [status])
            return bool(found)

        wait_for(answers, f"an answer of {name}")
        return found[-1]

    def figure(self, name: str, figure: str) -> float:
        """Return one figure of an instance; 0 while it has none."""
        return float(self.status(name)["figures"].get(figure, 0.0))

    def figures(self) -> "Figures":
        """Return what every listener and analyzer says of itself now."""
        figures = {name: self.status(name)["figures"] for name in sorted(self._replicas)}
        return Figures(
            {name: each for name, each in figures.items() if name.startswith("listener-")},
            {name: each for name, each in figures.items() if name.startswith("analyzer-")},
        )

    def wait_until_complete(self, events: int, patience_s: float = 120.0) -> "Figures":
        """Wait until *events* have come and are behind the boards; return the figures of that moment."""
        found: list[Figures] = []

        def complete() -> bool:
            found.append(self.figures())
            return found[-1].has_applied(events)

        wait_for(complete, f"a board behind event {events:,}", patience_s, pause_s=0.25)
        return found[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in sorted(self._replicas, reverse=True):
            self._replicas[name].process.end()


_LOSSES = {
    "listener": (
        "disconnects_total",
        "authentication_failures_total",
        "connection_limit_refusals_total",
        "unacknowledged_topics",
        "dropped_frames_total",
        "dropped_batches_total",
        "dropped_events_total",
        "rejected_total",
        "not_subscribed_total",
        "refused_clock_jumps_total",
        "rewinds_total",
        "broker_reconnects_total",
    ),
    "analyzer": (
        "missing_batches_total",
        "lost_seals_total",
        "repeated_batches_total",
        "outdated_batches_total",
        "malformed_batches_total",
        "stale_events_total",
        "early_events_total",
        "waiting_early_events",
        "refused_events_total",
        "refused_symbols",
        "ignored_ticks_total",
        "rewinds_total",
        "dropped_bar_volumes_total",
        "signals_repeated_total",
        "cache_failures_total",
    ),
}


class Figures(msgspec.Struct, frozen=True):
    """What listeners and analyzers say of themselves, by instance."""

    listeners: dict[str, dict[str, float]]
    analyzers: dict[str, dict[str, float]]

    def has_applied(self, events: int) -> bool:
        """Say whether *events* came in, and every analyzer has evaluated an instant after the last of them."""
        received = sum(each.get("events_total", 0.0) for each in self.listeners.values())
        newest = max(each.get("event_time_unix_seconds", 0.0) for each in self.listeners.values())
        return received >= events and all(
            each.get("tick_unix_seconds", 0.0) > newest for each in self.analyzers.values()
        )

    def losses(self, *, finished: bool = False) -> dict[str, float]:
        """Return every figure that says that something was lost, came twice, or was refused; a calm run has none.

        *finished* says that the provider has gone, as a recording does at its end.
        """
        found = {
            f"{name} {figure}": each[figure]
            for role, instances in (("listener", self.listeners), ("analyzer", self.analyzers))
            for name, each in instances.items()
            for figure in _LOSSES[role]
            if each[figure]
        }
        if finished:
            found = {name: value - name.endswith("disconnects_total") for name, value in found.items()}
        return {name: value for name, value in found.items() if value}

    def total(self, figure: str) -> float:
        """Return the sum of a figure over all analyzers."""
        return sum(each.get(figure, 0.0) for each in self.analyzers.values())


class Results(msgspec.Struct, frozen=True):
    """What a run ends with, free of the host's clock: equal runs have equal results, byte for byte."""

    boards: dict[str, BoardPart]
    signals: list[Signal]

    def encode(self) -> bytes:
        return msgspec.json.encode(self, order="sorted")

    def merged(self) -> dict[str, Board]:
        """Return each scanner's board over all partitions, all of them there and at the same tick."""
        scanners = sorted({part.scanner for part in self.boards.values()})
        return {
            scanner: whole_board([part for part in self.boards.values() if part.scanner == scanner])
            for scanner in scanners
        }

    def encode_merged(self) -> bytes:
        """Encode what must not depend on the number of partitions."""
        return msgspec.json.encode({"boards": self.merged(), "signals": self.signals}, order="sorted")

    def rows(self, scanner: str) -> dict[str, Mapping[str, Any]]:
        """Return the rows of a scanner's board over all partitions: symbol to column to value, best first."""
        parts = [part for part in self.boards.values() if part.scanner == scanner]
        rows = [(row, part.columns) for part in parts for row in part.rows]
        rows.sort(key=lambda each: each[0].symbol)
        rows.sort(key=lambda each: each[0].rank_value, reverse=parts[0].descending)
        return {row.symbol: dict(zip(columns, row.values, strict=True)) for row, columns in rows[: parts[0].limit]}


def without_host(part: BoardPart) -> BoardPart:
    """Leave out what the host's clock and the traces of a run put into *part*."""
    return msgspec.structs.replace(part, received_ns=0, evaluated_ns=0, silence="", traceparent="")


def whole_board(parts: Sequence[BoardPart]) -> Board:
    """Merge the parts of one board as the gateway does; leave out how many they were."""
    count = parse_partition(parts[0].partition).count
    board = merge_parts(parts, count)
    assert board.complete, f"{board.scanner} has {board.partitions_present} of {count} parts, or of several ticks"
    return msgspec.structs.replace(board, partitions=0, partitions_present=0)


async def read_quotes(cache: Cache, namespace: str, market: str) -> dict[str, QuoteRow]:
    """Read the features of every symbol of a market."""
    rows = await cache.read_table(keys.quotes(namespace, market))
    return {symbol: msgspec.json.decode(row, type=QuoteRow) for symbol, row in rows.items()}


async def read_results(cache: Cache, namespace: str, market: str) -> Results:
    """Read every board part and signal of a market, without what differs between equal runs."""
    boards: dict[str, BoardPart] = {}
    found = await cache.list_keys(keys.boards_prefix(namespace, market))
    for key, value in zip(found, await cache.read_values(found), strict=True):
        assert value is not None
        part = msgspec.json.decode(value, type=BoardPart)
        name = f"{part.scanner}:{part.partition}"
        boards[name] = without_host(part)
        assert key.startswith(namespace)
    signals: list[Signal] = []
    for key in await cache.list_keys(keys.signals_prefix(namespace, market)):
        entries = await cache.read_stream(key, limit=1_000_000)
        signals.extend(msgspec.json.decode(entry.value, type=Signal) for entry in entries)
    signals = [msgspec.structs.replace(each, received_ns=0, evaluated_ns=0) for each in signals]
    return Results(boards, sorted(signals, key=lambda each: (each.tick_ns, each.scanner, each.symbol)))
