"""The pure core of an analyzer: event structs and ticks in, board parts and signals out. No I/O, no clock."""

from scanplane.engine.counts import EngineCounts
from scanplane.engine.engine import Engine
from scanplane.engine.evaluation import Evaluation
from scanplane.engine.reference_data import DayReference, DaySoFar, ReferenceData, SymbolReference, VolumeCurve
from scanplane.engine.sessions import Session, TradingCalendar, TradingDay
from scanplane.engine.snapshots import StateMismatchError

__all__ = [
    "DayReference",
    "DaySoFar",
    "Engine",
    "EngineCounts",
    "Evaluation",
    "ReferenceData",
    "Session",
    "StateMismatchError",
    "SymbolReference",
    "TradingCalendar",
    "TradingDay",
    "VolumeCurve",
]
