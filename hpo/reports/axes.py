"""The parameters of a study as axes of its figures."""

from __future__ import annotations

from typing import Any

from hpo.space import Axis, Choice, union
from hpo.summary import Summary


def widest(summary: Summary) -> dict[str, Axis]:
    """Return each parameter of a study with its range over all stages together."""
    return dict(union(stage.space for stage in summary.stages).axes)


def position(axis: Axis, value: Any) -> float:
    """Return where a value stands on its axis: a number itself, a choice by its place."""
    if not isinstance(axis, Choice):
        return float(value)
    # By type too: True and 1 can both be choices.
    places = {(isinstance(c, bool), c): i for i, c in enumerate(axis.choices)}
    return float(places[isinstance(value, bool), value])
