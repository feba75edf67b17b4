"""A trial as every part of `hpo` sees it: sampling, narrowing, reports and screens."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
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
        reason: Why it failed ("error", "lost", "diverged"), None if it did not.
        error: Traceback of the objective's exception, None if there was none.
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

    @property
    def diverged(self) -> bool:
        """Whether training stopped being finite."""
        return self.diverged_at is not None


def ranked(trials: list[Trial], direction: str) -> list[Trial]:
    """Return the trials that have a final value, best first, earlier first among equals.

    A diverged trial has its floor value and ranks by it. A pruned trial is left out: its value
    belongs to an earlier step than the others'.
    """
    finished = [t for t in trials if t.state is TrialState.COMPLETE and t.value is not None]
    sign = -1.0 if direction == "maximize" else 1.0
    return sorted(finished, key=lambda t: (sign * (t.value or 0.0), t.stage, t.number))
