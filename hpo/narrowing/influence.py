"""How much of the differences between results is the settings' doing, and each parameter's.

Of a parameter, alone and with others, it is Sobol's total effect, by Jansen's estimator (Computer
Physics Communications 117, 1999): how far the expected score moves when one parameter is drawn anew
and all others stay. Asked of the surrogate, so that noise is no influence, and trials of any
sampler will do.
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
    surrogate = _fitted(evidence, noise)

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


def foretold(evidence: Evidence) -> float:
    """Return the share of the differences between results that other settings foretell.

    Asked where the noise of a result is not known; see `Surrogate.foretold`.
    """
    return _fitted(evidence, None).foretold()


def _fitted(evidence: Evidence, noise: float | None) -> Surrogate:
    positions = Positions(evidence.space)
    rows = positions.of([trial.params for trial in evidence.usable])
    values = evidence.sign * np.array([trial.value for trial in evidence.usable], dtype=float)
    unit = unit_of(values)
    variances = None
    if noise is not None:
        repeats = np.array(evidence.repeats, dtype=float)
        variances = in_units(np.array(noise), unit) ** 2 / repeats
    return Surrogate.fit(rows, in_units(values, unit), variances, positions.categorical)
