"""Which setting to take: the highest posterior mean among those that were tried.

The best result is the luckiest one. A surrogate weighs it against its neighbours, and a setting
that was tried with r seeds counts with its mean and the variance σ²/r. What that is worth,
benchmarks/narrowing.py measures: least after random search, whose trials lie far apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from hpo.narrowing.positions import Positions
from hpo.narrowing.surrogate import Surrogate
from hpo.space import Axis, Choice, Space
from hpo.trial import Trial, TrialState

_LIKELY = 0.05  # a setting that is better with this probability cannot be told apart


@dataclass(frozen=True)
class Recommendation:
    """The setting to take.

    Args:
        trial: The first of its trials that did not diverge.
        mean: What it is expected to reach.
        sd: Standard deviation of what it reaches, as far as the trials tell.
        rivals: The settings that cannot be told apart from it, each better with 5 % or more; the
            likeliest first, by their first trial.
        maximum: The trial with the best result, however lucky.
    """

    trial: Trial
    mean: float
    sd: float
    rivals: tuple[Trial, ...]
    maximum: Trial


@dataclass(frozen=True)
class Setting:
    """The trials of one setting, of all stages, in their order."""

    trials: Sequence[Trial]

    @property
    def values(self) -> list[float]:
        """Their results; a diverged one counts with the value that it was given."""
        return [t.value for t in self.trials if t.value is not None]

    @property
    def diverged(self) -> bool:
        """Whether at least half of them have."""
        return 2 * sum(t.diverged for t in self.trials) >= len(self.trials)

    @property
    def first(self) -> Trial:
        """The first that did not diverge."""
        return next(t for t in self.trials if not t.diverged)


def recommend(
    spaces: Sequence[Space],
    trials: Iterable[Trial],
    direction: str,
    noise: float | None = None,
) -> Recommendation | None:
    """Return the setting to take; None if none has finished without diverging.

    Args:
        spaces: The spaces of the stages, the newest first: positions are measured in its box.
        trials: The trials of all stages. Used are those that are COMPLETE with a finite value; of
            the settings those of which less than half diverged.
        direction: "maximize" or "minimize".
        noise: Standard deviation of one result; None if it is not known.
    """
    settings = [setting for setting in _settings(trials) if not setting.diverged]
    if not settings:
        return None
    sign = 1.0 if direction == "maximize" else -1.0
    frame = _frame(spaces)
    positions = Positions(frame)
    rows = positions.of([setting.first.params for setting in settings])
    scores = sign * np.array([fmean(setting.values) for setting in settings])
    variances = None
    if noise is not None:
        variances = noise**2 / np.array([len(setting.values) for setting in settings])
    mean, covariance = Surrogate.fit(rows, scores, variances, positions.categorical).joint(rows)

    best = int(mean.argmax())
    variance = np.diag(covariance).clip(min=0.0)
    spread = np.sqrt((variance + variance[best] - 2 * covariance[best]).clip(min=0.0))
    better = {
        i: _normal((mean[i] - mean[best]) / spread[i]) if spread[i] > 0 else 0.0
        for i in range(len(settings))
        if i != best
    }
    rivals = sorted((i for i in better if better[i] >= _LIKELY), key=lambda i: (-better[i], i))
    single = [trial for setting in settings for trial in setting.trials if not trial.diverged]
    return Recommendation(
        trial=settings[best].first,
        mean=sign * float(mean[best]),
        sd=math.sqrt(float(variance[best])),
        rivals=tuple(settings[i].first for i in rivals),
        maximum=max(single, key=lambda t: (sign * (t.value or 0.0), -t.stage, -t.number)),
    )


def _settings(trials: Iterable[Trial]) -> list[Setting]:
    """Return the trials in groups of equal parameters, ordered by stage and number."""
    groups: dict[tuple[tuple[str, str], ...], list[Trial]] = {}
    for trial in sorted(trials, key=lambda t: (t.stage, t.number)):
        if (
            trial.state is TrialState.COMPLETE
            and trial.value is not None
            and math.isfinite(trial.value)
        ):
            groups.setdefault(_key(trial.params), []).append(trial)
    return [Setting(group) for group in groups.values()]


def _key(params: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    # By how they are written: True is not 1.
    return tuple(sorted((name, repr(value)) for name, value in params.items()))


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


def _normal(z: float) -> float:
    """Return the probability that a standard normal number is below z."""
    return 0.5 * math.erfc(-z / math.sqrt(2))
