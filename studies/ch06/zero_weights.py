"""Why the initial weights must differ: equal units stay equal (section 6.2.1).

The book warns of zeros, and of any one value in their place. With ReLU zeros are the worse of the
two: no signal and no gradient passes, and only the last bias learns. A positive constant lets the
signal through, and then each hidden layer learns as a single unit would. The constant here is 0.01:
a layer of 100 equal units hands its signal on as strong as it came, and so do the random weights
(He's) beside it. What differs is that the units are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from core import MLP
from core.functions import FloatArray
from hpo.finding import Finding
from hpo.objective import Description, Run
from studies import mlp
from studies.ch06.measures import at_end, first_stage, spread, spreads
from studies.mlp import fit, prepare
from studies.settings import Settings, without

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

CONSTANT = 0.01
ROUNDING = 1e-3
"""Share of a layer's largest weight; random weights differ by far more."""


def describe(fixed: Mapping[str, Any]) -> Description:
    """Say how many images there are; the start is a setting of this experiment."""
    return mlp.describe(without(fixed, "start"))


def train(params: Mapping[str, Any], run: Run) -> float:
    """Train; the last step counts the units that differ, and looks at the held-out images."""
    start = params["start"]
    init = "he" if start == "random" else "zeros"
    settings = Settings.parse({**without(params, "start"), "init": init})
    network, trainer, split = prepare(settings, run.seed)
    if start == "constant":
        for weights in weight_matrices(network):
            weights[:] = CONSTANT

    def at_the_end(step: int) -> dict[str, float]:
        if step != settings.iterations:
            return {}
        *hidden, _ = weight_matrices(network)
        return {
            "majority": float(np.bincount(split.t_val).max() / len(split.t_val)),
            "units": fmean(weights.shape[1] for weights in hidden),
            "distinct_units": fmean(distinct_units(weights) for weights in hidden),
        }

    return fit(network, trainer, split, settings, run, also=at_the_end)


def weight_matrices(network: MLP) -> list[FloatArray]:
    """Return W1, W2, … of a network: the arrays that it uses."""
    return [array for name, array in network.params.items() if name.startswith("W")]


def distinct_units(weights: FloatArray) -> int:
    """Return how many different units, columns of (D, M), a layer has.

    Sums of equal numbers in another order differ in their last digits, which are let pass.
    """
    allowed = ROUNDING * np.abs(weights).max()
    distinct = 0
    while weights.shape[1]:
        weights = weights[:, np.abs(weights - weights[:, :1]).max(axis=0) > allowed]
        distinct += 1
    return distinct


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Count the units that differ, and compare the accuracies with naming one class always."""
    distinct, units, accuracy, majority = (
        at_end(trials, curves, metric, "start")
        for metric in ("distinct_units", "units", "val_accuracy", "majority")
    )
    beyond = accuracy - majority
    steps = curves["step"].max()
    share = f"the most frequent class makes up {spread(majority['random'])}"
    return [
        Finding(
            "units that start equal stay equal: a layer of them is no more than one unit",
            f"distinct units of {units['random'].mean():.0f} in a hidden layer, after training: "
            f"{spreads(distinct, 0)}",
            holds=bool(
                (distinct[["zeros", "constant"]] == 1).all(axis=None)
                and (distinct["random"] == units["random"]).all()
            ),
        ),
        Finding(
            "with zeros the network does not learn at all",
            f"held-out accuracy {spreads(accuracy[['zeros', 'random']])}; {share}",
            holds=_does_not_learn(beyond, "zeros"),
        ),
        Finding(
            "nor does it where all weights start at another value",
            f"held-out accuracy after {steps:,} batches "
            f"{spreads(accuracy[['constant', 'random']])}; {share}",
            holds=_does_not_learn(beyond, "constant"),
        ),
    ]


def _does_not_learn(beyond: pd.DataFrame, start: str) -> bool:
    """Whether a start stays near the majority class, and random weights get far beyond it."""
    return bool((beyond[start] < 0.05).all() and (beyond["random"] > 0.5).all())


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the smoothed losses by iteration, and what the networks know in the end."""
    from studies.ch06 import drawing

    sheet, (left, right) = drawing.sheet("Equal and random initial weights", 1, 2, panel=(4.2, 3.4))
    accuracy, distinct, units, majority = (
        at_end(trials, curves, metric, "start")
        for metric in ("val_accuracy", "distinct_units", "units", "majority")
    )
    drawing.losses(left, trials, curves, "start")
    for place, (start, style) in enumerate(drawing.colours(accuracy.columns).items()):
        scores = accuracy[start]
        right.plot([place] * len(scores), scores, "o", color=style["color"], markersize=5)
    right.axhline(
        majority["random"].mean(), color=drawing.MUTED, linestyle=":", label="most frequent class"
    )
    right.set(ylabel="accuracy on held-out images", xlim=(-0.5, 2.5), ylim=(0, 1))
    of_all = [f"{distinct[each].mean():.0f} of {units[each].mean():.0f}" for each in accuracy]
    ticks = [f"{start}\n{count}" for start, count in zip(accuracy, of_all, strict=True)]
    right.set_xticks(range(len(ticks)), ticks)
    right.set_xlabel("initial weights, and units of a layer that are distinct in the end")
    right.legend(loc="upper left")
    return sheet
