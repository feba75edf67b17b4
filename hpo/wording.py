"""Numbers, ranges and settings as short text, the same on every screen and in every note."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from hpo.space import Axis, Choice


def number(value: Any) -> str:
    """Return a setting's value in three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def score(value: float, sign: Literal["", "+"] = "") -> str:
    """Return a score; three decimals suit accuracies, others get significant digits.

    Args:
        value: The score, or a difference or an error of scores.
        sign: "+" if a positive value has one too.
    """
    if 0 < abs(value) < 0.0005:  # three decimals would be 0.000
        return f"{value:{sign}.3g}"
    return f"{value:{sign}.3f}" if abs(value) < 10 else f"{value:{sign}.4g}"


def edge(axis: Axis, value: float) -> str:
    """Return an end of a range; powers of ten on log axes as 1e-06."""
    if not isinstance(value, int) and getattr(axis, "log", False):
        exponent = round(math.log10(value))
        if math.isclose(value, 10.0**exponent):
            return f"{value:.0e}"
    return number(value)


def extent(axis: Axis) -> str:
    """Return a range, as `1e-06 … 1e-02   log`."""
    if isinstance(axis, Choice):
        return " | ".join(map(str, axis.choices))
    log = "   log" if axis.log else ""
    return f"{edge(axis, axis.low)} … {edge(axis, axis.high)}{log}"


def condition(axis: Axis) -> str:
    """Return when a parameter exists, as `   when optimizer is momentum or nesterov`."""
    parts = [f"{parent} is {' or '.join(map(str, v))}" for parent, v in (axis.when or {}).items()]
    return "   when " + " and ".join(parts) if parts else ""


def settings(params: Mapping[str, Any], separator: str = ", ") -> str:
    """Return parameters, as `lr 0.0089, weight_decay 1e-06`."""
    return separator.join(f"{name} {number(value)}" for name, value in params.items())
