"""Which setting to take: the highest posterior mean among those that were tried.

The best result is the luckiest one. A surrogate weighs it against its neighbours, and a setting
that was tried with r seeds counts with its mean and the variance σ²/r. What that is worth,
benchmarks/narrowing.py measures: least after random search, whose trials lie far apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpo.narrowing.positions import Positions
from hpo.narrowing.surrogate import Surrogate
from hpo.space import Axis, Choice, Space
from hpo.trial import Trial, TrialState, key_of, mean_of

_LIKELY = 0.05  # a setting that is better with this probability cannot be told apart
_COMPARED = 1000  # settings that are compared with the first: the time grows with their number


@dataclass(frozen=True)
class Standing:
    """What all trials tell about one setting.

    Args:
        trial: The first of its trials that did not diverge.
        mean: What it is expected to reach.
        sd: Standard deviation of what it reaches, as far as the trials tell; None if they do not.
        tied: Whether it cannot be told apart from the recommended setting: it is better with a
            probability of 5 % or more.
    """

    trial: Trial
    mean: float
    sd: float | None
    tied: bool


@dataclass(frozen=True)
class Setting:
    """The trials of one setting, of all stages, in their order."""

    trials: Sequence[Trial]

    @property
    def values(self) -> list[float]:
        """Their results; a diverged one counts with the value that it was given."""
        return [t.value for t in self.trials if t.value is not None]

    @property
    def mean(self) -> float:
        """The mean of these results."""
        return mean_of(self.values)

    @property
    def diverged(self) -> bool:
        """Whether at least half of them have."""
        return 2 * sum(t.diverged for t in self.trials) >= len(self.trials)

    @property
    def first(self) -> Trial:
        """The first that did not diverge."""
        return next(t for t in self.trials if not t.diverged)


def standings(
    spaces: Sequence[Space],
    trials: Iterable[Trial],
    direction: str,
    noise: float | None = None,
) -> list[Standing]:
    """Return the settings that were tried, the recommended one first.

    Args:
        spaces: The spaces of the stages, the newest first: positions are measured in its box.
        trials: The trials of all stages. Used are those that are COMPLETE with a finite value; of
            the settings those of which less than half diverged.
        direction: "maximize" or "minimize".
        noise: Standard deviation of one result; None if it is not known.
    """
    settings = [setting for setting in settings_of(trials) if not setting.diverged]
    if not settings:
        return []
    # In units of the largest score, the square of any of them is finite.
    unit = max(abs(setting.mean) for setting in settings) or 1.0
    unit = unit if direction == "maximize" else -unit
    positions = Positions(_frame(spaces))
    rows = positions.of([setting.first.params for setting in settings])
    scores = np.array([setting.mean / unit for setting in settings])
    variances = None
    if noise is not None:
        variances = (noise / unit) ** 2 / np.array([len(setting.values) for setting in settings])
    surrogate = Surrogate.fit(rows, scores, variances, positions.categorical)
    mean = surrogate.mean(rows)
    # What it has lifted it knows too little of; the bottom of the ranking goes by its scores.
    mean = np.where(scores < surrogate.floor, np.minimum(mean, scores), mean)
    order = np.argsort(-mean, kind="stable")
    near = order[:_COMPARED]
    _, covariance = surrogate.joint(rows[near])
    variance = np.diag(covariance).clip(min=0.0)
    spread = np.sqrt((variance + variance[0] - 2 * covariance[0]).clip(min=0.0))
    found = []
    for place, i in enumerate(order):
        sd, tied = None, False
        if place < len(near):
            sd = abs(unit) * math.sqrt(variance[place])
            tied = place > 0 and is_rival(mean[i] - mean[order[0]], spread[place])
        found.append(Standing(settings[i].first, unit * float(mean[i]), sd, tied))
    return found


def is_rival(difference: float, spread: float) -> bool:
    """Return whether a setting cannot be told apart from a better one.

    Args:
        difference: By how much it is expected to be better: a negative number.
        spread: Standard deviation of that difference.
    """
    if spread == 0:
        return difference == 0
    return 0.5 * math.erfc(-difference / spread / math.sqrt(2)) >= _LIKELY


def settings_of(trials: Iterable[Trial]) -> list[Setting]:
    """Return the settings of the trials that have a finite score, in the order of their first."""
    groups: dict[str, list[Trial]] = {}
    for trial in sorted(trials, key=lambda t: (t.stage, t.number)):
        if (
            trial.state is TrialState.COMPLETE
            and trial.value is not None
            and math.isfinite(trial.value)
        ):
            groups.setdefault(key_of(trial.params), []).append(trial)
    return [Setting(group) for group in groups.values()]


def _frame(spaces: Sequence[Space]) -> Space:
    """Return the newest range of each parameter, and its choices of all stages."""
    axes: dict[str, Axis] = {}
    for space in spaces:
        for name, axis in space.axes.items():
            known = axes.setdefault(name, replace(axis, when=None))
            if isinstance(known, Choice) and isinstance(axis, Choice):
                more = tuple(value for value in axis.choices if not known.contains(value))
                axes[name] = replace(known, choices=known.choices + more)
    return Space(axes)
