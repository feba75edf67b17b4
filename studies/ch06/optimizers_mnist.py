"""Six optimizers train the same deep network (section 6.1.8).

The book compares SGD, Momentum, AdaGrad and Adam; its code also has RMSProp and Nesterov. Its
script starts every optimizer from other random weights. Here all start from the same ones and
see the same batches, so that their difference is their own. The book draws batches with
replacement from 60,000 images; here 10,000 are held out, and the batches walk through the others.
In 2,000 batches of 128 that moves the averaged losses by about 0.01 at most; RMSProp's by up to
0.17. Its first step is ten times the learning rate, and the loss behind it, far above the figure,
is almost a third of the sum. Whether it is ahead of SGD on average is therefore chance, here and
with the book's batches (3 of 5 seeds); in the end it is ahead with all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpo.finding import Finding
from hpo.objective import Run
from studies import mlp
from studies.ch06.measures import at_end, average, first_stage, spread, spreads

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LEARNING_RATE = 0.01
ADAM_LEARNING_RATE = 0.001


def train(params: Mapping[str, Any], run: Run) -> float:
    """Train with the learning rate that the book gives the optimizer, if none is set."""
    lr = ADAM_LEARNING_RATE if params["optimizer"] == "adam" else LEARNING_RATE
    return mlp.train({"lr": lr, **params}, run)


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Compare how fast the losses fell, and where they ended."""
    on_average = average(trials, curves, "train_loss", "optimizer")
    ends = at_end(trials, curves, "train_loss", "optimizer", last=100)
    second = at_end(trials, curves[curves["step"] == 2], "train_loss", "optimizer")
    ahead = on_average["rmsprop"] < on_average["sgd"]

    def compared(*names: str) -> str:
        shown = ["sgd", *names]
        return (
            f"loss averaged over the training {spreads(on_average[shown])}; "
            f"over its last 100 batches {spreads(ends[shown])}"
        )

    def ahead_of_sgd(*names: str) -> bool:
        return all(
            (loss[name] < loss["sgd"]).all() for loss in (on_average, ends) for name in names
        )

    return [
        Finding(
            "Momentum, AdaGrad and Adam learn faster than SGD",
            compared("momentum", "adagrad", "adam"),
            holds=ahead_of_sgd("momentum", "adagrad", "adam"),
        ),
        Finding(
            "so does Nesterov, which the book's code has too",
            compared("nesterov"),
            holds=ahead_of_sgd("nesterov"),
        ),
        Finding(
            "so does RMSProp, which the book's code has too",
            compared("rmsprop")
            + f"; on average ahead with {ahead.sum()} of {len(ahead)} seeds: after its first step "
            f"the loss is {spread(second['rmsprop'], 0)}",
            holds=ahead_of_sgd("rmsprop"),
        ),
        Finding(
            "of Momentum, AdaGrad and Adam, AdaGrad learns a little faster than the others",
            compared("momentum", "adagrad", "adam"),
            holds=all(
                bool((loss["adagrad"] < loss[["momentum", "adam"]].min(axis="columns")).all())
                for loss in (on_average, ends)
            ),
        ),
    ]


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the smoothed losses by iteration, means of the replicates, up to 1 as in the book."""
    from studies.ch06 import drawing

    sheet, (ax,) = drawing.sheet("The loss with six optimizers", 1, 1, panel=(7, 4))
    drawing.losses(ax, trials, curves, "optimizer")
    if ax.dataLim.ymin < 1:  # else no curve would be seen
        ax.set_ylim(0, 1)
    return sheet
