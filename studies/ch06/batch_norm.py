"""Batch normalization makes training fast for almost any initial weights (section 6.3.2).

The book starts the two networks of a scale from different random weights. Here both start from
the same ones, and there are several pairs. The book adds ε = 1e-6 to the variance, `core` 1e-7:
with scales below 0.001 training ends at 0.06 more here, on average over twelve pairs, of which one
ends at 0.11 less; with larger ones the ends agree. The running variance of inference starts at 0 in
the book and at 1 here. At small scales that is why accuracy stays at guessing for the first epochs,
up to five, though the network has learnt already: averaged over the epochs it costs 0.07 at a scale
of 0.0001, 0.15 at 0.004. The book's epochs are ten batches drawn with replacement; here an epoch is
all 1,000 images.

A network that diverges knows no more than guessing from then on; a cross marks where it did.
Where the weights are well chosen (He's scale is 0.14), the network without it learns faster.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpo.finding import Finding
from studies.ch06.measures import first_stage

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

GUESSING = 0.1
ALMOST_ALL = 0.8
"""Share of the scales: 13 of 16."""


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Compare, scale by scale, how much was known of the training images in each epoch."""
    epochs = accuracies(trials, curves)
    on_average = epochs.mean(axis="columns").unstack("batch_norm")
    ends = epochs.iloc[:, -1].unstack("batch_norm")
    ahead = (on_average[True] > on_average[False]).groupby("init").all()
    stuck = (ends[False] <= 2 * GUESSING).groupby("init").all()
    bad = stuck.index[stuck]
    kinds = trials.groupby("params_batch_norm")["diverged"]
    diverged = {kind: f"{each.sum()} of {len(each)}" for kind, each in kinds}
    on_bad = ends[True][ends.index.isin(bad, level="init")]
    return [
        Finding(
            "with batch normalization training is faster at almost every scale",
            f"ahead at {ahead.sum()} of {len(ahead)} scales with every seed, and at "
            f"{ahead[~stuck].sum()} of the {(~stuck).sum()} where the network without it learns; "
            f"training accuracy averaged over the epochs {on_average.mean()[True]:.3f}, without it "
            f"{on_average.mean()[False]:.3f}",
            holds=bool(ahead.mean() >= ALMOST_ALL),
        ),
        Finding(
            "without it the network does not learn at all at some scales, with it, it does",
            f"training accuracy at most {2 * GUESSING:.1f} in the end: without it at {len(bad)} "
            f"of {len(ahead)} scales with every seed; with it, at the same scales, "
            + (f"at least {on_bad.min():.3f}" if len(bad) else "(there are none)")
            + f"; diverged, which counts as guessing from then on: without it {diverged[False]} "
            f"networks, with it {diverged[True]}",
            holds=len(bad) > 0 and bool((on_bad > 2 * GUESSING).all()),
        ),
    ]


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the training accuracy by epoch, a panel per scale."""
    from studies.ch06 import drawing

    epochs = accuracies(trials, curves)
    styles = {
        True: {"color": drawing.BLUE, "linestyle": "-", "label": "with batch normalization"},
        False: {"color": drawing.ORANGE, "linestyle": "--", "label": "without"},
    }
    scales = epochs.index.unique("init")[::-1]
    broken = trials[trials["diverged"]]
    diverged = broken.groupby(["params_batch_norm", "params_init"])["steps"]
    sheet, panels = drawing.sheet(
        f"{len(scales)} scales of the initial weights",
        math.ceil(len(scales) / 4),
        4,
        panel=(2.2, 1.6),
        sharex=True,
        sharey=True,
    )
    for ax, scale in zip(panels, scales, strict=False):
        for kind, style in styles.items():
            steps = epochs.loc[(kind, scale)].melt(var_name="step", value_name="accuracy")
            drawing.band(ax, steps, "accuracy", **style)
            if (kind, scale) in diverged.groups:
                end = diverged.get_group((kind, scale)) + 1
                ax.plot(end, [GUESSING] * len(end), "x", color=style["color"], clip_on=False)
        ax.set_title(f"standard deviation {scale:.2g}")
        ax.set_ylim(0, 1.02)
    for ax in panels[len(scales) :]:
        ax.set_axis_off()
    if len(broken):
        panels[0].plot([], [], "x", color=drawing.INK, label="diverged")
    panels[0].legend()
    sheet.supxlabel("epoch", size=8)
    sheet.supylabel("accuracy on the training images", size=8)
    return sheet


def accuracies(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Return the training accuracy: a row per trial, by setting and seed, a column per epoch.

    A network that diverged knows no more than guessing from then on. A trial that has no result is
    left out.
    """
    epochs = curves.pivot(index="trial", columns="step", values="train_accuracy")
    names = {"params_batch_norm": "batch_norm", "params_init": "init", "seed": "seed"}
    with_result = trials[trials["state"] == "COMPLETE"]  # diverged ones too
    settings = with_result.set_index("trial")[list(names)].rename(columns=names)
    known = settings.join(epochs).set_index(list(names.values()))
    return known.fillna(GUESSING).sort_index()
