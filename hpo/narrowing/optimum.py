"""Where the optimum can be: the best candidate of many functions drawn from the posterior.

A share of at most 2 % of stages may lose the optimum. If S functions agree with the true one, the
true optimum lies outside the hull of their S optima in one coordinate with 2/(S + 1), and in any
of d with 2d/(S + 1): S = 100 d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpo.narrowing.decision import Side
from hpo.narrowing.evidence import parameters
from hpo.narrowing.positions import Positions
from hpo.narrowing.ruler import cell
from hpo.narrowing.surrogate import Array, Surrogate
from hpo.space import Choice, Space
from hpo.trial import Trial

_EVEN = 350  # candidates all over the box
_NEAR = 350  # candidates around the best
_SPREADS = (0.03, 0.1, 0.25)
_REFINING = np.geomspace(0.1, 0.005, 6)
_ROUND = 300
_PARTS = 20  # of a range, each with its share of the optima


@dataclass(frozen=True)
class Optimum:
    """The optima of the drawn functions, and the maximizer of the mean."""

    space: Space
    candidates: Array  # the last but one is the tried setting with the highest mean
    functions: Array  # the values of one function per line, at each candidate
    peak: Array  # one row, the last candidate
    scale: float  # standard deviation of the scores

    @property
    def risk(self) -> float:
        """The probability to lose the optimum that the number of draws allows for."""
        return 2 * parameters(self.space) / (len(self.functions) + 1)

    @classmethod
    def of(
        cls,
        space: Space,
        trials: Sequence[Trial],
        scores: Array,
        variances: Array | None,
        rng: np.random.Generator,
    ) -> Optimum:
        """Fit a surrogate to the trials and draw from it.

        Args:
            space: The space that all these trials lie in.
            trials: One per setting.
            scores: Their scores, higher is better.
            variances: The noise of each; None if it is not known.
            rng: The source of all chance.
        """
        positions = Positions(space)
        rows = positions.of([trial.params for trial in trials])
        surrogate = Surrogate.fit(rows, scores, variances, positions.categorical)
        best = rows[np.argsort(-scores, kind="stable")[: min(max(5, len(rows) // 10), _NEAR)]]
        candidates = np.concatenate(
            [positions.anywhere(_EVEN, rng), positions.near(best, _SPREADS, _NEAR, rng), best]
        )
        peak = candidates[[surrogate.mean(candidates).argmax()]]
        for spread in _REFINING:
            nearby = np.concatenate([peak, positions.near(peak, spread, _ROUND, rng)])
            peak = nearby[[surrogate.mean(nearby).argmax()]]
        # In many dimensions few candidates are near a sharp peak, or at the edge of the box.
        tried = rows[[surrogate.mean(rows).argmax()]]
        candidates = np.concatenate(
            [candidates, positions.near(peak, _SPREADS, _NEAR, rng), tried, peak]
        )
        functions = surrogate.draws(candidates, max(200, 100 * parameters(space)), rng)
        return cls(space, candidates, functions, peak, surrogate.scale)

    @property
    def gain(self) -> float:
        """How much better the optimum is than the best setting that was tried, on average.

        No search inside this space can gain more: it is what knowing the optimum would be worth.
        """
        return float((self.functions.max(axis=1) - self.functions[:, -2]).mean())

    def column(self, name: str) -> Array:
        """Return the positions of the drawn optima on an axis."""
        best = self.functions.argmax(axis=1)
        return np.asarray(self._column(name)[best])

    def shares(self, name: str) -> list[float]:
        """Return the shares of the drawn optima in each twentieth of a range, low to high.

        A value of a discrete axis is spread over its cell.
        """
        axis = self.space[name]
        assert not isinstance(axis, Choice)
        edges = np.linspace(0.0, 1.0, _PARTS + 1)
        found = np.zeros(_PARTS)
        for position, count in zip(*np.unique(self.column(name), return_counts=True), strict=True):
            low, high = cell(axis, axis.from_unit(float(position)))
            if axis.discrete:
                inside = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
                found += count * np.clip(inside, 0.0, None) / (high - low)
            else:
                found[min(int(position * _PARTS), _PARTS - 1)] += count
        return [float(share) for share in found / found.sum()]

    def loss(self, name: str, side: Side) -> float:
        """Return what would be lost on average without the half of a range at one side."""
        column = self._column(name)
        other = column > 0.5 if side == "lower" else column < 0.5
        best, rest = self.functions.max(axis=1), self.functions[:, other].max(axis=1)
        return float((best - rest).mean())

    def loss_of(self, name: str, place: int) -> float:
        """Return what would be lost on average without one choice of several."""
        others = self._column(name) != place
        best, rest = self.functions.max(axis=1), self.functions[:, others].max(axis=1)
        return float((best - rest).mean())

    def hull(self, name: str) -> tuple[float, float]:
        """Return the lowest and the highest position on a range, the peak's among them."""
        column = np.append(self.column(name), self.peak[0, list(self.space).index(name)])
        return float(column.min()), float(column.max())

    def _column(self, name: str) -> Array:
        return self.candidates[:, list(self.space).index(name)]
