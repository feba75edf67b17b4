"""CMA-ES: the one door to `cmaes`.

The covariance matrix adaptation evolution strategy draws a population from a normal
distribution, and moves and reshapes the distribution towards the best half (Hansen, "The CMA
evolution strategy: a tutorial", arXiv 1604.00772). Its state is a function of the trials it
was told, so it is told them all again for each setting: 500 trials cost some 15 ms, and nothing
has to be stored. (Optuna pickles the state into its database.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from cmaes import CMA, get_warm_start_mgd
from numpy.typing import NDArray

from hpo.sampling import seeds, uniform
from hpo.sampling.evidence import scores
from hpo.sampling.request import Request
from hpo.space import Choice, Float, Int, Space
from hpo.trial import Trial, TrialState

_Solution = tuple[NDArray[np.float64], float]
"""A point of the unit cube of the numeric axes, `(d,)`, and its value, to be minimized."""

_SIGMA = 1 / 6  # the cube is three standard deviations wide to each side of its middle
_CONVERGED = 1e-6  # share of each axis below which a population is one setting
_TOP = 0.1  # γ of Nomura et al.: the share of the ancestors' trials that is called promising


def suggest(request: Request, evidence: Sequence[Trial]) -> dict[str, Any]:
    """Return a setting by CMA-ES over the numeric axes.

    The completed and pruned trials of this stage are told in the order of their slots, a population
    at a time. Choices, and parameters under a condition, are drawn uniformly beside.
    """
    space = request.space
    numeric = _numeric(space)
    own: list[_Solution] = []
    inherited: list[_Solution] = []
    sign = -1.0 if request.direction == "maximize" else 1.0
    for trial in scores(request, evidence):
        if trial.state is TrialState.COMPLETE and trial.value is not None:
            to = own if trial.stage == request.stage else inherited
            to.append((_position(numeric, trial), sign * trial.value))

    optimizer = _replayed(request, len(numeric), own, inherited)
    # Telling draws nothing, so that the seed of this setting decides the point alone.
    optimizer.reseed_rng(
        seeds.word(request.seed, seeds.Purpose.OPTIMIZER, request.stage, request.setting)
    )
    point = dict(zip(space, uniform.position(request), strict=True))
    point.update(zip(numeric, optimizer.ask().tolist(), strict=True))
    return space.from_unit(list(point.values()))


def _numeric(space: Space) -> dict[str, Float | Int]:
    return {
        name: axis
        for name, axis in space.axes.items()
        if not isinstance(axis, Choice) and not axis.when
    }


def _position(numeric: dict[str, Float | Int], trial: Trial) -> NDArray[np.float64]:
    # A rounding in a logarithm may put a limit of the range just outside the cube.
    position = [axis.to_unit(trial.params[name]) for name, axis in numeric.items()]
    clipped: NDArray[np.float64] = np.clip(np.array(position), 0.0, 1.0)
    return clipped


def _replayed(request: Request, d: int, own: list[_Solution], inherited: list[_Solution]) -> CMA:
    """Return the optimizer after all full populations of `own`.

    A distribution that has shrunk to one setting, or that its library calls finished, starts
    again at a random point with twice the population (IPOP: Auger and Hansen, CEC 2005); the
    rest of the budget would repeat one setting otherwise.
    """
    population = 4 + int(3 * np.log(d))
    mean, sigma, shape = _start(d, population, inherited)
    optimizer = _optimizer(mean, sigma, population, shape)
    restarts = told = 0
    while told + population <= len(own):
        solutions = own[told : told + population]
        told += population
        spread = np.ptp([point for point, _ in solutions], axis=0)
        optimizer.tell(solutions)
        if spread.max() < _CONVERGED or optimizer.should_stop():
            restarts += 1
            population *= 2
            stream = seeds.generator(request.seed, seeds.Purpose.RESTART, request.stage, restarts)
            optimizer = _optimizer(stream.random(d), _SIGMA, population, None)
    return optimizer


def _start(
    d: int, population: int, inherited: list[_Solution]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64] | None]:
    """Return mean, σ and covariance of the first population.

    Without ancestors, a ball in the middle of the cube. With enough of them, the normal
    distribution that is nearest to the γ best, each widened by α = 0.1 (Nomura, Watanabe,
    Akimoto, Ozaki and Onishi, "Warm starting CMA-ES for hyperparameter optimization", AAAI
    2021, arXiv 2012.06932).
    """
    if len(inherited) < max(population, 1 / _TOP):
        return np.full(d, 0.5), _SIGMA, None
    mean, sigma, covariance = get_warm_start_mgd(inherited, gamma=_TOP, alpha=0.1)
    return np.clip(mean, 0.0, 1.0), float(sigma), covariance


def _optimizer(
    mean: NDArray[np.float64],
    sigma: float,
    population: int,
    covariance: NDArray[np.float64] | None,
) -> CMA:
    d = len(mean)
    return CMA(
        mean=mean,
        sigma=sigma,
        cov=covariance,
        bounds=np.tile([0.0, 1.0], (d, 1)),
        n_max_resampling=10 * d,
        population_size=population,
        seed=0,  # any: drawn from only after `reseed_rng`
    )
