"""The metrics of one step as JSON, which has no NaN and no infinity: they are stored by name."""

from __future__ import annotations

import math
from collections.abc import Mapping


def to_json(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Return metrics as `hpo_curves` stores them."""
    return {
        name: value if math.isfinite(value) else _name(value) for name, value in metrics.items()
    }


def from_json(stored: Mapping[str, float | str | None]) -> dict[str, float]:
    """Return metrics as the objective reported them.

    Revision 0001 of the tables stored null for whatever was not finite; it is read as NaN.
    """
    return {name: math.nan if value is None else float(value) for name, value in stored.items()}


def finite(stored: float | str | None) -> float | None:
    """Return a stored value, or None if it is not a finite number."""
    return None if isinstance(stored, str) else stored


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
