"""Toy landscapes on the unit box with a known optimum, on the scale of an accuracy: 0.1 to 0.9."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from hpo.space import Float, Space
from hpo.trial import Trial, TrialState

Point = npt.NDArray[np.float64]
Box = tuple[Point, Point]

CHANCE = 0.1
TOP = 0.9
NOISE = 0.04  # of one result: an accuracy near 0.8 on 100 examples
LIMITS = (-2.0, 3.0)  # how far each range may grow
INNER = ("bowl", "ridge", "plateau", "cliff", "basins", "idle")
EVERY = (*INNER, "edge", "flat at chance", "flat at 0.6")


@dataclass(frozen=True)
class Landscape:
    name: str
    score: Callable[[Point], float]
    optimum: Point
    relevant: npt.NDArray[np.bool_]
    rim: float = math.inf  # of the first axis: beyond it, training diverges

    def diverges(self, u: Point) -> bool:
        return bool(u[0] > self.rim)

    def best_in(self, box: Box) -> float:
        """The highest score in a box, found from the point next to the optimum."""
        low, high = box
        high = np.minimum(high, np.where(np.arange(len(high)) == 0, self.rim, math.inf))
        start = np.clip(self.optimum, low, high)
        bounds = list(zip(low, high, strict=True))
        found = minimize(lambda u: -self.score(u), start, method="L-BFGS-B", bounds=bounds)
        return max(self.score(start), -float(found.fun))


def landscape(name: str, d: int, seed: int) -> Landscape:
    rng = np.random.default_rng(seed)
    o = rng.uniform(0.2, 0.8, d)
    every = np.ones(d, dtype=bool)

    def bowl(u: Point) -> float:
        return max(TOP - 3.2 * float(((u - o) ** 2).mean()), CHANCE)

    if name == "bowl":
        return Landscape(name, bowl, o, every)
    if name == "ridge":
        axes, _ = np.linalg.qr(rng.standard_normal((d, d)))
        steepness = np.geomspace(30.0, 1.0, d)
        steepness *= 3.2 / steepness.sum()
        return Landscape(
            name,
            lambda u: max(TOP - float(steepness @ (axes.T @ (u - o)) ** 2), CHANCE),
            o,
            every,
        )
    if name == "plateau":

        def plateau(u: Point) -> float:
            r = math.sqrt(float(((u - o) ** 2).mean()))
            return 0.1 + 0.79 / (1 + math.exp((r - 0.3) / 0.05)) + 0.01 * (1 - r)

        return Landscape(name, plateau, o, every)
    if name == "cliff":
        return Landscape(name, bowl, o, every, rim=float(o[0]) + 0.04)
    if name == "basins":
        other = rng.uniform(0.2, 0.8, d)
        # The better basin is above the top of the other in a ball of 8 % of the box.
        radius = (0.08 * math.gamma(d / 2 + 1)) ** (1 / d) / math.sqrt(math.pi)

        def basins(u: Point) -> float:
            better = TOP - 0.2 * float(((u - o) ** 2).sum()) / radius**2
            wide = TOP - 0.2 - 1.6 * float(((u - other) ** 2).mean())
            return max(better, wide, CHANCE)

        return Landscape(name, basins, o, every)
    if name == "idle":
        relevant = np.arange(d) < (d + 1) // 2

        def idle(u: Point) -> float:
            return max(TOP - 3.2 * float(((u - o)[relevant] ** 2).mean()), CHANCE)

        return Landscape(name, idle, o, relevant)
    if name == "edge":
        o[0] = 1 + rng.uniform(0.1, 0.4)
        return Landscape(name, bowl, o, every)
    if name == "flat start":
        o[0] = 1 + rng.uniform(0.3, 0.5)

        def beyond(u: Point) -> float:
            away = (u - o) ** 2
            return max(TOP - 0.8 * float(away[0]) / 0.09 - 1.6 * float(away[1:].mean()), CHANCE)

        return Landscape(name, beyond, o, every)
    level = CHANCE if name == "flat at chance" else 0.6
    return Landscape(name, lambda u: level, o, every)


def unit(d: int) -> Space:
    """Return the box of the landscapes."""
    return Space({f"x{i}": Float(0.0, 1.0) for i in range(d)})


def ends(space: Space, name: str) -> tuple[float, float]:
    axis = space[name]
    assert isinstance(axis, Float)
    return axis.low, axis.high


def box(space: Space) -> Box:
    low, high = zip(*(ends(space, name) for name in space), strict=True)
    return np.array(low), np.array(high)


def holds(limits: Box, land: Landscape) -> bool:
    """Whether the optimum is inside, on the axes that matter to it."""
    low, high = limits
    inside = (low <= land.optimum) & (land.optimum <= high)
    return bool(inside[land.relevant].all())


def evaluated(
    land: Landscape, number: int, params: dict[str, float], error: float, stage: int = 1
) -> Trial:
    """Return the trial of a setting; what diverges has the level of chance."""
    u = np.array(list(params.values()))
    lost = land.diverges(u)
    value = CHANCE if lost else land.score(u) + error
    return Trial(stage, number, TrialState.COMPLETE, params, value, diverged_at=1 if lost else None)
