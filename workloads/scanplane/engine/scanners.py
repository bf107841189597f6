"""Scanners: compiled questions, and what must be remembered of each symbol to tell a beginning from a continuation.

When a signal fires
- Its condition is ``where && when`` (either may be left out).
- A condition over an event (``new_high_of_day``) fires at every tick at which it is true: each event is one.
- Any other condition fires when it becomes true after it was false. At the very first evaluation of a scanner nothing
  fires for the symbols that match already: a scanner that was just created does not repeat the morning. A symbol that
  appears later fires when it first matches.
- The cooldown runs in event time, per symbol, from the last time it fired. What happens meanwhile is dropped, not kept
  for later: a condition that became true within the cooldown has to become false and true again.

What is remembered is named by a digest of name and expressions: a scanner whose board, columns or cooldown changed goes
on, one whose question changed begins anew.
"""

import hashlib

import msgspec
import numpy as np
from numpy.typing import NDArray

from scanplane.engine.boards import make_board
from scanplane.engine.cells import cells_of, known_number
from scanplane.engine.columns import Column, Columns
from scanplane.engine.frame import FeatureFrame
from scanplane.expressions import ValueType
from scanplane.expressions.program import Program, compile_expression
from scanplane.features.catalogue import CATALOGUE
from scanplane.marketdata.results import BoardPart, Signal
from scanplane.plan.configuration import ScannerConfiguration

__all__ = ["CompiledScanner"]

_NEVER_FIRED = -(2**62)

_SIGNAL_COLUMNS = (Column("active", "|b1", 0), Column("fired_ns", "<i8", _NEVER_FIRED))


class CompiledScanner:
    """One scanner of one partition. Raises ExpressionError when made from an expression that does not compile."""

    def __init__(self, configuration: ScannerConfiguration, *, market: str, partition: str) -> None:
        self.configuration = configuration
        self._market = market
        self._partition = partition
        signal = configuration.signal
        when = None if signal is None else signal.when
        self._where = None if configuration.where is None else compile_expression(configuration.where, ValueType.BOOL)
        self._when = None if when is None else compile_expression(when, ValueType.BOOL)
        board = configuration.board
        self._rank_by = None if board is None else compile_expression(board.rank_by, ValueType.NUMBER)
        conditions = [program for program in (self._where, self._when) if program is not None]
        self._uses_events = any(program.uses_events for program in conditions)
        read = frozenset[str]().union(*(program.features for program in conditions)) - {"symbol"}
        self._signal_columns = board.columns if board else tuple(name for name in CATALOGUE if name in read)
        self.memory = Columns(_SIGNAL_COLUMNS)
        self.is_primed = False
        """Whether the condition was evaluated before."""

    @property
    def name(self) -> str:
        """The scanner's name."""
        return self.configuration.name

    @property
    def digest(self) -> str:
        """What names the memory of its signals; empty if it has none."""
        signal = self.configuration.signal
        if signal is None:
            return ""
        definition = (self.name, self.configuration.where, signal.when)
        return hashlib.sha256(msgspec.json.encode(definition)).hexdigest()[:16]

    def forget(self) -> None:
        """Begin anew."""
        self.memory.clear()
        self.is_primed = False

    def evaluate(self, frame: FeatureFrame) -> tuple[BoardPart | None, list[Signal], int]:
        """Return the board, the signals by symbol ascending, and how many symbols match ``where``."""
        matching = _evaluate(self._where, frame)
        board, rank_by = self.configuration.board, self._rank_by
        part = None
        if board is not None and rank_by is not None:
            part = make_board(
                market=self._market,
                scanner=self.name,
                partition=self._partition,
                board=board,
                rank_by=rank_by,
                matching=matching,
                frame=frame,
            )
        signals = [] if self.configuration.signal is None else self._signals(frame, matching)
        return part, signals, int(np.count_nonzero(matching))

    def _signals(self, frame: FeatureFrame, matching: NDArray[np.bool_]) -> list[Signal]:
        assert self.configuration.signal is not None, "only asked of a scanner with a signal"
        tick_ns, rows = frame.moment.tick_ns, frame.rows
        self.memory.grow(rows)
        active, fired_ns = self.memory["active"][:rows], self.memory["fired_ns"][:rows]
        condition = matching if self._when is None else matching & _evaluate(self._when, frame)
        begins = condition if self._uses_events else condition & ~active
        if not self.is_primed and not self._uses_events:
            begins = np.zeros_like(condition)
        self.is_primed = True
        fires = np.flatnonzero(begins & (tick_ns - fired_ns >= self.configuration.signal.cooldown_ns))
        active[:] = condition
        if not len(fires):
            return []  # at nearly every tick
        fired_ns[fires] = tick_ns
        fires = fires[np.argsort(frame["symbol"][fires])]
        cells = cells_of(frame, self._signal_columns, fires)
        return [
            Signal(
                signal_id=f"{tick_ns}:{self.name}:{symbol}",
                market=self._market,
                scanner=self.name,
                symbol=symbol,
                tick_ns=tick_ns,
                price=known_number(price),
                columns=self._signal_columns,
                values=values,
                explanation=self._explain(frame, row),
            )
            for row, symbol, price, values in zip(
                fires.tolist(), frame["symbol"][fires].tolist(), frame["price"][fires].tolist(), cells, strict=True
            )
        ]

    def _explain(self, frame: FeatureFrame, row: int) -> str:
        texts = (program.explain(frame, row) for program in (self._where, self._when) if program is not None)
        return " && ".join(texts)


def _evaluate(program: Program | None, frame: FeatureFrame) -> NDArray[np.bool_]:
    if program is None:
        return np.ones(frame.rows, np.bool_)
    result: NDArray[np.bool_] = program.evaluate(frame)
    return result
