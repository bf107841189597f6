"""From the view into the hub: which change becomes which message, and when."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from scanplane.gateway.freshness import STALE_AFTER_NS, Freshness, freshness_of
from scanplane.gateway.hub import Hub
from scanplane.gateway.merge import Board
from scanplane.gateway.scheduling import PublishSchedule
from scanplane.gateway.topics import board_topic, signals_topic, status_topic
from scanplane.gateway.traces import BoardTraces
from scanplane.gateway.view import ScannerKey, View
from scanplane.marketdata.results import BoardPart, QuoteRow, Signal
from scanplane.telemetry.latency import LatencyHistogram
from scanplane.telemetry.status import RoleStatus
from scanplane.telemetry.traces import BatchTraces

__all__ = ["Publisher"]

_TOPICS_AT_ONCE = 64
_LONGEST_LAG_NS = 3_600_000_000_000


class Publisher:
    """Publishes what changes in *view*, each topic at most so often, and judges how fresh everything is.

    ``problem`` says why the gateway is behind, empty if it is not.
    """

    def __init__(
        self,
        view: View,
        hub: Hub,
        *,
        max_updates_per_second: float,
        receipt_to_gateway: LatencyHistogram,
        traces: BatchTraces,
    ) -> None:
        self.problem = "the cache is not read yet"
        self.schedule = PublishSchedule(max_updates_per_second)
        self._view = view
        self._hub = hub
        self._latency = receipt_to_gateway
        self._traces = BoardTraces(traces)
        self._wake = asyncio.Event()

    def board_changed(self, key: ScannerKey, pushed: BoardPart | None = None) -> None:
        """Publish a board soon: at once if all partitions stand at one tick."""
        if pushed is None:
            self._traces.forget(key)
        else:
            self._traces.arrive(key, pushed)
        self._mark(board_topic(*key), whole=self._view.is_whole(key))

    def board_removed(self, key: ScannerKey) -> None:
        """Take a board away."""
        self._traces.forget(key)
        self.schedule.forget(board_topic(*key))
        self._hub.drop_topic(board_topic(*key))

    def signal_added(self, signal: Signal) -> None:
        """Send a signal at once."""
        key = (signal.market, signal.scanner)
        self._hub.publish_event(
            signals_topic(*key), signal, lambda: self.judge_signal(signal), lambda: self._recent(key)
        )

    def signals_read(self, key: ScannerKey) -> None:
        """Make a scanner's history known."""
        recent = self._view.recent_signals(key)
        if not recent:
            return
        newest = recent[-1].signal
        self._hub.restore_events(signals_topic(*key), lambda: self.judge_signal(newest), lambda: self._recent(key))

    def status_changed(self, name: str) -> None:
        """Publish a status."""
        self._mark(status_topic(name), whole=True)

    def status_removed(self, name: str) -> None:
        """Take a status away."""
        self.schedule.forget(status_topic(name))
        self._hub.drop_topic(status_topic(name))

    async def run(self) -> None:
        """Publish what is due until cancelled."""
        while True:
            due_ns = self.schedule.next_due_ns()
            wait_seconds = None if due_ns is None else (due_ns - time.monotonic_ns()) / 1e9
            if wait_seconds is None or wait_seconds > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_seconds):
                        await self._wake.wait()
            self._wake.clear()
            for ordinal, topic in enumerate(self.schedule.take_due(time.monotonic_ns()), start=1):
                self._publish(topic)
                if ordinal % _TOPICS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def judge_board(self, board: Board) -> Freshness:
        """Say how fresh *board* is now."""
        return self._judge(board, board.tick_ns)

    def judge_signal(self, signal: Signal) -> Freshness:
        """Say how fresh *signal* is now; an old signal is no stale one."""
        return freshness_of(
            tick_ns=signal.tick_ns,
            received_ns=signal.received_ns,
            evaluated_ns=signal.evaluated_ns,
            now_ns=time.time_ns(),
            data_label=signal.data_label,
            problem=self.problem,
            ages=False,
        )

    def judge_quote(self, quote: QuoteRow) -> Freshness:
        """Say how fresh *quote* is now; its market's newest board tells of the label and of how live it is."""
        newest = self._view.newest_part(quote.market)
        if newest is None:
            return self._judge(None, quote.tick_ns)
        return self._judge(newest, newest.tick_ns).of_row(quote.tick_ns)

    def judge_status(self, status: RoleStatus) -> Freshness:
        """Say how fresh *status* is now: its time is the host's clock."""
        now_ns = time.time_ns()
        return freshness_of(
            tick_ns=status.updated_ns,
            received_ns=status.updated_ns,
            evaluated_ns=status.updated_ns,
            now_ns=now_ns,
            problem=self.problem,
        )

    def _judge(self, newest: Board | BoardPart | None, tick_ns: int) -> Freshness:
        """Judge what a market's evaluation at *tick_ns* made, by what the *newest* board tells of it."""
        if newest is None:
            return freshness_of(
                tick_ns=tick_ns, received_ns=0, evaluated_ns=0, now_ns=time.time_ns(), problem=self.problem
            )
        return freshness_of(
            tick_ns=tick_ns,
            received_ns=newest.received_ns,
            evaluated_ns=newest.evaluated_ns,
            now_ns=time.time_ns(),
            data_label=newest.data_label,
            problem=self.problem,
            silence=newest.silence,
            stale_after_ns=newest.stale_after_ns or STALE_AFTER_NS,
        )

    def _recent(self, key: ScannerKey) -> Sequence[Signal]:
        return [recent.signal for recent in self._view.recent_signals(key)]

    def _mark(self, topic: str, *, whole: bool) -> None:
        self.schedule.mark(topic, whole=whole, now_ns=time.monotonic_ns())
        self._wake.set()

    def _publish(self, topic: str) -> None:
        kind, _, rest = topic.partition("/")
        if kind == "status":
            status = self._view.statuses.get(rest)
            if status is not None:
                self._hub.publish(topic, status, lambda: self.judge_status(status))
            return
        market, _, scanner = rest.partition("/")
        key = (market, scanner)
        board = self._view.board(key)
        if board is None:
            return
        self._hub.publish(topic, board, lambda: self.judge_board(board))
        self._traces.publish(key)
        lag_ns = time.time_ns() - board.received_ns
        if board.received_ns and 0 <= lag_ns < _LONGEST_LAG_NS:
            self._latency.record_ns(lag_ns)
