"""How far a single result can be from what its setting is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpo.objective import sampling_error
from hpo.trial import mean_of

_LEVEL_FROM = 10  # the level of the best is the mean of a tenth of the results


def noise_sd(
    values: Sequence[float],
    direction: str,
    validation: int | None = None,
    replicates: Sequence[Sequence[float]] = (),
) -> float | None:
    """Return the standard deviation of the noise of one result, None if nothing tells it.

    Args:
        values: The results.
        direction: "maximize" or "minimize".
        validation: Number of examples that a result is a share of; None if it is none.
        replicates: The results of each setting that was tried with several seeds.
    """
    known = []
    if validation is not None and values:
        ordered = sorted(values, reverse=direction == "maximize")
        # The very best result is the luckiest: at its level the noise looks smaller than it is.
        level = mean_of(ordered[: max(len(ordered) // _LEVEL_FROM, 1)])
        known.append(sampling_error(level, validation))
    if (seeds := _pooled(replicates)) is not None:
        known.append(seeds)
    return max(known, default=None)


def _pooled(replicates: Sequence[Sequence[float]]) -> float | None:
    """Return the standard deviation of results within their settings."""
    several = [values for values in replicates if len(values) > 1]
    if not several:
        return None
    freedom = sum(len(values) - 1 for values in several)
    means = [mean_of(values) for values in several]
    # By multiplication: a power of a float refuses to overflow.
    squares = (
        (value - mean) * (value - mean)
        for values, mean in zip(several, means, strict=True)
        for value in values
    )
    return math.sqrt(math.fsum(squares) / freedom)
