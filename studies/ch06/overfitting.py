"""A large network learns 300 images by heart (section 6.4.1).

In the book's code the first "epoch" ends after a single update, and batches are drawn with
replacement, so that an epoch leaves out about a third of the images. Here an epoch is a walk
through all of them. After 201 epochs that makes no difference (0.4 points at most in five pairs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.finding import Finding
from studies.ch06.measures import at_end, first_stage, spread

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

BY_HEART = 0.99
"""From this accuracy on the training images, a network knows almost all of them."""

FAR_BELOW = 0.1


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> Finding:
    """Compare where the two curves of each replicate end."""
    train = at_end(trials, curves, "train_accuracy", "weight_decay")["0.0"]
    held_out = at_end(trials, curves, "val_accuracy", "weight_decay")["0.0"]
    return Finding(
        "almost 100 % of the training images are recognized, and far fewer of the others",
        f"accuracy on training images {spread(train)}, on held-out images {spread(held_out)}; "
        f"difference {spread(train - held_out)}",
        holds=bool((train >= BY_HEART).all() and (train - held_out > FAR_BELOW).all()),
    )


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the accuracy on training and on held-out images by epoch."""
    from studies.ch06 import drawing

    sheet, (ax,) = drawing.sheet("A network that learns by heart", 1, 1, panel=(6, 4))
    drawing.accuracies(ax, curves)
    ax.legend()
    return sheet
