"""How far a single result of a study can be from what its setting is worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hpo.narrowing.noise import noise_sd
from hpo.objective import is_loss
from hpo.study import Study
from hpo.trial import Trial, TrialState


def result_noise(study: Study, settings: Iterable[Sequence[Trial]]) -> float | None:
    """Return the standard deviation of one result, None if nothing tells it.

    Args:
        study: The study.
        settings: The trials of each setting; used are those that completed without diverging.
    """
    groups = [
        [
            t.value
            for t in setting
            if t.state is TrialState.COMPLETE and t.value is not None and not t.diverged
        ]
        for setting in settings
    ]
    values = [value for group in groups for value in group]
    validation = None
    if study.description is not None and not is_loss(study.definition.metric):
        share = all(0 <= value <= 1 for value in values)
        validation = study.description["validation"] if share else None
    return noise_sd(values, study.definition.direction, validation, groups)
