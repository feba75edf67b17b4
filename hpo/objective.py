"""What an objective sees of `hpo`, and what `hpo` expects of an objective.

An objective is a function `train(params, run) -> float`. It is named "module:function", so that
a worker process can import it, and it uses nothing of `run` but `run.seed` and `run.report`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypedDict


class Pruned(Exception):
    """Raised by `run.report` when the trial is not worth continuing; let it pass."""


class Diverged(Exception):
    """Raised by `run.report` at the first loss or score that is not finite; let it pass.

    A diverged trial is a result, not an error: it ends COMPLETE with the chance level as its
    value, so that samplers and `narrow` learn where training breaks.
    """


class Run(Protocol):
    """The running trial, as the objective sees it."""

    @property
    def seed(self) -> int:
        """Seed for every random choice of this trial: weights, batches, dropout masks."""

    def report(self, step: int, **metrics: float) -> None:
        """Record the metrics of one step.

        Args:
            step: Epoch, iteration or layer; each is reported once, in rising order.
            **metrics: Floats by name, for example `val_accuracy=0.81`. NaN means "no value".

        Raises:
            Diverged: The study's metric, or a metric called `loss` or `…_loss`, is not finite,
                or any metric is infinite.
            Pruned: The trial is not worth continuing.
        """


class Description(TypedDict):
    """What `describe(fixed)` says about the data before the first trial.

    The sizes are numbers of examples. `fingerprint` identifies data and split, so that two
    studies can be seen to have used the same.
    """

    train: int
    validation: int
    test: int
    classes: int
    fingerprint: str


Objective = Callable[[Mapping[str, Any], Run], float]
Describe = Callable[[Mapping[str, Any]], Description]


def floor_value(
    description: Description | None, direction: str, metric: str, worst: float | None
) -> float | None:
    """Return the honest value of a diverged trial: what guessing would have reached.

    Args:
        description: What `describe` said, None without it.
        direction: "maximize" or "minimize".
        metric: Name of the study's metric.
        worst: The worst finite value of the metric that the trial reported, None if none.

    Returns:
        For C classes 1/C for an accuracy, ln C for a cross-entropy loss, 1 - 1/C for an error
        rate; without a description, `worst`.
    """
    if description is None:
        return worst
    classes = description["classes"]
    if direction == "maximize":
        return 1 / classes
    return math.log(classes) if is_loss(metric) else 1 - 1 / classes


def is_loss(metric: str) -> bool:
    """Return whether a metric's name says that it is a loss."""
    return metric == "loss" or metric.endswith("_loss")
