"""Parameters as Optuna stores them: a float, and the distribution it stands in as JSON text.

The format is that of `optuna.distributions.distribution_to_json` (a test compares them); writing
it here keeps Optuna's import out of every start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hpo.space import Axis, Choice, Float, Space
from hpo.store.trial_rows import ParamRow


def to_rows(space: Space, params: Mapping[str, Any]) -> list[ParamRow]:
    """Return the rows of `trial_params` for the parameters of one trial."""
    return [
        (name, _internal(space[name], value), distribution_json(space[name]))
        for name, value in params.items()
    ]


def distribution_json(axis: Axis) -> str:
    """Return the Optuna distribution of an axis as JSON text."""
    attributes: dict[str, Any]
    if isinstance(axis, Choice):
        name, attributes = "CategoricalDistribution", {"choices": list(axis.choices)}
    elif isinstance(axis, Float):
        name = "FloatDistribution"
        # Optuna wants the upper limit on the lattice of a stepped axis.
        high = axis.high if axis.step is None else axis.value_at(axis.count - 1)
        attributes = {"step": axis.step, "low": axis.low, "high": high, "log": axis.log}
    else:
        name = "IntDistribution"
        step = axis.step or 1
        last = axis.value_at(axis.count - 1)
        attributes = {"log": axis.log, "step": step, "low": axis.low, "high": last}
    return json.dumps({"name": name, "attributes": attributes})


def from_row(value: float, distribution: str) -> Any:
    """Return a stored parameter as the objective saw it."""
    content = json.loads(distribution)
    if content["name"] == "CategoricalDistribution":
        return content["attributes"]["choices"][int(value)]
    return int(value) if content["name"] == "IntDistribution" else float(value)


def _internal(axis: Axis, value: Any) -> float:
    return float(axis.index(value) if isinstance(axis, Choice) else value)
