"""What the chapter's figures share: the sheet, the colours of the contenders, curves of replicates.

`hpo plot` calls a figure's function with its own settings of matplotlib in force.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hpo.reports.style import BLUE, INK, MUTED, ORANGE, PALE, PALETTE

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BLUE",
    "INK",
    "MUTED",
    "ORANGE",
    "PALE",
    "accuracies",
    "band",
    "colours",
    "losses",
    "sheet",
    "smooth",
]

_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))


def sheet(
    title: str, rows: int, columns: int, *, panel: tuple[float, float] = (3.0, 2.2), **sharing: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a title, and its panels row by row.

    Args:
        title: What is shown.
        rows: Rows of panels.
        columns: Columns of panels.
        panel: Width and height of a panel, in inches.
        **sharing: `sharex` and `sharey`, as `Figure.subplots` takes them.
    """
    figure = Figure(
        figsize=(panel[0] * columns, panel[1] * rows + 0.5), dpi=120, layout="constrained"
    )
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", size=11, weight="bold")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **sharing).flat)


def colours(contenders: Iterable[object]) -> dict[Any, dict[str, Any]]:
    """Return the line style of each contender: told apart by colour, and by dashes without it."""
    return {
        contender: {"color": PALETTE[i % len(PALETTE)], "linestyle": _DASHES[i % len(_DASHES)]}
        for i, contender in enumerate(contenders)
    }


def band(ax: Axes, curves: pd.DataFrame, metric: str, **line: Any) -> None:
    """Draw the mean of replicates by step, and the range of all of them behind it.

    Args:
        ax: The panel.
        curves: The steps of one setting's replicates.
        metric: Which column.
        **line: Style and label of the line.
    """
    by_step = curves.dropna(subset=[metric]).groupby("step")[metric]
    mean = by_step.mean()
    ax.plot(mean.index, mean, **line)
    ax.fill_between(mean.index, by_step.min(), by_step.max(), color=line["color"], alpha=0.15, lw=0)


def smooth(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return a noisy curve as the book smooths it: Kaiser window of 11 steps, β = 2.

    At both ends the curve is continued by its mirror image.
    """
    window = np.kaiser(11, 2)
    mirrored = np.pad(np.asarray(values, dtype=float), len(window) // 2, mode="reflect")
    return np.convolve(window / window.sum(), mirrored, mode="valid")


def losses(ax: Axes, trials: pd.DataFrame, curves: pd.DataFrame, contender: str) -> None:
    """Draw the smoothed training loss by iteration: a line per contender, the replicates' mean.

    Markers tell the lines apart: dashes would not, where several noisy lines are in one another's
    way.

    Args:
        ax: The panel.
        trials: The study's trials.
        curves: Their steps, with `train_loss`.
        contender: The parameter that tells the contenders apart.
    """
    names = trials.set_index("trial")[f"params_{contender}"].map(str)
    by_step = curves.groupby([curves["trial"].map(names), "step"])["train_loss"].mean()
    styles = colours(names.unique())
    for (name, style), marker in zip(styles.items(), cycle("oxsDv^"), strict=False):
        loss = by_step[name]
        line = {**style, "linestyle": "-", "marker": marker, "markersize": 4}
        ax.plot(loss.index, smooth(loss), label=name, markevery=max(1, len(loss) // 20), **line)
    ax.set(xlabel="iteration", ylabel="loss on the batch, smoothed", ylim=(0, None))
    ax.legend(title=contender)


def accuracies(ax: Axes, curves: pd.DataFrame) -> None:
    """Draw the accuracy on training and on held-out images by epoch.

    Args:
        ax: The panel.
        curves: The epochs of one setting's replicates.
    """
    band(ax, curves, "train_accuracy", label="training images", color=ORANGE, linestyle="--")
    band(ax, curves, "val_accuracy", label="held-out images", color=BLUE)
    ax.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
