"""Measuring numeric axes: positions in the box, and new edges that are legal and read well.

Positions u are those of `Axis.from_unit`: 0 and 1 are the edges of the box, log axes are measured
in logarithms. A value of a discrete axis is not a point but a cell: the positions that would have
been drawn as this value.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from hpo.narrowing.decision import Side
from hpo.space import Choice, Float, Int, Space

Numeric = Float | Int

_EPS = 1e-9  # in steps: forgives rounding where a position falls on the border of two cells


def default_limits(space: Space) -> dict[str, tuple[float, float]]:
    """Return how far each numeric range may be widened when a definition does not say.

    Two decades beyond each edge on log axes, one width beyond it on linear ones; never below 0
    if the range is not, nor below 1 if it is whole numbers from 1 on.
    """
    limits: dict[str, tuple[float, float]] = {}
    for name, axis in space.axes.items():
        if isinstance(axis, Choice):
            continue
        if axis.log:
            low, high = axis.low / 100, axis.high * 100
        else:
            width = axis.high - axis.low
            low, high = axis.low - width, axis.high + width
        for ground in (0, 1) if isinstance(axis, Int) else (0,):
            if axis.low >= ground:
                low = max(low, ground)
        if isinstance(axis, Int):
            limits[name] = math.ceil(low), math.floor(high)
        else:
            limits[name] = float(f"{low:.12g}"), float(f"{high:.12g}")
    return limits


def cell(axis: Numeric, value: float) -> tuple[float, float]:
    """Return the positions that `from_unit` maps onto a value; one point if continuous."""
    if axis.step is not None:
        index, count = axis.index(value), axis.count
        return index / count, (index + 1) / count
    if isinstance(axis, Int):
        return axis.to_unit(value - 0.5), axis.to_unit(value + 0.5)
    u = axis.to_unit(value)
    return u, u


def at(axis: Numeric, u: float) -> float:
    """Return the real number at a position, also outside the box."""
    low: float = axis.low
    high: float = axis.high
    step = _step(axis)
    if step is not None:  # the cells of the first and the last value belong to the box
        low, high = low - step / 2, low + (axis.count - 0.5) * step
    if axis.log:
        return math.exp(math.log(low) + u * math.log(high / low))
    return low + u * (high - low)


def decades(axis: Numeric) -> float:
    """Return the width of a log axis."""
    return math.log10(at(axis, 1.0) / at(axis, 0.0))


def text(axis: Numeric, value: float) -> str:
    """Return a value as the screens write it: 1e-02, 2.5e-03, 0.3, 64."""
    if isinstance(axis, Float) and axis.log:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"
    return f"{value:g}" if isinstance(axis, Float) else str(value)


def shrunk(axis: Numeric, u: tuple[float, float], inside: tuple[float, float]) -> Numeric:
    """Return the axis cut to positions u; rounding only ever leaves more of it.

    Args:
        axis: The axis to cut.
        u: Positions of the new edges; an edge at 0 or 1 (or beyond) stays exactly as it is.
        inside: Lowest and highest value that must remain.
    """
    low, high = (at(axis, position) for position in u)
    step = _step(axis)
    if step is None:
        box = low, high
        low = _readable(axis, low, box, ROUND_FLOOR)
        high = _readable(axis, high, box, ROUND_CEILING)
    else:  # every value stays whose cell is not wholly outside
        low = axis.value_at(math.floor((low - axis.low) / step - 0.5 + _EPS) + 1)
        high = axis.value_at(math.ceil((high - axis.low) / step + 0.5 - _EPS) - 1)
    low = axis.low if u[0] <= 0 else max(min(low, inside[0]), axis.low)
    high = axis.high if u[1] >= 1 else min(max(high, inside[1]), axis.high)
    return with_ends(axis, low, high)


def with_ends(axis: Numeric, low: float, high: float) -> Numeric:
    """Return the axis with other ends."""
    if isinstance(axis, Int):
        return replace(axis, low=int(low), high=int(high))
    return replace(axis, low=float(low), high=float(high))


def grown(axis: Numeric, new: Numeric, side: Side, limits: tuple[float, float]) -> Numeric:
    """Return `new`, the axis after its cuts, with one side half the axis's width further out.

    At most two decades, and not past the limit; a discrete axis grows by whole steps, at least
    one. If there is no room, `new` comes back as it is.
    """
    up = side == "upper"
    sign, limit, end = (1, limits[1], axis.high) if up else (-1, limits[0], axis.low)
    share = min(0.5, 2.0 / decades(axis)) if axis.log else 0.5
    edge = at(axis, 1.0 + share if up else -share)
    step = _step(axis)
    if step is None:
        edge = _readable(axis, edge, (axis.low, axis.high), ROUND_HALF_EVEN)
        edge = min(edge, limit) if up else max(edge, limit)
        if sign * (edge - end) <= 0:
            return new
    else:
        if axis.log:
            limit = max(limit, 1)  # whatever [limits] says, a logarithm needs it
        last = axis.count - 1 if up else 0
        fitting = math.floor(sign * (edge - at(axis, 1.0 if up else 0.0)) / step + _EPS)
        room = math.floor(sign * (limit - axis.value_at(last)) / step + _EPS)
        steps = min(max(fitting, 1), room)
        if steps <= 0:
            return new
        edge = axis.value_at(last + sign * steps)
    return with_ends(new, new.low, edge) if up else with_ends(new, edge, new.high)


def natural(axis: Numeric, side: Side, limits: tuple[float, float]) -> bool:
    """Return whether nothing lies beyond an edge, as below a dropout of 0.

    Args:
        axis: The axis.
        side: Which of its edges.
        limits: How far it may grow: who lets it grow there knows what lies beyond.
    """
    ground = default_limits(Space({"x": axis}))["x"]
    return all(grown(axis, axis, side, ends) == axis for ends in (ground, limits))


def _step(axis: Numeric) -> float | None:
    """Return the distance of the values of a discrete axis, None on a continuous one."""
    return (axis.step or 1) if isinstance(axis, Int) else axis.step


def _readable(axis: Numeric, edge: float, box: tuple[float, float], rounding: str) -> float:
    """Round an edge of a box so that it reads well: 1e-03 rather than 0.000987654.

    Two significant digits on a log axis, three if the box is below a decade; on a linear one a
    hundredth of the box's width, or less.
    """
    low, high = box
    if axis.log:
        place = math.floor(math.log10(edge)) - (1 if high >= 10 * low else 2)
    else:
        place = math.floor(math.log10(high - low)) - 2
    # The noise of exp and log goes first: it would round 1.0000000000000002 up to 1.1.
    quiet = Decimal(repr(edge)).quantize(Decimal(1).scaleb(place - 6), ROUND_HALF_EVEN)
    return float(quiet.quantize(Decimal(1).scaleb(place), rounding))
