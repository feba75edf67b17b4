"""The settings of a stage of `confirm`, and what their replicates say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hpo.study import Stage
from hpo.trial import Trial, TrialState

if TYPE_CHECKING:
    from hpo.confirmation import Interval


@dataclass(frozen=True)
class Finalist:
    """A setting that was run again with fresh seeds.

    Args:
        source: Stage and number of the trial that it was chosen for.
        params: Its parameters.
        replicates: Its trials so far; number j of each setting has the same seed.
        seeds: How many there are to be.
    """

    source: tuple[int, int]
    params: Mapping[str, Any]
    replicates: Sequence[Trial]
    seeds: int

    @property
    def scored(self) -> list[Trial]:
        """The replicates that gave a score of their own: they neither diverged nor failed."""
        return [
            t
            for t in self.replicates
            if t.state is TrialState.COMPLETE and t.value is not None and not t.diverged
        ]

    @property
    def scores(self) -> list[float | None]:
        """The score for each seed, None where there is none: pairs across settings."""
        found = {t.number % self.seeds: t.value for t in self.scored}
        return [found.get(j) for j in range(self.seeds)]

    @property
    def diverged(self) -> int:
        """How many replicates diverged: counted, for the chance level is no score to average."""
        return sum(t.diverged for t in self.replicates)

    @property
    def lost(self) -> int:
        """How many replicates gave no score although they have ended."""
        return sum(t.state.counted for t in self.replicates) - len(self.scored)

    @property
    def sound(self) -> bool:
        """Whether it can be recommended: it has scores, and has lost less than half of them."""
        return bool(self.scored) and 2 * self.lost < self.seeds

    @property
    def mean(self) -> float | None:
        """Mean of the scores."""
        return fmean(v for v in self.scores if v is not None) if self.scored else None

    def to_json(self, interval: Interval | None) -> dict[str, Any]:
        """Return it as `show --json` prints it."""
        return {
            "from": {"stage": self.source[0], "trial": self.source[1]},
            "params": dict(self.params),
            "scores": self.scores,
            "diverged": self.diverged,
            "lost": self.lost,
            "mean": self.mean,
            "se": interval and interval.se,
            "low": interval and interval.low,
            "high": interval and interval.high,
            "tied": None if interval is None else interval.tied,
        }


def finalists(stage: Stage, trials: Sequence[Trial], direction: str) -> list[Finalist]:
    """Return the settings of a stage of `confirm`, best first.

    The setting that has lost the fewest replicates comes first, and the best mean among equals: one
    seed that diverges costs more than the finalists differ by. Those that cannot be recommended
    come last.
    """
    assert stage.evidence is not None
    sign = -1.0 if direction == "maximize" else 1.0
    found = [
        Finalist(
            (setting["stage"], setting["trial"]),
            setting["params"],
            [t for t in trials if t.number // stage.seeds == i],
            stage.seeds,
        )
        for i, setting in enumerate(stage.evidence["settings"])
    ]
    return sorted(found, key=lambda f: (not f.sound, f.lost, sign * (f.mean or 0.0)))


def compared(
    found: Sequence[Finalist], step: float = 0.0, shares: bool = False
) -> list[Interval | None]:
    """Return the simultaneous intervals of finalists, None for one without a score.

    Args:
        found: The finalists, best first.
        step: Distance of the values that a score can have; 0 where it can have any.
        shares: Whether no score can be below 0 or above 1.
    """
    from hpo import confirmation  # and with it NumPy and SciPy, which few commands need

    scored = [finalist for finalist in found if finalist.scored]
    said = iter(confirmation.intervals([f.scores for f in scored], step) if scored else ())
    ends = (0.0, 1.0) if shares else (-math.inf, math.inf)
    return [next(said).within(*ends) if finalist.scored else None for finalist in found]
