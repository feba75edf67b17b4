"""Weight decay keeps a network from learning by heart (section 6.4.2).

The gap becomes narrower because training accuracy falls further than held-out accuracy, which
falls too: as strong as in the book, weight decay makes this network no better.

The book says that any norm of the weights could be the penalty, and uses the squares of L2. Here
each epoch also reports the three norms that it names, over all weight matrices together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core import MLP
from hpo.finding import Finding
from hpo.objective import Run
from studies.ch06.measures import at_end, first_stage, spread, spreads
from studies.ch06.overfitting import BY_HEART
from studies.mlp import fit, prepare
from studies.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NORMS = {"l1": "L1 = Σ |w|", "l2": "L2 = √(Σ w²)", "l_inf": "L∞ = max |w|"}


def train(params: Mapping[str, Any], run: Run) -> float:
    """Train as `studies.mlp:train` does, and report the norms of the weights as well."""
    settings = Settings.parse(params)
    network, trainer, split = prepare(settings, run.seed)
    return fit(network, trainer, split, settings, run, also=lambda epoch: norms(network))


def norms(network: MLP) -> dict[str, float]:
    """Return L1, L2 and L∞ of all weights, the biases left out as they are from the penalty."""
    weights = np.concatenate([w.ravel() for name, w in network.params.items() if name[0] == "W"])
    orders = zip(NORMS, (1, 2, np.inf), strict=True)
    return {name: float(np.linalg.norm(weights, order)) for name, order in orders}


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Compare the ends of the curves without and with weight decay, seed by seed."""
    train = at_end(trials, curves, "train_accuracy", "weight_decay")
    held_out = at_end(trials, curves, "val_accuracy", "weight_decay")
    gap = train - held_out
    shares = {}
    for norm in NORMS:
        ends = at_end(trials, curves, norm, "weight_decay")
        shares[norm] = ends["0.1"] / ends["0.0"]
    return [
        Finding(
            "weight decay narrows the gap between training and held-out accuracy",
            f"gap at the end, by λ: {spreads(gap)}; held-out accuracy {spreads(held_out)}",
            holds=bool((gap["0.1"] < gap["0.0"]).all()),
        ),
        Finding(
            "with it the network no longer learns the training images by heart",
            f"training accuracy at the end, by λ: {spreads(train)}",
            holds=bool((train["0.0"] >= BY_HEART).all() and (train["0.1"] < BY_HEART).all()),
        ),
        Finding(
            "the weights stay smaller",
            "with λ = 0.1, as a share of the norm without: "
            + ", ".join(f"{NORMS[norm][:2]} {spread(share)}" for norm, share in shares.items()),
            holds=all(bool((share < 1).all()) for share in shares.values()),
        ),
    ]


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw accuracy by epoch without and with weight decay; below, the norms of the weights."""
    from studies.ch06 import drawing

    steps = curves.merge(trials[["trial", "params_weight_decay"]], on="trial")
    steps["gap"] = steps["train_accuracy"] - steps["val_accuracy"]
    sheet, panels = drawing.sheet("The same network without and with weight decay", 2, 3)
    lines = ({"color": drawing.INK}, {"color": drawing.MUTED, "linestyle": "--"})
    by_decay = steps.groupby("params_weight_decay")
    for (decay, of_decay), ax, line in zip(by_decay, panels, lines, strict=False):
        drawing.accuracies(ax, of_decay)
        ax.set_title(f"λ = {decay:g}")
        for below, column in zip(panels[2:], ("gap", *NORMS), strict=True):
            drawing.band(below, of_decay, column, label=f"λ = {decay:g}", **line)
    titles = ("training minus held-out accuracy", *NORMS.values())
    for ax, title in zip(panels[2:], titles, strict=True):
        ax.set(title=title, xlabel="epoch", ylim=(0, None))
    panels[0].legend()
    panels[2].legend()
    return sheet
