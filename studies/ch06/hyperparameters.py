"""The book's search for a learning rate and a weight decay (section 6.5.2), and its next stages.

The book's code counts an epoch when `iteration % (400 / 100) == 0`, which works for these sizes and
records 1 of 50 epochs for 360 images; here a step is an epoch for every size. It passes the
validation images under the name `x_test`; here the test images stay locked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hpo.finding import Finding
from studies.ch06.measures import complete

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TOP = 5
BOOKS_BOX = (1e-6, 1e-2)
GOOD_LR = (1e-3, 1e-2)
GOOD_WEIGHT_DECAY = (1e-8, 1e-6)
"""Half of the book's axis, which five settings share by chance in 1 of 32 searches."""


def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Look where the best five of the first stage lie, and whether a later stage is better."""
    first = trials.query("stage == 1")
    best = _best(first)
    twenty = _best(first, 20)["params_weight_decay"].between(*GOOD_WEIGHT_DECAY).sum()
    decays = best["params_weight_decay"]
    found = [
        Finding(
            f"inside the book's range, the good learning rates lie in {_range(GOOD_LR)}",
            f"the best five of {len(first)} have lr {_range(best['params_lr'])} "
            f"and validation accuracy {best['value'].min():.3f} … {best['value'].max():.3f}",
            holds=bool(best["params_lr"].between(*GOOD_LR).all()),
        ),
        Finding(
            f"and the good weight decays in {_range(GOOD_WEIGHT_DECAY)}, the lower half",
            f"of the best twenty {twenty} lie there, where chance alone would put ten and, in 1 of "
            f"50 searches, 15; the best five have weight_decay {_range(decays)}",
            # Of twenty, chance puts 15 or more into one half in 2 % of all searches.
            holds=bool(decays.between(*GOOD_WEIGHT_DECAY).all() and twenty >= 15),
        ),
    ]
    later = trials.query("stage > 1")
    if not later.empty:
        best_later = _best(later)
        gain = best_later["value"].mean() - best["value"].mean()
        found.append(
            Finding(
                "better learning rates lie outside the book's range",
                f"the best five of the later stages have lr {_range(best_later['params_lr'])} and "
                f"a mean validation accuracy of {best_later['value'].mean():.3f}, {gain:+.3f} to "
                "the best five of the first stage",
                holds=bool(
                    best_later["params_lr"].min() > BOOKS_BOX[1]
                    and best_later["value"].min() > best["value"].max()
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
    ax.scatter(
        [], [], s=60, facecolors="none", edgecolors=drawing.INK, label="the best five of a stage"
    )
    ax.set(xscale="log", xlabel="lr", ylabel="validation accuracy", ylim=(0, 1))
    ax.legend(loc="upper left")
    return sheet


def _best(trials: pd.DataFrame, count: int = TOP) -> pd.DataFrame:
    return trials[complete(trials)].nlargest(count, "value")


def _range(values: Iterable[float]) -> str:
    return f"{min(values):.2g} … {max(values):.2g}"
