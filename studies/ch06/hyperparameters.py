"""The book's search for a learning rate and a weight decay (section 6.5.2), and its next stages.

The book's code counts an epoch when `iteration % (400 / 100) == 0`, which works for these sizes and
records 1 of 50 epochs for 360 images; here a step is an epoch for every size. It passes the
validation images under the name `x_test`; here the test images stay locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.finding import Finding

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TOP = 5
BOOKS_BOX = (1e-6, 1e-2)
BOOKS_FINDING = (1e-3, 1e-2)


def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Look where the best five of the first stage lie, and whether a later stage is better."""
    first = _best(trials.query("stage == 1"))
    low, high = BOOKS_FINDING
    found = [
        Finding(
            f"inside the book's range, the good learning rates lie in {low:g} … {high:g}",
            f"the best five of {(trials['stage'] == 1).sum()} have lr "
            f"{first['params_lr'].min():.2g} … {first['params_lr'].max():.2g} "
            f"and validation accuracy {first['value'].min():.3f} … {first['value'].max():.3f}",
            holds=bool(first["params_lr"].between(low, high).all()),
        )
    ]
    later = trials.query("stage > 1")
    if not later.empty:
        best = _best(later)
        gain = best["value"].mean() - first["value"].mean()
        found.append(
            Finding(
                "better ones lie outside the book's range",
                f"the best five of the later stages have lr {best['params_lr'].min():.2g} … "
                f"{best['params_lr'].max():.2g} and a mean validation accuracy of "
                f"{best['value'].mean():.3f}, {gain:+.3f} to the best five of the first stage",
                holds=bool(
                    best["params_lr"].min() > BOOKS_BOX[1]
                    and best["value"].min() > first["value"].max()
                ),
            )
        )
    return found


def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the accuracy of every trial over its learning rate; the book's box is shaded."""
    from studies.ch06 import drawing

    sheet, (ax,) = drawing.sheet("Where the good learning rates lie", 1, 1, panel=(7, 4))
    styles = drawing.colours(sorted(trials["stage"].unique()))
    ax.axvspan(*BOOKS_BOX, color=drawing.PALE, alpha=0.5, label="the book's range")
    for (stage, rows), marker in zip(trials.groupby("stage"), "osD^v", strict=False):
        ax.scatter(
            rows["params_lr"],
            rows["value"],
            s=16,
            marker=marker,
            color=styles[stage]["color"],
            label=f"stage {stage}",
        )
        best = _best(rows)
        ax.scatter(
            best["params_lr"], best["value"], s=60, facecolors="none", edgecolors=drawing.INK
        )
    ax.scatter([], [], s=60, facecolors="none", edgecolors=drawing.INK, label="its best five")
    ax.set(xscale="log", xlabel="lr", ylabel="validation accuracy", ylim=(0, 1))
    ax.legend(loc="upper left")
    return sheet


def _best(trials: pd.DataFrame) -> pd.DataFrame:
    sound = trials[(trials["state"] == "COMPLETE") & ~trials["diverged"]]
    return sound.nlargest(TOP, "value")
