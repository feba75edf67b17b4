"""The book's search for a learning rate and a weight decay (section 6.5.2), and its next stages.

The book's code counts an epoch when `iteration % (400 / 100) == 0`, which works for these sizes and
records 1 of 50 epochs for 360 images; here a step is an epoch for every size. It passes the
validation images under the name `x_test`; here the test images stay locked. Each setting is
trained once, with a seed of its own, so that part of what sets the best apart is luck.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import TYPE_CHECKING

from hpo.finding import Finding
from studies.ch06.measures import complete, refuse_without_result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TOP = 5
TOP_DECAYS = 20
BOOKS_BOX = (1e-6, 1e-2)
GOOD_LR = (1e-3, 1e-2)
GOOD_WEIGHT_DECAY = (1e-8, 1e-6)
"""Half of the book's axis, which five settings share by chance in 1 of 32 searches."""


def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Look where the best five of the first stage lie, and whether a later stage is better."""
    first = trials.query("stage == 1")
    _refuse_if_set(trials, "lr", "weight_decay")
    refuse_without_result(first)
    best = _best(first)
    twenty = _best(first, TOP_DECAYS)["params_weight_decay"].between(*GOOD_WEIGHT_DECAY)
    decays = best["params_weight_decay"]
    found = [
        Finding(
            f"inside the book's range, the good learning rates lie in {_range(GOOD_LR)}",
            f"the best {len(best)} of {len(first)} have lr {_range(best['params_lr'])} "
            f"and validation accuracy {best['value'].min():.3f} … {best['value'].max():.3f}",
            holds=len(best) == TOP and bool(best["params_lr"].between(*GOOD_LR).all()),
        ),
        Finding(
            f"and the good weight decays in {_range(GOOD_WEIGHT_DECAY)}, the lower half",
            f"of the best {len(twenty)}, {twenty.sum()} lie there, where chance alone would put "
            f"half of them (of {TOP_DECAYS}, 15 or more in 1 of 50 searches); "
            f"the best {len(best)} have weight_decay {_range(decays)}",
            # Of twenty, chance puts 15 or more into one half in 2 % of all searches.
            holds=bool(decays.between(*GOOD_WEIGHT_DECAY).all() and twenty.sum() >= 15),
        ),
    ]
    best_later = _best(trials.query("stage > 1"))
    if not best_later.empty:
        gain = best_later["value"].mean() - best["value"].mean()
        found.append(
            Finding(
                "better learning rates lie outside the book's range",
                f"the best {len(best_later)} of the later stages have lr "
                f"{_range(best_later['params_lr'])} and a mean validation accuracy of "
                f"{best_later['value'].mean():.3f}, {gain:+.3f} to "
                f"the best {len(best)} of the first stage",
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

    _refuse_if_set(trials, "lr")
    sheet, (ax,) = drawing.sheet("Where the good learning rates lie", 1, 1, panel=(7, 4))
    styles = drawing.colours(sorted(trials["stage"].unique()))
    ax.axvspan(*BOOKS_BOX, color=drawing.PALE, alpha=0.5, label="the book's range")
    for (stage, rows), marker in zip(trials.groupby("stage"), cycle("osD^v"), strict=False):
        sound = rows[~rows["diverged"]]
        ax.scatter(
            sound["params_lr"],
            sound["value"],
            s=16,
            marker=marker,
            color=styles[stage]["color"],
            label=f"stage {stage}",
        )
        best = _best(rows)
        ax.scatter(
            best["params_lr"], best["value"], s=60, facecolors="none", edgecolors=drawing.INK
        )
    broken = trials[trials["diverged"]]
    if len(broken):
        ax.scatter(
            broken["params_lr"],
            broken["value"],
            s=20,
            marker="x",
            color=drawing.MUTED,
            label=f"diverged ({len(broken)} of {len(trials)})",
        )
    ax.scatter(
        [], [], s=60, facecolors="none", edgecolors=drawing.INK, label="the best five of a stage"
    )
    ax.set(xscale="log", xlabel="lr", ylabel="validation accuracy", ylim=(0, 1))
    ax.legend(loc="upper left")
    return sheet


def _refuse_if_set(trials: pd.DataFrame, *names: str) -> None:
    """Raise where a parameter was set, for then nothing was searched that could be told here."""
    for name in names:
        if f"params_{name}" not in trials:
            raise ValueError(f"{name} was set, not searched: start the study without --set {name}")


def _best(trials: pd.DataFrame, count: int = TOP) -> pd.DataFrame:
    return trials[complete(trials)].nlargest(count, "value")


def _range(values: Iterable[float]) -> str:
    return f"{min(values):.2g} … {max(values):.2g}"
