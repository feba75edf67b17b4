"""Five networks together recognize more than one (section 6.4.3).

A trial trains the five one after the other, each from weights and batches of its own, so that
the mean output is compared with the very networks that it is the mean of. A step is a network.

With dropout 301 epochs are not yet enough: trained for 600 (two trials), dropout brings one network
0.022 and 0.023, more than half of what the mean output of five brings then (0.035 and 0.041).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core import accuracy, softmax
from hpo.finding import Finding
from hpo.objective import Run
from studies.ch06.measures import at_end, average, first_stage, spread
from studies.mlp import fit_silently, prepare
from studies.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NETWORKS = 5


def train(params: Mapping[str, Any], run: Run) -> float:
    """Train the networks, and report each one's accuracy and that of the mean output so far."""
    settings = Settings.parse(params)
    outputs = []
    score = 0.0
    seeds = np.random.SeedSequence(run.seed).generate_state(NETWORKS)
    for count, seed in enumerate(seeds, start=1):
        network, trainer, split = prepare(settings, int(seed))
        fit_silently(trainer, (split.x_train, split.t_train), settings)
        outputs.append(softmax(network.predict(split.x_val)))
        score = float(accuracy(np.mean(outputs, axis=0), split.t_val))
        run.report(
            count, val_accuracy=score, alone_accuracy=float(accuracy(outputs[-1], split.t_val))
        )
    return score


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Compare five networks with each alone, and dropout with none, seed by seed."""
    together = at_end(trials, curves, "val_accuracy", "dropout")
    alone = average(trials, curves, "alone_accuracy", "dropout")
    none, dropout = alone.columns
    gain = together[none] - alone[none]
    instead = alone[dropout] - alone[none]
    return [
        Finding(
            "the mean output of five networks is points better than one network",
            f"held-out accuracy of one {spread(alone[none])}, of five {spread(together[none])}; "
            f"gain {spread(gain)}",
            holds=bool((gain > 0).all() and gain.mean() > 0.01),
        ),
        Finding(
            "dropout brings one network, trained as long, at least half of what the mean output of "
            "five brings",
            f"one network with dropout {dropout}: {spread(alone[dropout])}; gain over one without "
            f"{spread(instead)}; five with dropout {spread(together[dropout])}",
            holds=bool((instead > 0).all() and instead.mean() > gain.mean() / 2),
        ),
    ]


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the accuracy by the number of networks, and each network's own."""
    from studies.ch06 import drawing

    steps = curves.merge(trials[["trial", "params_dropout"]], on="trial")
    by_ratio = steps.groupby("params_dropout")
    styles = drawing.colours(by_ratio.groups)
    sheet, (ax,) = drawing.sheet("One network, and the mean output of several", 1, 1, panel=(6, 4))
    for ratio, of_ratio in by_ratio:
        name = "without dropout" if ratio == 0 else f"dropout {ratio:g}"
        drawing.band(ax, of_ratio, "val_accuracy", label=f"mean output, {name}", **styles[ratio])
        ax.plot(
            of_ratio["step"] + (0.05 if ratio else -0.05),
            of_ratio["alone_accuracy"],
            marker="o" if ratio else "x",
            markersize=4,
            linestyle="none",
            color=styles[ratio]["color"],
            label=f"each network alone, {name}",
        )
    ax.set(xlabel="networks", ylabel="accuracy on held-out images", xticks=range(1, NETWORKS + 1))
    sheet.legend(loc="outside lower center", ncols=2)
    return sheet
