"""Stages for the tests of narrowing: settings in a row, or drawn, with a score of their own."""

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hpo.narrowing import AxisDecision, Decision, decide, default_limits
from hpo.space import Axis, Float, Int, Space
from hpo.trial import Trial, TrialState

LR = Float(1e-6, 1e-2, log=True)
WD = Float(1e-8, 1e-4, log=True)
UNIT = Float(0.0, 1.0)

Score = Callable[[Mapping[str, Any]], float]


def trial(number: int, params: Mapping[str, Any], value: float | None, **more: Any) -> Trial:
    return Trial(1, number, more.pop("state", TrialState.COMPLETE), params, value, **more)


def valued(number: int, params: Mapping[str, Any], score: float) -> Trial:
    """A score of NaN is a diverged trial at its floor value."""
    if math.isnan(score):
        return trial(number, params, 0.1, diverged_at=3)
    return trial(number, params, score)


def sampled(space: Space, score: Score, n: int = 100, seed: int = 0) -> list[Trial]:
    """A random stage."""
    rng = random.Random(seed)
    settings = [space.from_unit([rng.random() for _ in space]) for _ in range(n)]
    return [valued(number, params, score(params)) for number, params in enumerate(settings)]


def swept(axis: Axis, score: Callable[[Any], float], n: int = 100) -> list[Trial]:
    """A stage over one axis `x`, evenly spaced, so that the best can be counted by hand."""
    values = [axis.from_unit((i + 0.5) / n) for i in range(n)]
    return [valued(number, {"x": value}, score(value)) for number, value in enumerate(values)]


def decided(space: Space | Axis, trials: list[Trial], **more: Any) -> Decision:
    if not isinstance(space, Space):
        space = Space({"x": space})
    rng = np.random.default_rng(0)
    given = {"direction": "maximize", "limits": default_limits(space), "rng": rng} | more
    return decide(space, trials, **given)


def one(axis: Axis, trials: list[Trial], **more: Any) -> AxisDecision:
    return decided(axis, trials, **more).axes["x"]


def ends(axis: Axis | None) -> tuple[float, float]:
    assert isinstance(axis, Float | Int)
    return axis.low, axis.high


def around(optimum: float) -> Callable[[float], float]:
    return lambda x: -abs(x - optimum)


def log_peak(optimum: float) -> Score:
    return lambda p: -abs(math.log10(p["lr"] / optimum))


def noisy(score: Callable[[Any], float], noise: float, seed: int = 0) -> Callable[[Any], float]:
    rng = random.Random(seed)
    return lambda given: score(given) + rng.gauss(0, noise)
