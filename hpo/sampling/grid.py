"""Grid search: every combination, numbered.

A discrete axis takes all its values. Each of the c continuous axes takes m points at the
positions i / (m − 1) of its range (in logarithms on a log axis), where m is the largest number
with m^c × (discrete combinations) ≤ settings; a single point stands in the middle. Setting
number n is n written in the mixed radix of the axes' lengths, the last axis running fastest.
"""

from __future__ import annotations

import math
from typing import Any

from hpo.errors import DefinitionError
from hpo.sampling.request import Request
from hpo.space import Axis, Space


def size(space: Space, settings: int) -> int:
    """Return the number of points of the grid that fits into so many settings.

    Raises:
        DefinitionError: Even one point per continuous axis is more than `settings`.
    """
    return math.prod(_lengths(space, settings).values())


def suggest(request: Request) -> dict[str, Any]:
    """Return point number `request.setting` of the grid."""
    lengths = _lengths(request.space, request.settings)
    params: dict[str, Any] = {}
    rest = request.setting
    for name in reversed(lengths):
        rest, digit = divmod(rest, lengths[name])
        params[name] = _value(request.space[name], digit, lengths[name])
    if rest:  # a point again, under a new number, would be a trial for nothing
        raise DefinitionError(
            f"The grid has {math.prod(lengths.values())} settings and they are all "
            "used; more settings make another grid, so start a new stage or study"
        )
    return {name: params[name] for name in lengths}


def _lengths(space: Space, settings: int) -> dict[str, int]:
    """Return the number of grid values of each axis."""
    axes = space.axes
    discrete = math.prod(axis.count for axis in axes.values() if axis.discrete)
    continuous = sum(not axis.discrete for axis in axes.values())
    if discrete > settings:
        raise DefinitionError(
            f"The grid of the discrete parameters has {discrete} combinations, and the budget is "
            f"for {settings} setting{'s' * (settings != 1)}; raise the number of trials to "
            f"{discrete} × seeds, or give a parameter fewer choices or a larger step"
        )
    points = _root(settings // discrete, continuous) if continuous else 0
    return {name: axis.count if axis.discrete else points for name, axis in axes.items()}


def _value(axis: Axis, digit: int, length: int) -> Any:
    if axis.discrete:
        return axis.value_at(digit)
    return axis.from_unit(0.5 if length == 1 else digit / (length - 1))


def _root(n: int, power: int) -> int:
    """Return the largest m with m^power ≤ n; in integers, as 125 ** (1 / 3) is below 5."""
    m: int = math.floor(n ** (1 / power)) + 1  # never too small, whatever the rounding
    while pow(m, power) > n:
        m -= 1
    return m
