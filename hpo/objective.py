"""What an objective sees of `hpo`, and what `hpo` expects of an objective.

An objective is a function `train(params, run) -> float`. It is named "module:function", so that
a worker process can import it, and it uses nothing of `run` but `run.seed` and `run.report`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypedDict


class Pruned(Exception):
    """Raised by `run.report` when the trial is not worth continuing; let it pass."""


class Diverged(Exception):
    """Raised by `run.report` at the first loss or score that is not finite; let it pass.

    A diverged trial is a result, not an error: it ends COMPLETE with the value that `floor_value`
    gives it, so that samplers and `narrow` learn where training breaks.
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
    """Return the honest value of a diverged trial: what guessing would have reached, or worse.

    The chance level of C classes is known for a metric whose name ends in one of these words, if
    the direction fits: maximized "accuracy" or "acc" 1/C, minimized "error" 1 - 1/C, minimized
    "loss" ln C (cross-entropy). A number of another kind has none that could be guessed: 0.9
    would be a brilliant "val_nll".

    Args:
        description: What `describe` said, None without it.
        direction: "maximize" or "minimize".
        metric: Name of the study's metric.
        worst: The worst finite value of the metric that the trial reported, None if none.

    Returns:
        The worse of chance level and `worst`, or the one that is known; None if neither is.
    """
    chance = chance_level(description, direction, metric)
    known = [value for value in (chance, worst) if value is not None]
    if not known:
        return None
    return min(known) if direction == "maximize" else max(known)


def chance_by_name(description: Description, metric: str) -> float | None:
    """Return what guessing reaches in a metric whose name says which direction is better.

    Returns:
        The level as in `floor_value`, None for a metric of another kind.
    """
    direction = "maximize" if _ends_in(metric, "accuracy", "acc") else "minimize"
    return chance_level(description, direction, metric)


def sampling_error(share: float, n: int) -> float:
    """Return the standard error of a share of n examples, such as an accuracy.

    sqrt(p(1 - p)/n) says that 100 right of 100 leave no doubt. As Agresti and Coull do (The
    American Statistician 52, 1998), two right and two wrong examples are added: p = (x + 2)/(n + 4)
    on n + 4 examples. The interval of twice this around p is theirs, near to Wilson's.
    """
    p = (share * n + 2) / (n + 4)
    return math.sqrt(p * (1 - p) / (n + 4))


def share_error(metric: str, value: float, examples: int | None) -> float | None:
    """Return the standard error of a share of examples, such as an accuracy.

    See `sampling_error`.

    Args:
        metric: Name of the metric.
        value: Its value.
        examples: Their number, None if it is not known.

    Returns:
        None where there are no examples that are known, or the value is not a share of them.
    """
    if not examples or is_loss(metric) or not 0 <= value <= 1:
        return None
    return sampling_error(value, examples)


def is_share(metric: str, values: Iterable[float], examples: int | None) -> bool:
    """Return whether values are shares of examples, which are never below 0 or above 1.

    Args:
        metric: Name of the metric.
        values: Its values.
        examples: Their number, None if it is not known: then only an accuracy is surely a share.
    """
    can_be = not is_loss(metric) if examples else _ends_in(metric, "accuracy", "acc")
    return can_be and all(0 <= value <= 1 for value in values)


def chance_level(description: Description | None, direction: str, metric: str) -> float | None:
    """Return what guessing reaches, None where it is not known; see `floor_value`."""
    if description is None:
        return None
    classes = description["classes"]
    if direction == "maximize":
        return 1 / classes if _ends_in(metric, "accuracy", "acc") else None
    if is_loss(metric):
        return math.log(classes)
    return 1 - 1 / classes if _ends_in(metric, "error") else None


def is_loss(metric: str) -> bool:
    """Return whether a metric's name says that it is a loss."""
    return _ends_in(metric, "loss")


def _ends_in(metric: str, *words: str) -> bool:
    """Return whether the last word of a name, as in "val_loss", is one of these."""
    return metric.rpartition("_")[2] in words
