"""How much of the differences between settings each parameter makes, alone and with others.

Sobol's total effect, by Jansen's estimator (Computer Physics Communications 117, 1999): how far the
expected score moves when one parameter is drawn anew and all others stay. Asked of the surrogate,
so that noise is no influence, and trials of any sampler will do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpo.narrowing.evidence import Evidence
from hpo.narrowing.positions import Positions
from hpo.narrowing.surrogate import Array, Surrogate, in_units, unit_of

_SETTINGS = 500


def influence(
    evidence: Evidence, noise: float | None, rng: np.random.Generator
) -> dict[str, float]:
    """Return the share of each parameter in the variance of the expected score.

    Parameters that act together each have the share of what they do together, so that the sum may
    exceed 1. One that exists only under a condition is judged where it does.

    Args:
        evidence: The trials.
        noise: Standard deviation of one result; None if it is not known.
        rng: The source of all chance.

    Returns:
        Nothing if the expected score is the same everywhere.
    """
    space, positions = evidence.space, Positions(evidence.space)
    rows = positions.of([trial.params for trial in evidence.usable])
    values = evidence.sign * np.array([trial.value for trial in evidence.usable], dtype=float)
    unit = unit_of(values)
    scores, variances = in_units(values, unit), None
    if noise is not None:
        repeats = np.array(evidence.repeats, dtype=float)
        variances = in_units(np.array(noise), unit) ** 2 / repeats
    surrogate = Surrogate.fit(rows, scores, variances, positions.categorical)

    def expected(units: Array) -> tuple[Array, list[dict[str, Any]]]:
        settings = [space.from_unit([float(u) for u in row]) for row in units]
        return surrogate.mean(positions.of(settings)), settings

    units = rng.random((_SETTINGS, len(space)))
    before, settings = expected(units)
    if before.min() == before.max():
        return {}
    shares = {}
    for column, name in enumerate(space):
        other = units.copy()
        other[:, column] = rng.random(_SETTINGS)
        moved = expected(other)[0] - before
        there = np.array([name in setting for setting in settings])
        variance = float(before[there].var()) if there.any() else 0.0
        share = float((moved[there] ** 2).mean()) / (2 * variance) if variance else 0.0
        shares[name] = min(share, 1.0)  # of finitely many settings, it may come out larger
    return shares
