"""The settings that were tried, and how they stand: what a ranking is made of.

Of a few settings no surrogate can be learnt; they go by the means of their own results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hpo.trial import Trial, TrialState, key_of, mean_of

FEWEST = 10
"""Settings from which on a surrogate is asked what to expect of each."""

_LIKELY = 0.05  # a setting that is better with this probability cannot be told apart


@dataclass(frozen=True)
class Standing:
    """What the trials tell about one setting.

    Args:
        trial: The first of its trials that did not diverge.
        mean: What it is expected to reach.
        sd: Standard deviation of what it reaches, as far as the trials tell; None if they do not.
        tied: Whether it cannot be told apart from the recommended setting: it is better with a
            probability of 5 % or more.
        weighed: Whether the mean is what all settings let expect, not that of its own results.
    """

    trial: Trial
    mean: float
    sd: float | None
    tied: bool
    weighed: bool = False


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


def by_means(settings: Sequence[Setting], direction: str, noise: float | None) -> list[Standing]:
    """Return the settings by the means of their own results, the best first.

    Args:
        settings: Settings of which less than half diverged.
        direction: "maximize" or "minimize".
        noise: Standard deviation of one result; None if it is not known.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    found: list[Standing] = []
    for setting in sorted(settings, key=lambda s: -sign * s.mean):
        sd = None if noise is None else noise / math.sqrt(len(setting.values))
        tied = False
        if found and sd is not None and found[0].sd is not None:
            difference = sign * (setting.mean - found[0].mean)
            tied = is_rival(difference, math.hypot(sd, found[0].sd))
        found.append(Standing(setting.first, setting.mean, sd, tied))
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
