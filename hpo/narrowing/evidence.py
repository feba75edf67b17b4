"""What the finished trials say about each axis, before any rule decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpo.narrowing.decision import Side
from hpo.narrowing.ruler import Numeric, cell, text
from hpo.space import Axis, Choice, Space
from hpo.trial import Trial, TrialState, bounded, by_setting, merged


def parameters(space: Space) -> int:
    """Return the number d of parameters that a decision is about: the numeric ones, if any."""
    return sum(not isinstance(axis, Choice) for axis in space.axes.values()) or len(space)


def needed(space: Space) -> int:
    """Return how many usable settings `decide` needs: 30, or 10 per parameter if that is more.

    Simulated: below it nothing can be cut safely.
    """
    return max(30, 10 * parameters(space))


def usable(space: Space, trials: Sequence[Trial], direction: str, replicates: int = 1) -> int:
    """Return how many settings `decide` could use of the trials."""
    return len(Evidence.of(space, trials, direction, replicates).usable)


@dataclass(frozen=True)
class Evidence:
    """The trials that a rule may use, those that did not diverge also in their order.

    Each stands for a setting: taken one by one, replicates would be trials that agree by chance
    far too often.
    """

    space: Space
    usable: Sequence[Trial]
    repeats: Sequence[int]  # how many replicates each of them is the mean of
    winners: Sequence[Trial]  # best first
    sign: float  # that makes higher values better

    @classmethod
    def of(
        cls, space: Space, trials: Sequence[Trial], direction: str, replicates: int = 1
    ) -> Evidence:
        """Sort out the trials that lie inside the space and have a finite value.

        That of a pruned trial is what `bounded` leaves of it.
        """
        inside = [
            t
            for t in trials
            if t.state in (TrialState.COMPLETE, TrialState.PRUNED)
            and t.value is not None
            and math.isfinite(t.value)
            and space.contains(t.params)
        ]
        groups = by_setting(bounded(inside, direction), replicates)
        usable = [setting for group in groups for setting in merged(group, replicates)]
        repeats = [max(sum(t.state is TrialState.COMPLETE for t in group), 1) for group in groups]
        sign = 1.0 if direction == "maximize" else -1.0

        def order(t: Trial) -> tuple[bool, float, int, int]:
            # A pruned trial's value belongs to an earlier step: it comes after the finished
            # ones, so that the first is the one that every screen calls the best.
            return t.state is TrialState.PRUNED, -sign * (t.value or 0.0), t.stage, t.number

        winners = sorted((t for t in usable if not t.diverged), key=order)
        return cls(space, usable, repeats, winners, sign)

    @property
    def parameters(self) -> int:
        """See `parameters`."""
        return parameters(self.space)

    @property
    def needed(self) -> int:
        """See `needed`."""
        return needed(self.space)

    def having(self, name: str) -> Sequence[Trial]:
        """Return the trials in which a parameter exists."""
        return [t for t in self.usable if name in t.params]

    def best(self, name: str) -> Sequence[Trial]:
        """Return the best fifth of the trials in which a parameter exists, 7 to 20 of them."""
        # ⌈n/5⌉ in whole numbers: 0.2 · 35 is 7.000000000000001.
        k = min(max(-(-len(self.having(name)) // 5), 7), 20)
        return [t for t in self.winners if name in t.params][:k]

    def why_not(self, name: str) -> str | None:
        """Return why nothing can be said about a parameter, or None."""
        seen = len(self.having(name))
        if seen < self.needed:
            return f"only {seen} trials have it, {self.needed} are needed"
        if len(self.best(name)) < 2:
            return f"{seen - len(self.best(name))} of {seen} trials diverged"
        return None

    def cliffs(self, name: str, axis: Numeric) -> dict[Side, float]:
        """Return where training first diverges beyond the best trials; see `cliffs`."""
        cells = [cell(axis, t.params[name]) for t in self.best(name)]
        hull = min(c[0] for c in cells), max(c[1] for c in cells)
        return cliffs(axis, name, self.having(name), hull)


def cliffs(
    axis: Numeric, name: str, trials: Sequence[Trial], hull: tuple[float, float]
) -> dict[Side, float]:
    """Return where training first diverges beyond a hull, if it does so at one end alone.

    Divergence on both sides, or of less than half of the trials from there on, is another
    parameter's doing.
    """
    low, high = hull
    cells = [(cell(axis, t.params[name]), t.diverged) for t in trials]
    beyond: dict[Side, float] = {}
    if below := [c[1] for c, diverged in cells if diverged and c[1] <= low and c[0] < low]:
        beyond["lower"] = max(below)
    if above := [c[0] for c, diverged in cells if diverged and c[0] >= high and c[1] > high]:
        beyond["upper"] = min(above)
    if len(beyond) != 1:
        return {}
    ((side, first),) = beyond.items()
    lost = [
        diverged for c, diverged in cells if (c[1] <= first if side == "lower" else c[0] >= first)
    ]
    return beyond if 2 * sum(lost) >= len(lost) else {}


def edge(axis: Axis, side: Side) -> str:
    """Return an end of a range as the screens write it."""
    assert not isinstance(axis, Choice)
    return text(axis, axis.low if side == "lower" else axis.high)
