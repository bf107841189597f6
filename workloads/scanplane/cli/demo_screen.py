"""What the demo shows: boards, signals and the pipeline's figures, while it plays and when it has ended. No I/O."""

import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scanplane.cli.tables import board_table, signal_line
from scanplane.cli.watch_state import WatchState

__all__ = ["DemoScreen"]

_NEW_YORK = ZoneInfo("America/New_York")
_DAY_S = 16 * 3600
_OPENS = 4 * 3600
FINAL_ROWS = 10
SETTLE_S = 30.0
"""After the last event the demo waits for the boards as long as anything moves, and so much longer."""
BEHIND_S = 1.0
"""Boards that come so much after their events, because these wait in a queue, are told of."""
_SECONDS_KEPT = 3600


class DemoScreen:
    """Collects what is known and lays it out. *speed* is how many times faster than real time the day is played."""

    def __init__(self, title: str, honesty: str, boards: tuple[str, ...], speed: float) -> None:
        self.is_complete = False
        self._title = title
        self._honesty = honesty
        self._wanted = boards
        self._speed = speed
        self._state = WatchState(())
        self._provider: Mapping[str, Any] = {}
        self._figures: Mapping[str, float] = {}
        self._began: float | None = None
        self._finished: float | None = None
        self._moved = (0.0, 0.0)
        self._latencies_ms: deque[float] = deque(maxlen=_SECONDS_KEPT)
        self._worst_ms = 0.0
        self._most_behind_s = 0.0
        self._peak_rate = 0.0
        self._rate = 0.0
        self._last: tuple[float, float] | None = None

    def take(self, state: WatchState, provider: Mapping[str, Any], figures: Mapping[str, float]) -> None:
        """Take in the newest of everything: what the gateway told, the provider's status, the roles' figures."""
        self._state, self._figures = state, figures
        self._provider = provider or self._provider
        now = time.monotonic()
        applied = self._applied
        if self._began is None and applied:
            self._began = now
        if self._last is None or now - self._last[0] >= 1.0:
            if self._last is not None and self._finished is None:
                self._rate = (applied - self._last[1]) / (now - self._last[0])
                self._peak_rate = max(self._peak_rate, self._rate)
            if self._began is not None and self._finished is None:
                self._latencies_ms.append(self._latency_ms)
            self._last = (now, applied)
        if self._finished is None:
            self._worst_ms = max(self._worst_ms, self._latency_ms)
            self._most_behind_s = max(self._most_behind_s, self._behind_s)
        if self._finished is None and self._provider.get("finished"):
            self._finished = now
        progress = applied + figures.get("analyzer.tick_unix_seconds", 0.0)
        if progress != self._moved[1]:
            self._moved = (now, progress)
        self.is_complete = self._finished is not None and (
            self._is_shown or now - max(self._finished, self._moved[0]) > SETTLE_S
        )

    @property
    def _applied(self) -> float:
        names = ("trades_total", "quotes_total", "second_aggregates_total", "minute_aggregates_total")
        return sum(self._figures.get(f"analyzer.{name}", 0.0) for name in names)

    @property
    def _latency_ms(self) -> float:
        """How late all but the latest 1 % of the boards of the last 10 s came after the newest event behind them."""
        return self._figures.get("analyzer.tick_to_board_p99_ms", 0.0)

    @property
    def _behind_s(self) -> float:
        """How late boards come while events wait in a queue. (In a silent market they come late, and nothing waits.)"""
        waits = any(self._figures.get(f"listener.waiting_{what}", 0.0) for what in ("bytes", "batches"))
        return self._latency_ms / 1000 if waits else 0.0

    @property
    def _is_shown(self) -> bool:
        """Whether the last event that was sent has been applied, evaluated, and reached the boards here."""
        sent = float(self._provider.get("events", 0) - self._provider.get("unheard", 0))
        tick_s = self._figures.get("analyzer.tick_unix_seconds", 0.0)
        newest_s = self._figures.get("listener.event_time_unix_seconds", 0.0)
        if self._applied < sent or tick_s < newest_s:
            return False
        ticks = [message["data"]["tickNs"] / 1e9 for message in self._state.boards.values()]
        return bool(ticks) and max(ticks) >= tick_s

    @property
    def lost(self) -> float:
        """Everything that was lost anywhere, in the units that it is counted in."""
        names = ("listener.dropped_frames_total", "listener.dropped_events_total", "analyzer.missing_batches_total")
        return float(self._provider.get("unheard", 0)) + sum(self._figures.get(name, 0.0) for name in names)

    @property
    def is_whole(self) -> bool:
        """Whether the boards are of everything that was played, and of nothing twice."""
        return self.is_complete and self._applied == self._provider.get("events", 0)

    def line(self) -> str:
        """Return how far it is, in one line."""
        behind = f", boards up to {self._behind_s:.1f} s behind" if self._behind_s >= BEHIND_S else ""
        return f"{self._clock()}  {self._applied:,.0f} events, {self._rate:,.0f} a second, {self.lost:.0f} lost{behind}"

    def render(self, height: int, width: int) -> RenderableType:
        """Return the screen of this moment for a terminal of that size."""
        head = Text.assemble((self._title, "bold"), f"  ({self._honesty})")
        bar = ProgressBar(total=_DAY_S, completed=self._day_seconds(), width=min(60, width - 20))
        signals = sorted(self._state.signals, key=lambda signal: -signal["tickNs"])[:6]
        rows = max(3, (height - 14) // (2 if width >= 150 else max(1, len(self._boards()))) - 5)
        boards = [board_table(each["data"], each["freshness"], rows=rows) for each in self._boards()]
        return Group(
            head,
            Columns([Text(self._clock()), bar]),
            Text(self.line(), style="dim"),
            Columns(boards) if width >= 150 else Group(*boards),
            Text("signals", style="italic"),
            *(Text(signal_line(signal), no_wrap=True, overflow="ellipsis") for signal in signals),
        )

    def print_result(self, console: Console) -> None:
        """Print the final boards, the last signals and the figures."""
        for message in self._boards():
            console.print(board_table(message["data"], None, rows=FINAL_ROWS))
        if self._state.signals:
            console.print(f"[italic]the last of {self._figures.get('analyzer.signals_total', 0):,.0f} signals[/italic]")
            for signal in sorted(self._state.signals, key=lambda each: each["tickNs"]):
                console.print(Text(signal_line(signal)), soft_wrap=True)
        console.print(self._summary())
        if self._most_behind_s >= BEHIND_S:
            console.print(
                f"Boards came up to {self._most_behind_s:.1f} s after their events: at {self._speed:g} times real time the day "
                "asked for more than this machine had free, and events waited their turn. A lower --speed shortens the wait.",
                style="yellow",
            )
        if self.is_complete and not self.is_whole:
            console.print("These boards are not of everything that was played.", style="red")

    def _summary(self) -> Table:
        elapsed = (self._finished or time.monotonic()) - (self._began or time.monotonic())
        connections = self._provider.get("connections", {})
        table = Table(box=None, show_header=False, title="the pipeline", title_justify="left", padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(justify="right")
        rate = self._applied / elapsed if elapsed > 0 else 0.0
        typical = median(self._latencies_ms) if self._latencies_ms else 0.0
        for name, value in (
            ("events applied", f"{self._applied:,.0f} of {self._provider.get('events', 0):,.0f} played"),
            ("events a second", f"{rate:,.0f} on average, {self._peak_rate:,.0f} at most"),
            ("tick to board, p99 over 10 s", f"{typical:,.0f} ms at the median, {self._worst_ms:,.0f} ms at most"),
            ("evaluations of all scanners", f"{self._figures.get('analyzer.evaluations_total', 0):,.0f}"),
            ("signals", f"{self._figures.get('analyzer.signals_total', 0):,.0f}"),
            ("lost: frames, events, batches", f"{self.lost:,.0f}"),
            ("refused by the decoder", f"{self._figures.get('listener.rejected_total', 0):,.0f}"),
            ("provider connections at once, at most", f"{connections.get('maximum', 0)}"),
        ):
            table.add_row(name, value)
        return table

    def _boards(self) -> list[dict[str, Any]]:
        found = {topic.rpartition("/")[2]: message for topic, message in sorted(self._state.boards.items())}
        return [found[name] for name in self._wanted if name in found] if self._wanted else list(found.values())

    def _moment(self) -> datetime | None:
        position_ns = self._provider.get("positionNs", 0)
        return datetime.fromtimestamp(position_ns / 1e9, tz=_NEW_YORK) if position_ns else None

    def _clock(self) -> str:
        moment = self._moment()
        return f"{moment:%Y-%m-%d %H:%M:%S} New York" if moment is not None else "waiting for the first event"

    def _day_seconds(self) -> float:
        moment = self._moment()
        if moment is None:
            return 0.0
        return min(max(moment.hour * 3600 + moment.minute * 60 + moment.second - _OPENS, 0), _DAY_S)
