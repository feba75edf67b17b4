"""TPE and GP: the one door to Optuna's samplers.

A sampler object is made for one setting, seeded by it, asked once on a study in memory that
holds the evidence, and dropped. Every setting that a version of Optuna decides by itself is
passed, so that a stage does not change with the library's next default. (Optuna: Akiba et al.,
KDD 2019. TPE: Bergstra et al., NeurIPS 2011; the multivariate form: Falkner et al., ICML 2018.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hpo.sampling import seeds
from hpo.sampling.evidence import scores, settings
from hpo.sampling.request import Request
from hpo.space import Axis, Choice, Float
from hpo.trial import Trial, TrialState

_STARTUP_TRIALS = 10  # random settings before a model is trusted; Optuna's default
_SOME_TIME = datetime(2000, 1, 1)  # a frozen trial must have times; the samplers read none


def tpe(request: Request, evidence: Sequence[Trial]) -> dict[str, Any]:
    """Return a setting by the Tree-structured Parzen Estimator.

    Of 24 candidates drawn from a density of the best tenth, the one with the highest ratio to
    the density of the rest is taken. Running trials count as bad ones, which keeps parallel
    workers apart. Parameters that always exist are modelled together, conditional ones alone.
    Pruned trials come after completed ones, the later pruned before the earlier, and diverged ones
    come last: it is told that they were pruned before they reported anything.
    """
    shown = [
        replace(t, state=TrialState.PRUNED, value=None) if t.diverged else t
        for t in settings(request, evidence)
    ]
    sampler = TPESampler(
        seed=_seed(request),
        n_startup_trials=_STARTUP_TRIALS,
        n_ei_candidates=24,
        multivariate=True,
        group=False,
        constant_liar=True,
    )
    return _ask(sampler, request, shown)


def gp(request: Request, evidence: Sequence[Trial]) -> dict[str, Any]:
    """Return a setting by a Gaussian process with expected improvement.

    It learns from completed and pruned trials, and draws conditional parameters at random. The fit
    takes time cubic in their number.
    """
    seed = _seed(request)
    sampler = GPSampler(
        seed=seed,
        independent_sampler=RandomSampler(seed=seed),
        n_startup_trials=_STARTUP_TRIALS,
        deterministic_objective=False,
        warn_independent_sampling=False,
    )
    return _ask(sampler, request, scores(request, evidence))


def _seed(request: Request) -> int:
    return seeds.word(request.seed, seeds.Purpose.OPTIMIZER, request.stage, request.setting)


def _ask(sampler: BaseSampler, request: Request, shown: Sequence[Trial]) -> dict[str, Any]:
    space = request.space
    codes = {name: _code(space[name]) for name in space.parents_first()}
    storage = optuna.storages.InMemoryStorage()
    with _quiet():
        study = optuna.create_study(
            storage=storage,
            sampler=sampler,
            pruner=optuna.pruners.NopPruner(),
            study_name="evidence",
            direction=StudyDirection[request.direction.upper()],
        )
        study_id = storage.get_study_id_from_name("evidence")
        for trial in shown:
            storage.create_new_trial(study_id, _frozen(trial, codes))
        asked = study.ask({name: code.distribution for name, code in codes.items()}).params
    # Conditional parameters were all drawn, whether they exist or not: what is drawn for one
    # then never depends on another.
    params: dict[str, Any] = {}
    for name, code in codes.items():
        if space.active(name, params):
            params[name] = code.decode(asked[name])
    return {name: params[name] for name in space if name in params}


class _Evidence(FrozenTrial):
    """A frozen trial that a storage takes as it is.

    Optuna's storage copies what it is given, deeply, which costs seven times all the rest of
    filling it (12 of 14 ms for 500 trials). Ours are built for one call and held by nobody else.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> _Evidence:
        return self


def _frozen(trial: Trial, codes: Mapping[str, _Code]) -> FrozenTrial:
    """Return a trial in Optuna's form, as if it had been drawn from the space of today."""
    finished = trial.state is not TrialState.RUNNING
    reported: dict[int, float] = {}
    if trial.state is TrialState.PRUNED and trial.value is not None:
        reported[trial.steps] = trial.value  # TPE ranks pruned trials by how far they came
    return _Evidence(
        number=-1,  # the storage numbers it
        trial_id=-1,
        state=optuna.trial.TrialState[trial.state.name],
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        datetime_start=_SOME_TIME,
        datetime_complete=_SOME_TIME if finished else None,
        params={name: codes[name].encode(value) for name, value in trial.params.items()},
        distributions={name: codes[name].distribution for name in trial.params},
        user_attrs={},
        system_attrs={},
        intermediate_values=reported,
    )


@dataclass(frozen=True)
class _Code:
    """How an axis is written for Optuna, and read back."""

    distribution: BaseDistribution
    encode: Callable[[Any], float]
    decode: Callable[[Any], Any]


def _code(axis: Axis) -> _Code:
    if isinstance(axis, Choice):
        # By position: Optuna finds a choice with ==, which takes True for 1.
        return _Code(CategoricalDistribution(range(axis.count)), axis.index, axis.value_at)
    if not isinstance(axis, Float):
        # The last value, not the limit: Optuna warns of a range that its step does not divide.
        last = axis.value_at(axis.count - 1)
        return _Code(IntDistribution(axis.low, last, axis.log, axis.step or 1), int, int)
    if axis.step is None:
        low, high = axis.low, axis.high
        return _Code(
            FloatDistribution(low, high, log=axis.log),
            float,
            lambda value: min(max(float(value), low), high),
        )
    # By position: Optuna's multiples of a step differ from ours in the last digit.
    return _Code(IntDistribution(0, axis.count - 1), axis.index, axis.value_at)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing every study in memory, and from advice on every setting."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.ERROR))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
