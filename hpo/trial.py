"""A trial as every part of `hpo` sees it: sampling, narrowing, reports and screens."""

from __future__ import annotations

import enum
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from statistics import fmean, mean, median
from typing import Any


class TrialState(enum.StrEnum):
    """State of a trial, in Optuna's words."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"

    @property
    def counted(self) -> bool:
        """Whether a trial in this state has used up its slot."""
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Trial:
    """One trial.

    Args:
        stage: Number of its stage in the study, from 1.
        number: Its number in the stage, from 0; the slot that it fills.
        state: Its state.
        params: The sampled parameters by name.
        value: The score; None unless COMPLETE, or PRUNED with a reported value.
        attempt: Number of the attempt, from 1; higher when a worker was lost.
        seed: `run.seed` of the trial.
        diverged_at: Step at which it stopped being finite, None if it did not.
        steps: Number of steps reported.
        seconds: Duration of the attempt, None while it is open.
        reason: Why it failed ("error", "lost", "timeout", "memory", "diverged"), None if it did
            not.
        error: Traceback of the objective's exception, or how its last worker ended; None if
            there was neither.
        retried: Why earlier attempts did not count ("lost": the worker died, "cancelled": given
            back, "abandoned": the supervisor died, "expired": it was silent for too long,
            "copied": its Optuna study was renamed meanwhile, "requeued": another program put it
            back into Optuna's queue).
        slot_id: Number of its slot in the database: what was asked for later has a higher one.
    """

    stage: int
    number: int
    state: TrialState
    params: Mapping[str, Any]
    value: float | None
    attempt: int = 1
    seed: int = 0
    diverged_at: int | None = None
    steps: int = 0
    seconds: float | None = None
    reason: str | None = None
    error: str | None = None
    retried: tuple[str, ...] = ()
    slot_id: int = field(default=0, compare=False)

    @property
    def diverged(self) -> bool:
        """Whether training stopped being finite."""
        return self.diverged_at is not None


def ranked(trials: Iterable[Trial], direction: str) -> list[Trial]:
    """Return the trials that have a final value, best first, earlier first among equals.

    Diverged trials come after all others, whatever value they were given. A pruned trial is left
    out: its value belongs to an earlier step than the others'.
    """
    finished = [t for t in trials if t.state is TrialState.COMPLETE and t.value is not None]
    sign = -1.0 if direction == "maximize" else 1.0
    return sorted(finished, key=lambda t: (t.diverged, sign * (t.value or 0.0), t.stage, t.number))


def bounded(trials: Iterable[Trial], direction: str) -> list[Trial]:
    """Return the trials with scores to learn from, of which pruned ones only have an early value.

    A pruned trial fell behind: its early value counts, but never for more than the median of the
    scores of those that completed. Where none has, it fell behind nothing, and is left out.
    """
    found = list(trials)
    scores = [t.value for t in ranked(found, direction) if not t.diverged and t.value is not None]
    if not scores:
        return [t for t in found if t.state is not TrialState.PRUNED]
    bound, worse = median(scores), min if direction == "maximize" else max
    return [
        replace(t, value=worse(t.value, bound))
        if t.state is TrialState.PRUNED and t.value is not None
        else t
        for t in found
    ]


def key_of(params: Mapping[str, Any]) -> str:
    """Return what is equal for equal settings; to Python, True and 1 would be."""
    return json.dumps(params, sort_keys=True)


def by_setting(trials: Iterable[Trial], replicates: int) -> list[list[Trial]]:
    """Return the trials in groups, one per setting, ordered by stage and number.

    Trial n of a stage is a replicate of its setting n // replicates.
    """
    ordered = sorted(trials, key=lambda t: (t.stage, t.number))
    if replicates == 1:
        return [[trial] for trial in ordered]
    # The parameters too, because another stage may have had another number of replicates.
    groups = groupby(ordered, lambda t: (t.stage, t.number // replicates, dict(t.params)))
    return [list(group) for _, group in groups]


def merged(trials: Iterable[Trial], replicates: int) -> list[Trial]:
    """Return one trial per setting, ordered by stage and number; see `by_setting`.

    It is the first of the setting's completed replicates, with the mean of their values: diverged
    ones count in it with the value they were given. The setting has diverged if at least half of
    them have: "any of them" would call every setting diverged that loses a seed now and then.
    Without a completed replicate it is the first pruned one, or else the first.
    """
    return [_merged(setting) for setting in by_setting(trials, replicates)]


def _merged(replicates: Sequence[Trial]) -> Trial:
    values = {
        i: t.value
        for i, t in enumerate(replicates)
        if t.state is TrialState.COMPLETE and t.value is not None
    }
    if not values:
        pruned = (t for t in replicates if t.state is TrialState.PRUNED)
        return next(pruned, replicates[0])
    completed = [replicates[i] for i in values]
    diverged = 2 * sum(t.diverged for t in completed) >= len(completed)
    # Of the kind that the setting is, so that the trial and what is said of it agree.
    first = next(t for t in completed if t.diverged == diverged)
    return first if len(completed) == 1 else replace(first, value=mean_of(values.values()))


def mean_of(values: Collection[float]) -> float:
    """Return the mean of finite numbers, however large."""
    try:
        return fmean(values)
    except OverflowError:  # their sum; the exact mean takes a hundred times longer, and has none
        return mean(values)
