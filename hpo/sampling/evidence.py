"""What the samplers that learn are shown of the trials that there are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from statistics import fmean

from hpo.sampling.request import Request
from hpo.trial import Trial, TrialState


def settings(request: Request, trials: Iterable[Trial]) -> list[Trial]:
    """Return one trial per setting that lies in the space, ordered by stage and number.

    - A trial outside the space is passed over: it would drag a model to the edge that it lies
      beyond. So are a failed and a waiting one, and a finished one without a finite value.
    - The replicates of a setting become one trial with the mean of the completed values: a
      sampler that counts trials must not count seeds.

    Args:
        request: What is asked for; its space may be narrower than that of the trials.
        trials: Trials in any order. They are left as they are.
    """
    shown = sorted(
        (t for t in trials if _teaches(t) and request.space.contains(t.params)),
        key=lambda t: (t.stage, t.number),
    )
    if request.replicates == 1:
        return shown
    # The parameters too, because another stage may have had another number of replicates.
    groups = groupby(shown, lambda t: (t.stage, t.number // request.replicates, dict(t.params)))
    return [_merged(list(replicates)) for _, replicates in groups]


def _teaches(trial: Trial) -> bool:
    match trial.state:
        case TrialState.COMPLETE:
            return trial.value is not None and math.isfinite(trial.value)
        case TrialState.PRUNED | TrialState.RUNNING:
            return True
        case _:
            return False


def _merged(replicates: Sequence[Trial]) -> Trial:
    """Return the trial that stands for a setting: completed before pruned before running."""
    for state in (TrialState.COMPLETE, TrialState.PRUNED):
        same = [t for t in replicates if t.state is state]
        if len(same) == 1 or (same and state is TrialState.PRUNED):
            return same[0]
        if same:
            return replace(same[0], value=fmean(t.value for t in same if t.value is not None))
    return replicates[0]
