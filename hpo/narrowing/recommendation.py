"""Which setting to take: the highest posterior mean among those that were tried.

The best result is the luckiest one. A surrogate weighs it against its neighbours, and a setting
that was tried with r seeds counts with its mean and the variance σ²/r. What that is worth,
benchmarks/narrowing.py measures: least after random search, whose trials lie far apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hpo.narrowing.positions import Positions
from hpo.narrowing.standing import Setting, Standing, is_rival
from hpo.narrowing.surrogate import Surrogate, in_units, unit_of
from hpo.space import Axis, Choice, Space

_COMPARED = 1000  # settings that are compared with the first: the time grows with their number


def standings(
    spaces: Sequence[Space],
    settings: Sequence[Setting],
    direction: str,
    noise: float | None = None,
) -> list[Standing]:
    """Return settings by what is expected of them, the recommended one first.

    Args:
        spaces: The spaces of the stages, the newest first: positions are measured in its box.
        settings: Settings of which less than half diverged, one at least.
        direction: "maximize" or "minimize".
        noise: Standard deviation of one result; None if it is not known.
    """
    means = np.array([setting.mean for setting in settings])
    unit = unit_of(means) if direction == "maximize" else -unit_of(means)
    positions = Positions(_frame(spaces))
    rows = positions.of([setting.first.params for setting in settings])
    scores = in_units(means, unit)
    variances = None
    if noise is not None:
        repeats = np.array([len(setting.values) for setting in settings])
        variances = in_units(np.array(noise), unit) ** 2 / repeats
    surrogate = Surrogate.fit(rows, scores, variances, positions.categorical)
    mean = surrogate.mean(rows)
    # What it has lifted it knows too little of; the bottom of the ranking goes by its scores.
    mean = np.where(scores < surrogate.floor, np.minimum(mean, scores), mean)
    order = np.argsort(-mean, kind="stable")
    near = order[:_COMPARED]
    _, covariance = surrogate.joint(rows[near])
    variance = np.diag(covariance).clip(min=0.0)
    spread = np.sqrt((variance + variance[0] - 2 * covariance[0]).clip(min=0.0))
    found = []
    for place, i in enumerate(order):
        sd, tied = None, False
        if place < len(near):
            sd = abs(unit) * math.sqrt(variance[place])
            tied = place > 0 and is_rival(mean[i] - mean[order[0]], spread[place])
        found.append(Standing(settings[i].first, unit * float(mean[i]), sd, tied, weighed=True))
    return found


def _frame(spaces: Sequence[Space]) -> Space:
    """Return the newest range of each parameter, and its choices of all stages."""
    axes: dict[str, Axis] = {}
    for space in spaces:
        for name, axis in space.axes.items():
            known = axes.setdefault(name, replace(axis, when=None))
            if isinstance(known, Choice) and isinstance(axis, Choice):
                more = tuple(value for value in axis.choices if not known.contains(value))
                axes[name] = replace(known, choices=known.choices + more)
    return Space(axes)
