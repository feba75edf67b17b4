"""How much each parameter matters, by PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023).

PED-ANOVA compares the density of the best settings along a parameter with that of all settings.
Because it asks where the trials were and not only what they scored, the stages of a study, whose
ranges differ, can be taken together.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection

from hpo.reports.axes import position, widest
from hpo.space import Axis, Choice, Float
from hpo.summary import Summary
from hpo.trial import Trial, ranked

_LEAST = 10  # completed trials
_BEST_SHARE, _BEST_COUNT = 0.1, 5  # the best tenth, but no fewer than the method needs to be steady


def importances(summary: Summary) -> dict[str, float]:
    """Return the share of each parameter in what makes a good setting, the largest first.

    Returns:
        Shares that sum to 1; nothing if they cannot be told: a single parameter, fewer than 10
        completed trials, or no difference between the best and the rest.
    """
    axes = widest(summary)
    # The replicates of `confirm` repeat a few settings and would pass for a crowd of good ones.
    completed = ranked(
        [trial for stage in summary.searches for trial in summary.of(stage)],
        summary.study.definition.direction,
    )
    if len(axes) < 2 or len(completed) < _LEAST:
        return {}
    best = max(math.ceil(_BEST_SHARE * len(completed)), _BEST_COUNT)
    if completed[best - 1].value == completed[-1].value:
        return {}
    # It brings scikit-learn, which takes a second.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    # Nothing is drawn by it, so that no sampler needs a seed.
    study = _in_memory(completed, axes, summary.study.definition.direction)
    with warnings.catch_warnings():
        # It warns of a conditional parameter that occurs in one trial only, and passes it over.
        warnings.simplefilter("ignore")
        found = get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(
                target_quantile=best / len(completed), region_quantile=1.0, evaluate_on_local=True
            ),
        )
    return found if any(found.values()) else {}


def _in_memory(
    trials: Sequence[Trial], axes: dict[str, Axis], direction: str
) -> optuna.study.Study:
    """Return an Optuna study with the trials, all as if drawn from the widest ranges.

    With the range of its own stage, each stage would be assessed apart from the others.
    """
    distributions = {name: _distribution(axis) for name, axis in axes.items()}
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        study = optuna.create_study(direction=StudyDirection[direction.upper()])
    finally:
        optuna.logging.set_verbosity(before)
    study.add_trials(
        [
            optuna.trial.create_trial(
                value=trial.value,
                params={name: position(axes[name], v) for name, v in trial.params.items()},
                distributions={name: distributions[name] for name in trial.params},
            )
            for trial in trials
        ]
    )
    return study


def _distribution(axis: Axis) -> BaseDistribution:
    if isinstance(axis, Choice):
        return CategoricalDistribution(range(len(axis.choices)))
    if isinstance(axis, Float):
        return FloatDistribution(axis.low, axis.high, log=axis.log)
    return IntDistribution(axis.low, axis.high, log=axis.log)
