"""A setting looks better on the images that it was chosen with than it is (section 6.5.1).

Each setting is trained once with each seed, and judged on every portion of the held-out images; a
step is a portion. The portions are divided into two halves at random, a hundred times; for in the
order of the file the second half is easier, by about four points. Then a search is played with each
small, larger and largest set of validation images that one half gives: choose the best setting
there, and look at it in the other half, which had no say. The halves change roles, so that the one
with easier images favours nobody.

All seeds share the settings, the images and the halvings. So the ranges over the seeds show the
noise of training alone; other settings or other images would add to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core import accuracy
from hpo.errors import ObjectiveError
from hpo.finding import Finding
from hpo.objective import Description, Run
from studies import mlp
from studies.ch06.measures import first_stage, spread
from studies.mlp import fit_silently, prepare
from studies.settings import Settings, without

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


FEWEST = 20
"""Portions: two halves, of which a fifth is more than one portion."""

HALVINGS = 100
HALVING_SEED = 0
"""Fixed, for whoever looks at the study again must find the same."""

POINT = 0.01


def describe(fixed: Mapping[str, Any]) -> Description:
    """Say how many images there are; in how many portions they are judged is our own setting."""
    if fixed["portions"] < FEWEST:
        raise ObjectiveError(f"portions ({fixed['portions']}) must be {FEWEST} at least.")
    return mlp.describe(without(fixed, "portions"))


def train(params: Mapping[str, Any], run: Run) -> float:
    """Train once, report the accuracy on each portion, and return the accuracy on all."""
    settings = Settings.parse(without(params, "portions"))
    network, trainer, split = prepare(settings, run.seed)
    fit_silently(trainer, (split.x_train, split.t_train), settings)
    scores = network.predict(split.x_val)
    size = len(split.t_val) // params["portions"]
    for step in range(1, params["portions"] + 1):
        portion = slice((step - 1) * size, step * size)
        share = float(accuracy(scores[portion], split.t_val[portion]))
        run.report(step, val_accuracy=share, images=size)
    return float(accuracy(scores, split.t_val))


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Compare what was chosen with what it is worth, by the number of images to choose with."""
    chosen = choices(trials, curves, np.random.default_rng(HALVING_SEED))
    by_size = chosen.groupby(["images", "seed"])[["optimism", "independent"]].mean()
    sizes = sorted(chosen["images"].unique())
    optimism = {size: by_size.loc[size, "optimism"] for size in sizes}
    worth = {size: by_size.loc[size, "independent"] for size in sizes}
    few, _, half = sizes
    return [
        Finding(
            "few images flatter the setting chosen with them by more than a point, and by more "
            "than many images do",
            "accuracy there minus accuracy on images that had no say, chosen on "
            + ", ".join(f"{size:,} images {spread(optimism[size], 4)}" for size in sizes),
            # Over two halves in turn it cannot be negative: only its size says something.
            holds=bool((optimism[few] > POINT).all() and (optimism[few] > optimism[half]).all()),
        ),
        Finding(
            "chosen with a whole half of the held-out images, it is flattered by less than a point",
            f"with all {half:,} images of a half {spread(optimism[half], 4)}",
            holds=bool((optimism[half] < POINT).all()),
        ),
        Finding(
            "more validation images choose a better setting",
            "accuracy of the chosen setting on images that had no say, chosen on "
            + ", ".join(f"{size:,} images {spread(worth[size])}" for size in sizes),
            holds=bool((worth[few] < worth[half]).all()),
        ),
    ]


def choices(trials: pd.DataFrame, curves: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Play every choice: among the settings of a seed, on one portion, a fifth of a half, a half.

    Args:
        trials: The study's trials.
        curves: Their steps, each a portion.
        rng: Divides the portions into halves, those of all seeds alike.

    Returns:
        A row for each choice: `seed`, how many `images` it was made with, `chosen` (the best
        setting's accuracy on them), `independent` (its accuracy in the other half), and
        `optimism`, which is the difference.
    """
    import pandas as pd

    settings = trials.groupby("seed").size().min()
    if settings < 2:
        raise ValueError("with a single setting there is nothing to choose; raise --trials")
    size = int(curves["images"].iloc[0])
    portions = curves["step"].nunique()
    half = portions // 2
    halvings = [rng.permutation(portions) for _ in range(HALVINGS)]
    rows: list[tuple[Any, ...]] = []
    for seed, of_seed in trials.groupby("seed"):
        steps = curves[curves["trial"].isin(of_seed["trial"])]
        scores = steps.pivot(index="trial", columns="step", values="val_accuracy").to_numpy()
        for order in halvings:
            halves = scores[:, order[:half]], scores[:, order[half : 2 * half]]
            for mine, other in (halves, halves[::-1]):
                worth = other.mean(axis=1)
                for count in (1, half // 5, half):
                    sets = mine[:, : half // count * count].reshape(len(mine), -1, count)
                    judged = sets.mean(axis=2)
                    best = worth[judged.argmax(axis=0)]
                    found = zip(judged.max(axis=0), best, strict=True)
                    rows += [(seed, count * size, *each) for each in found]
    chosen = pd.DataFrame(rows, columns=["seed", "images", "chosen", "independent"])
    return chosen.assign(optimism=chosen["chosen"] - chosen["independent"])


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw what the chosen settings seem and what they are, by the images to choose with."""
    from studies.ch06 import drawing

    chosen = choices(trials, curves, np.random.default_rng(HALVING_SEED))
    sheet, (accuracies, optimism) = drawing.sheet(
        "A setting on the images that it was chosen with, and on others", 1, 2, panel=(4, 3.6)
    )
    by_size = chosen.groupby("images")
    for column, label, colour, marker in (
        ("chosen", "on the images it was chosen with", drawing.ORANGE, "o"),
        ("independent", "on images that had no say", drawing.BLUE, "s"),
    ):
        mean, low, high = by_size[column].mean(), *map(by_size[column].quantile, (0.1, 0.9))
        accuracies.plot(mean.index, mean, label=label, color=colour, marker=marker)
        accuracies.fill_between(mean.index, low, high, color=colour, alpha=0.15, lw=0)
    accuracies.set_title("means, and the middle 80 % of the choices")
    accuracies.set(ylabel="accuracy of the chosen setting")
    accuracies.legend()
    for _, of_seed in chosen.groupby("seed"):
        mean = of_seed.groupby("images")["optimism"].mean() * 100
        optimism.plot(mean.index, mean, color=drawing.INK, marker="o", lw=0.8)
    optimism.axhline(0, color=drawing.MUTED, lw=0.8)
    optimism.set(ylabel="difference, in points of accuracy", title="how far they flatter, by seed")
    sizes = sorted(chosen["images"].unique())
    for ax in (accuracies, optimism):
        ax.set(xlabel="images to choose with", xscale="log")
        ax.minorticks_off()
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    return sheet
