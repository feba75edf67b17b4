"""Quasi-random search: a scrambled Sobol' sequence.

The points of one sequence fill the cube more evenly than random ones. All settings of a stage
must therefore come from the *same* scrambling, of which setting i is point i; scrambling anew
for each setting would give plain random points. (Sobol', 1967; the scrambling is Matoušek's,
"On the L2-discrepancy for anchored boxes", Journal of Complexity 14, 1998.)
"""

from __future__ import annotations

from typing import Any

from scipy.stats import qmc

from hpo.sampling import seeds
from hpo.sampling.request import Request


def suggest(request: Request) -> dict[str, Any]:
    """Return point number `request.setting` of the stage's sequence, mapped into the space."""
    stream = seeds.generator(request.seed, seeds.Purpose.SEQUENCE, request.stage)
    sequence = qmc.Sobol(len(request.space), scramble=True, rng=stream)
    if request.setting:  # SciPy cannot skip no point: it hands out the first one separately
        sequence.fast_forward(request.setting)
    return request.space.from_unit([float(u) for u in sequence.random(1)[0]])
