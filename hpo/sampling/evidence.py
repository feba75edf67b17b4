"""What the samplers that learn are shown of the trials that there are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from hpo.sampling.request import Request
from hpo.trial import Trial, TrialState, bounded, merged


def settings(request: Request, trials: Iterable[Trial]) -> list[Trial]:
    """Return one trial per setting that lies in the space, ordered by stage and number.

    - A trial outside the space is passed over: it would drag a model to the edge that it lies
      beyond. So are a failed and a waiting one, and a finished one without a finite value.
    - The replicates of a setting become one trial (`merged`): a sampler that counts trials must
      not count seeds.
    - A diverged setting is at least as bad as the worst that is not: what it reported before it
      broke may be better than everything else, and a model would look for more of it.

    Args:
        request: What is asked for; its space may be narrower than that of the trials.
        trials: Trials in any order. They are left as they are.
    """
    shown = (t for t in trials if _teaches(t) and request.space.contains(t.params))
    found = merged(shown, request.replicates)
    sound = [t.value for t in found if t.state is TrialState.COMPLETE and not t.diverged]
    worst = [value for value in sound if value is not None]
    worse = min if request.direction == "maximize" else max
    return [
        replace(t, value=worse([t.value, *worst])) if t.diverged and t.value is not None else t
        for t in found
    ]


def scores(request: Request, trials: Iterable[Trial]) -> list[Trial]:
    """Return the settings for a sampler to whom only completed trials tell something.

    Most trials of a stage with a pruner are pruned ones: a sampler that did not know them would
    look where they failed again. They are shown as completed, with what `bounded` leaves of their
    values.
    """
    return [
        replace(t, state=TrialState.COMPLETE) if t.state is TrialState.PRUNED else t
        for t in bounded(settings(request, trials), request.direction)
        if t.state is not TrialState.PRUNED or t.value is not None
    ]


def _teaches(trial: Trial) -> bool:
    match trial.state:
        case TrialState.COMPLETE:
            return trial.value is not None and math.isfinite(trial.value)
        case TrialState.PRUNED | TrialState.RUNNING:
            return True
        case _:
            return False
