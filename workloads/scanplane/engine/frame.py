"""The features of one tick: computed when somebody asks, and only once."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scanplane.engine.definitions import DEFINITIONS, EVENTS, FEATURES, Moment, is_above_vwap, is_below_vwap

__all__ = ["FeatureFrame"]


class FeatureFrame(Mapping[str, NDArray[Any]]):
    """Columns of shape (rows,) by feature name; ``session`` is one text for all (shape ()).

    Events compare with the previous tick, which is what the state holds until ``remember`` is called.
    """

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._columns: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        column = self._columns.get(name)
        if column is None:
            define = DEFINITIONS[name]
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                column = self._columns[name] = define(self)
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(FEATURES)

    def __len__(self) -> int:
        return len(FEATURES)

    @property
    def moment(self) -> Moment:
        """Where and when."""
        return self._moment

    @property
    def rows(self) -> int:
        """The number of symbols."""
        return len(self._moment.names)

    def state(self, name: str) -> NDArray[Any]:
        """Return a column of the state, shape (rows,) or (planes, rows); not a copy."""
        values: NDArray[Any] = self._moment.state[name][..., : self.rows]
        return values

    def remember(self) -> None:
        """Make this tick the one that the next is compared with; events that nobody asked for yet are computed first."""
        for name in EVENTS:
            self[name]
        self.state("ticked_high")[:] = self["high_of_day"]
        self.state("ticked_low")[:] = self["low_of_day"]
        side = self.state("vwap_side")
        side[is_above_vwap(self)] = 1
        side[is_below_vwap(self)] = -1
