"""Dropout narrows the gap between training and held-out accuracy (section 6.4.3).

It also makes learning slower: after 301 epochs the curves still climb. With 600 to 1,500 epochs
(two seeds) each of these networks knew its training images by heart, too, and 1 to 4 points more of
the held-out ones than without dropout.

The book multiplies by 1 - p in inference; here what is kept is divided by 1 - p in training. Either
way the layer behind receives in inference what it receives in training on average over its masks.
But from the same initial weights they do not make the same training: in the book's, each layer
hands on 1 - p of the signal that He's weights are made for, and learning is slower. So the
experiment trains both ways.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from core import MLP, Dropout, accuracy, softmax
from core.functions import FloatArray
from core.layers import Layer
from hpo.finding import Finding
from hpo.objective import Description, Run
from studies import mlp, splits
from studies.ch06.measures import at_end, first_stage, spreads
from studies.ch06.overfitting import BY_HEART
from studies.mlp import fit, prepare
from studies.settings import Settings, without

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MASKS = 50
SCALINGS = {"inference": "scaled in inference as in the book", "training": "scaled in training"}


class ScaledInInference(Layer):
    """The book's dropout: what is kept stays as it is, and inference multiplies by 1 - p.

    Args:
        inverted: Dropout of the other kind, which is 1 / (1 - p) times this one, in both.
        kept: 1 - p.
    """

    def __init__(self, inverted: Dropout, kept: float) -> None:
        super().__init__()
        self._inverted = inverted
        self._kept = kept

    def forward(self, x: FloatArray, *, training: bool) -> FloatArray:
        """Return x masked in training, (1 - p) x in inference."""
        y: FloatArray = self._kept * self._inverted.forward(x, training=training)
        return y

    def backward(self, dout: FloatArray) -> FloatArray:
        """Return dout through the same mask."""
        dx: FloatArray = self._kept * self._inverted.backward(dout)
        return dx


def describe(fixed: Mapping[str, Any]) -> Description:
    """Say how many images there are; the scaling is a setting of this experiment."""
    return mlp.describe(without(fixed, "scaling"))


def train(params: Mapping[str, Any], run: Run) -> float:
    """Train as `studies.mlp:train` does; the last epoch compares inference with training."""
    scaling = params["scaling"]
    settings = Settings.parse(without(params, "scaling"))
    network, trainer, split = prepare(settings, run.seed)
    kept = 1 - settings.dropout
    if scaling == "inference":
        scale_in_inference(network, kept)

    def at_the_end(epoch: int) -> dict[str, float]:
        if epoch != settings.epochs:
            return {}
        compared = inference_and_masks(network, split)
        if scaling == "training":
            same = converted(network, kept)
            compared["converted_accuracy"] = float(same.evaluate(split.x_val, split.t_val)[1])
        return compared

    return fit(network, trainer, split, settings, run, also=at_the_end)


def converted(network: MLP, kept: float) -> MLP:
    """Return the same network with the book's scaling: what follows dropout has larger weights."""
    other = copy.deepcopy(network)
    scale_in_inference(other, kept)
    for name, values in other.params.items():
        if name[0] == "W" and name != "W1":
            values /= kept
    return other


def scale_in_inference(network: MLP, kept: float) -> None:
    """Replace the dropout layers of a network by the book's."""
    network.layers[:] = [
        ScaledInInference(layer, kept) if isinstance(layer, Dropout) else layer
        for layer in network.layers
    ]


def inference_and_masks(network: MLP, split: splits.Split) -> dict[str, float]:
    """Compare inference with the average over many masks, on held-out images.

    Returns:
        `mask_activation`: the last hidden layer's mean activation over the masks, as a multiple
        of the one in inference. `mask_accuracy`: the accuracy of the mean of the outputs.
        `unmasked_accuracy`: the accuracy of inference on the same images.
    """
    x, t = split.x_val[:1000], split.t_val[:1000]
    hidden, scores = _through(network, x, training=False)
    masked = [_through(network, x, training=True) for _ in range(MASKS)]
    activation = np.mean([y.mean() for y, _ in masked])
    output = np.mean([softmax(y) for _, y in masked], axis=0)
    return {
        "mask_activation": float(activation / hidden.mean()),
        "mask_accuracy": float(accuracy(output, t)),
        "unmasked_accuracy": float(accuracy(scores, t)),
    }


def _through(network: MLP, x: FloatArray, *, training: bool) -> tuple[FloatArray, FloatArray]:
    """Return what the last layer receives, and what it gives."""
    for layer in network.layers[:-1]:
        x = layer.forward(x, training=training)
    return x, network.layers[-1].forward(x, training=training)


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Compare the ends of the curves with those without dropout, and the two scalings."""
    found, ends, activation, off = [], {}, {}, {}
    epochs = curves["step"].max()
    for scaling, how in SCALINGS.items():
        of_scaling = trials[trials["params_scaling"] == scaling]
        train = at_end(of_scaling, curves, "train_accuracy", "dropout")
        ends[scaling] = held_out = at_end(of_scaling, curves, "val_accuracy", "dropout")
        gap = train - held_out
        ratios = list(gap.columns[1:])
        activation[scaling], masked, unmasked = (
            at_end(of_scaling, curves, metric, "dropout")[ratios]
            for metric in ("mask_activation", "mask_accuracy", "unmasked_accuracy")
        )
        off[scaling] = masked - unmasked
        found += [
            Finding(
                f"dropout, {how}, narrows the gap between training and held-out accuracy",
                f"gap at the end, by ratio: {spreads(gap)}; held-out accuracy {spreads(held_out)}",
                holds=all(bool((gap[ratio] < gap["0.0"]).all()) for ratio in ratios),
            ),
            Finding(
                f"with dropout, {how}, the training images are not learnt by heart in that time",
                f"training accuracy after {epochs} epochs, by ratio: {spreads(train)}",
                holds=bool(
                    (train["0.0"] >= BY_HEART).all() and (train[ratios] < BY_HEART).all(axis=None)
                ),
            ),
        ]
    between = (ends["inference"] - ends["training"])[ratios]
    in_training = trials[trials["params_scaling"] == "training"]
    same = at_end(in_training, curves, "converted_accuracy", "dropout")
    changed = (same - ends["training"])[ratios].abs()
    return [
        *found,
        Finding(
            "a network of one scaling is one of the other, with weights 1 / (1 - p) as large",
            f"change of the accuracy of trained networks, by ratio: {spreads(changed, 4)}",
            holds=bool((changed <= 0.001).all(axis=None)),
        ),
        Finding(
            "inference, so scaled, does what training does on average, within a tenth",
            f"over {MASKS} masks, by ratio: "
            + "; ".join(
                f"{how}, the last hidden layer's mean activation is {spreads(activation[scaling])} "
                "times that of inference, and the accuracy of the mean output differs from "
                f"inference's by {spreads(off[scaling])}"
                for scaling, how in SCALINGS.items()
            ),
            holds=all(
                bool(
                    activation[scaling].mean(skipna=False).between(0.9, 1.1).all()
                    and (off[scaling].mean(skipna=False).abs() < 0.02).all()
                )
                for scaling in SCALINGS
            ),
        ),
        Finding(
            "trained with either scaling from the same weights, the network becomes equally good",
            "held-out accuracy at the end, scaled in inference minus scaled in training, by "
            f"ratio: {spreads(between)}",
            holds=bool((between.mean(skipna=False).abs() < 0.02).all()),
        ),
    ]


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the accuracy by epoch: a row for each ratio, a column for each scaling."""
    from studies.ch06 import drawing

    axes = ["params_scaling", "params_dropout"]
    steps = curves.merge(trials[["trial", *axes]], on="trial").groupby(axes)
    ratios = sorted(trials["params_dropout"].unique())
    sheet, panels = drawing.sheet(
        "The same network with more and more dropout", len(ratios), len(SCALINGS), panel=(3.6, 2.3)
    )
    for ax, (ratio, scaling) in zip(panels, product(ratios, SCALINGS), strict=True):
        drawing.accuracies(ax, steps.get_group((scaling, ratio)))
        ax.set_title(f"dropout {ratio:g}, {SCALINGS[scaling]}")
    panels[0].legend(loc="lower right")
    return sheet
