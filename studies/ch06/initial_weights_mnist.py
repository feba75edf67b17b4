"""The initial weights' scale decides whether a deep ReLU network learns at all (section 6.2.4).

The same network and batches as in optimizers-mnist, trained by SGD. The three kinds are the same
random numbers, scaled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpo.finding import Finding
from studies.ch06.measures import at_end, average, first_stage, spread, spreads

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

GUESSING = math.log(10)
"""The loss of a network that gives all ten classes the same probability."""


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Look at where the losses end, and how fast they fell."""
    ends = at_end(trials, curves, "train_loss", "init", last=100)
    on_average = average(trials, curves, "train_loss", "init")
    scores = at_end(trials, curves, "val_accuracy", "init")
    return [
        Finding(
            "with a standard deviation of 0.01 the network does not learn at all",
            f"its loss ends at {spread(ends['0.01'])}, guessing is {GUESSING:.3f}; "
            f"accuracy on held-out images {spread(scores['0.01'])}",
            holds=bool((ends["0.01"] > 0.95 * GUESSING).all()),
        ),
        Finding(
            "with Xavier and He it learns, with He faster",
            f"loss at the end {spreads(ends[['xavier', 'he']])}; "
            f"averaged over the training {spreads(on_average[['xavier', 'he']])}",
            holds=bool(
                (ends[["xavier", "he"]] < 0.5 * GUESSING).all(axis=None)
                and (on_average["he"] < on_average["xavier"]).all()
            ),
        ),
    ]


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the smoothed losses by iteration."""
    from studies.ch06 import drawing

    sheet, (ax,) = drawing.sheet("The loss with three kinds of initial weights", 1, 1, panel=(7, 4))
    drawing.losses(ax, trials, curves, "init")
    return sheet
