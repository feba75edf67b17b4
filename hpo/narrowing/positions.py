"""Settings as rows of numbers: what the surrogate sees, and candidates in the same form.

One column per axis. A range is measured from 0 to 1 as by `to_unit`, a choice by its place in the
list. A parameter that does not exist in a setting stands in the middle of its range, or at the
place -1: the choice that it depends on has a column of its own and tells these settings apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.narrowing.surrogate import Array, Mask
from hpo.space import Axis, Choice, Space

_ELSEWHERE = 0.2  # share of neighbours that are anywhere on an axis: it may be an idle one


@dataclass(frozen=True)
class Positions:
    """The rows of a space."""

    space: Space

    @property
    def categorical(self) -> Mask:
        """Which columns are places in a list of choices."""
        return np.array([isinstance(axis, Choice) for axis in self.space.axes.values()])

    def of(self, settings: Sequence[Mapping[str, Any]]) -> Array:
        """Return the rows of settings; a parameter that the space does not know has no column."""
        return np.array(
            [
                [
                    _position(axis, setting[name]) if name in setting else _absent(axis)
                    for name, axis in self.space.axes.items()
                ]
                for setting in settings
            ],
            dtype=float,
        ).reshape(len(settings), len(self.space))

    def anywhere(self, count: int, rng: np.random.Generator) -> Array:
        """Return rows drawn evenly from the space."""
        return self._legal(self._drawn(rng.random((count, len(self.space)))))

    def near(
        self, rows: Array, spread: Sequence[float] | float, count: int, rng: np.random.Generator
    ) -> Array:
        """Return neighbours of rows drawn from these.

        Each has one of the standard deviations, but on some of its axes it is drawn evenly.
        """
        around = rows[rng.integers(len(rows), size=count)]
        fresh = self._drawn(rng.random(around.shape))
        step = rng.choice(np.atleast_1d(np.asarray(spread, dtype=float)), size=(count, 1))
        moved = np.clip(around + step * rng.standard_normal(around.shape), 0.0, 1.0)
        leaps = rng.random(around.shape) < _ELSEWHERE
        near = np.where(leaps, fresh, np.where(self.categorical, around, moved))
        # Where a neighbour's choice brings a parameter into being, nothing is known of it.
        return self._legal(np.where(self._exists(around), near, fresh))

    def _drawn(self, u: Array) -> Array:
        """Turn uniform numbers into places in the columns of choices."""
        for column, axis in enumerate(self.space.axes.values()):
            if isinstance(axis, Choice):
                u[:, column] = np.floor(u[:, column] * axis.count)
        return u

    def _legal(self, rows: Array) -> Array:
        """Move each position to the value that it stands for, and to "absent" what is not there."""
        for column, axis in enumerate(self.space.axes.values()):
            rows[:, column] = _snapped(axis, rows[:, column])
        absent = [_absent(axis) for axis in self.space.axes.values()]
        return np.where(self._exists(rows), rows, absent)

    def _exists(self, rows: Array) -> Mask:
        """Return which parameters exist in which row."""
        exists = np.ones(rows.shape, dtype=bool)
        column = {name: i for i, name in enumerate(self.space)}
        for name in self.space.parents_first():
            for parent, values in (self.space[name].when or {}).items():
                choice = self.space[parent]
                assert isinstance(choice, Choice)
                places = [choice.index(v) for v in values if choice.contains(v)]
                here = np.isin(rows[:, column[parent]], places) & exists[:, column[parent]]
                exists[:, column[name]] &= here
        return exists


def _position(axis: Axis, value: Any) -> float:
    return float(axis.index(value)) if isinstance(axis, Choice) else axis.to_unit(value)


def _absent(axis: Axis) -> float:
    return -1.0 if isinstance(axis, Choice) else 0.5


def _snapped(axis: Axis, u: Array) -> Array:
    """Return the positions of the values that `from_unit` maps positions onto."""
    if isinstance(axis, Choice) or not axis.discrete:
        return u
    if axis.log:
        low, high = math.log(axis.low - 0.5), math.log(axis.high + 0.5)
        values = np.clip(np.round(np.exp(low + u * (high - low))), axis.low, axis.high)
        return np.asarray((np.log(values) - low) / (high - low))
    places = np.minimum(np.floor(u * axis.count), axis.count - 1)
    return np.asarray((places + 0.5) / axis.count)
