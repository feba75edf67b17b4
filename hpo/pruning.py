"""Early abandonment of trials that fall behind: pure functions of what the trials have reported.

The resource of a trial is the number of its reports of the study's metric, whatever a step is. How
many a full training makes, `most`, is what a completed trial of the stage has made: until there is
one, nobody is pruned, and no option has to say it. A trial is asked about at its rungs, fixed
numbers of reports; there it is compared with what the others had come to after as many reports.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import get_args

from hpo.search import Direction, PrunerName

PRUNERS: tuple[PrunerName, ...] = get_args(PrunerName)

_ETA = 4
"""At each rung of asha and hyperband one trial in so many goes on."""

_RUNGS = 2
"""Of asha: after a sixteenth and a quarter of a full training. With η = 3 on the book's job, ten
seeds: rungs from a 27th on (two epochs) lost the best trial now and then, from a ninth on they
saved less."""

_PARTS = 10
"""Rungs of median, each after another tenth of a full training."""

_FIRST_COMPLETED = 5
"""So many trials have completed before median stops one."""

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Reached:
    """What a trial had come to after a number of reports.

    Args:
        slot: Its number in the stage.
        completed: Whether it was trained to its end.
        diverged: Whether training stopped being finite.
        reports: Its reports of the metric, until now or in all.
        value: The value of the report that is asked about; None if it is not finite, or if there
            were fewer reports.
        mean: Mean of the values up to there; None without any.
        best: The best of them.
    """

    slot: int
    completed: bool
    diverged: bool
    reports: int
    value: float | None
    mean: float | None
    best: float | None


def rungs(pruner: PrunerName, most: int | None, slot: int) -> tuple[int, ...]:
    """Return the numbers of reports at which a trial is asked about.

    Args:
        pruner: Name of the pruner.
        most: Reports of a full training; None as long as no trial has completed.
        slot: Number of the trial in the stage.
    """
    if most is None:
        return ()
    match pruner:
        case "asha":
            return _geometric(most)
        case "hyperband":
            return _geometric(most)[_bracket(most, slot) :]
        case "median":
            return _distinct(most, [-(-most * i // _PARTS) for i in range(1, _PARTS)])
        case "none":
            return ()


def goes_on(
    pruner: PrunerName,
    most: int,
    slot: int,
    reports: int,
    trials: Sequence[Reached],
    direction: Direction,
) -> bool:
    """Return whether a trial is worth continuing.

    Args:
        pruner: Name of the pruner.
        most: As `rungs` was told when the trial began.
        slot: Number of the trial in the stage.
        reports: Its rung.
        trials: What the trials of the stage had come to after as many reports, this one included.
        direction: Whether a higher or a lower value is better.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    if pruner == "median":
        return _above_median(slot, trials, sign)
    if pruner == "hyperband":
        bracket = _bracket(most, slot)
        trials = [trial for trial in trials if _bracket(most, trial.slot) == bracket]
    earlier = [rung for rung in rungs(pruner, most, slot) if rung < reports]
    return _among_best(slot, reports, max(earlier, default=-1), trials, sign)


def _among_best(slot: int, rung: int, before: int, trials: Sequence[Reached], sign: float) -> bool:
    """Return whether a trial is among the best quarter of those that have reached its rung.

    ASHA in its stopping form (Li et al., "A system for massively parallel hyperparameter tuning",
    MLSys 2020, arXiv 1810.05934): nobody waits for a rung to fill, those that are there decide.
    Where they are fewer than four, the best goes on: the first trial that completed has passed
    every rung unasked, so that also the second one meets somebody. Ties go on.

    A diverged trial is the worst of the rung that it did not live to see, but of that one only:
    there it would have been stopped.
    """
    scores = {
        trial.slot: -math.inf if trial.value is None else sign * trial.value
        for trial in trials
        if trial.reports >= rung or (trial.diverged and trial.reports > before)
    }
    better = sum(score > scores[slot] for score in scores.values())
    return better < max(1, len(scores) // _ETA)


def _above_median(slot: int, trials: Sequence[Reached], sign: float) -> bool:
    """Return whether the best value of a trial so far is no worse than the completed ones' median.

    That is, of their means up to there: the median stopping rule of Google Vizier (Golovin et al.,
    KDD 2017, section 3.2.1). Diverged trials are left out: where most diverge, the median would be
    the worst there is, and nobody would ever be below it.
    """
    means = [sign * t.mean for t in trials if t.completed and t.mean is not None]
    (own,) = (trial for trial in trials if trial.slot == slot)
    assert own.best is not None  # it was asked about after a finite report
    return len(means) < _FIRST_COMPLETED or sign * own.best >= median(means)


def _geometric(most: int) -> tuple[int, ...]:
    return _distinct(most, [-(-most // _ETA**i) for i in range(_RUNGS, 0, -1)])


def _distinct(most: int, reports: Sequence[int]) -> tuple[int, ...]:
    """Return rising rungs without repetition, or the last report, where nothing is saved."""
    return tuple(rung for rung in dict.fromkeys(reports) if rung < most)


def _bracket(most: int, slot: int) -> int:
    """Return how many of the first rungs a trial of hyperband passes unasked.

    Hyperband (Li et al., JMLR 18, 2018) hedges against curves that cross: a bracket that begins at
    a later rung has fewer trials, so that all brackets cost about the same. Its numbers of trials
    are the weights here, and the slots are shared out by the fractional parts of multiples of the
    golden ratio, which fill the weights evenly for any budget. (The digits of the slot, reversed,
    would do that too, but they are the first axis of a Sobol sequence.)
    """
    last = len(_geometric(most))
    sizes = [-(-(last + 1) * _ETA ** (last - i) // (last - i + 1)) for i in range(last + 1)]
    at = (slot * _GOLDEN) % 1.0 * sum(sizes)
    return next(i for i in range(last + 1) if at < sum(sizes[: i + 1]))
