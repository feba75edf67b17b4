"""The look of all figures: fonts and colours, the sheet with its header, names and numbers.

Figures are made through matplotlib's objects alone. Its global state (pyplot's current figure, a
user's matplotlibrc) is neither trusted nor left changed, so that they come out the same in a
script, a notebook and a server.
"""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterable
from contextlib import ContextDecorator
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axis import Axis as PlotAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from hpo.study import Stage
from hpo.summary import Summary

# The palette of Okabe and Ito, which colour-blind readers can tell apart, without the yellow
# and the black: the one cannot be seen on white, the other is the ink.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
BLUE, ORANGE = PALETTE[0], PALETTE[5]
INK, MUTED, PALE, PAPER = "#222222", "#5f6368", "#dfe3e8", "#f3f4f6"

SMALL = 7.0
"""Points of the smallest text; at the density of the files that is 12 pixels."""
_DENSITY = 120
_LETTER = SMALL * 0.58 / 72  # inches of an average letter of it

# DejaVu comes with matplotlib and has no Chinese, Japanese or Korean.
_EAST_ASIAN = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "IPAexGothic",
    "Hiragino Sans",
    "PingFang SC",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
)
_SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans", *sorted(set(_EAST_ASIAN) & set(fontManager.get_font_names()))],
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


class NothingToDraw(Exception):
    """A study has nothing that a figure could show; the message says what is missing."""


def look() -> ContextDecorator:
    """Return the decorator of functions that draw: our settings in place of the user's."""
    return matplotlib.style.context(_SETTINGS, after_reset=True)


def sheet(
    summary: Summary,
    width: float,
    height: float,
    title: str,
    *,
    note: str = "",
    legend: Iterable[Artist] = (),
) -> Figure:
    """Return an empty figure under a header that says what it is of.

    Args:
        summary: The study; the header tells its metric, its best value and its stages.
        width: Inches.
        height: Inches for the panels; the header comes on top.
        title: What is shown.
        note: How to read it.
        legend: What the marks mean; each has its label.
    """
    text = [line for line in (*_about(summary), note) if line]
    lines = [part for line in text for part in textwrap.wrap(line, letters(width - 0.2))]
    handles = list(legend)
    wide = sum(0.42 + 1.07 * _LETTER * len(str(handle.get_label())) for handle in handles)
    rows = math.ceil(wide / (width - 0.2))
    header = 0.36 + 0.16 * len(lines) + 0.19 * rows
    total = header + height
    figure = Figure(
        figsize=(width, total),
        dpi=_DENSITY,
        # Only the panels are laid out by matplotlib: the header is placed by hand, in inches.
        layout=ConstrainedLayoutEngine(
            rect=(0, 0, 1, 1 - header / total), w_pad=0.06, h_pad=0.06, wspace=0.02, hspace=0.02
        ),
    )
    FigureCanvasAgg(figure)
    left = 0.1 / width
    room = int(letters(width) * 0.56) - len(title)  # the title's letters are larger
    name = f"{plain(summary.study.name, max(room, 12))} · {title}"
    figure.text(left, 1 - 0.1 / total, name, va="top", size=11, weight="bold")
    for row, line in enumerate(lines):
        y = 1 - (0.34 + 0.16 * row) / total
        figure.text(left, y, line, va="top", size=7.5, color=MUTED)
    if handles:
        columns = math.ceil(len(handles) / rows)
        figure.legend(
            # It fills column after column; people read row after row.
            handles=[handle for column in range(columns) for handle in handles[column::columns]],
            loc="lower left",
            bbox_to_anchor=(left, 1 - header / total),
            ncols=columns,
            borderpad=0,
            borderaxespad=0.3,
            columnspacing=1.5,
            handlelength=1.6,
            handletextpad=0.5,
        )
    return figure


def _about(summary: Summary) -> list[str]:
    definition = summary.study.definition
    best = summary.best()
    better = "higher" if definition.direction == "maximize" else "lower"
    score = f"{plain(definition.metric)} ({better} is better): "
    if best is None:
        score += "no trial has completed yet"
    else:
        score += f"recommended trial {best.stage}/{best.trial}, {compact(best.mean)}"
        score += "" if best.se is None else f" ± {best.se:.2g}"
        score += f" ({summary.basis(best)})"
    stages = [_about_stage(summary, stage) for stage in summary.stages]
    if len(stages) > 8:
        stages = [*stages[:3], "…", *stages[-4:]]
    # Lines break between the stages.
    return [score, " · ".join(stage.replace(" ", "\N{NO-BREAK SPACE}") for stage in stages)]


def _about_stage(summary: Summary, stage: Stage) -> str:
    counts = summary.counts(stage)
    kinds = {
        "failed": counts.failed,
        "pruned": counts.pruned,
        "diverged": sum(trial.diverged for trial in summary.of(stage)),
        "open": counts.open,
    }
    ended = "".join(f", {count} {kind}" for kind, count in kinds.items() if count)
    trials = "1 trial" if stage.budget == 1 else f"{stage.budget} trials"
    how = f"{stage.kind}, {stage.sampler}" if stage.searches else stage.kind
    return f"stage {stage.number} ({how}): {trials}{ended}"


@look()
def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file."""
    with warnings.catch_warnings():
        # A letter that no font has is drawn as a box, which is all that can be done.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, format="png")


def cut(text: object, limit: int) -> str:
    """Return text on one line and not too long; names differ at their ends, so the middle goes."""
    shown = " ".join(str(text).split())
    if len(shown) <= limit:
        return shown
    head = (limit - 1) * 2 // 3
    return f"{shown[:head]}…{shown[head + 1 - limit :]}"


def plain(text: object, limit: int = 40) -> str:
    """Return text as matplotlib must get it to draw just that, not a formula between dollars."""
    return cut(text, limit).replace("$", r"\$")


def compact(value: object, limit: int = 16) -> str:
    """Return a setting or a score in a few characters: 0.0123, 9.6e-03, 128, sgd."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 1_000_000:
        return str(value)
    if isinstance(value, int | float):
        if 1000 <= abs(value) < 1e6:
            return f"{value:.0f}"  # 3e+03 would be the title of twenty different curves
        return f"{value:.3g}" if value == 0 or 0.01 <= abs(value) < 1e5 else f"{value:.1e}"
    return cut(value, limit)


def edge(value: float) -> str:
    """Return the limit of a range, which is a round number more often than a setting is."""
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def letters(inches: float) -> int:
    """Return how many letters of the smallest text fit into a width."""
    return max(int(inches / _LETTER), 8)


def write_ticks(axis: PlotAxis, low: float, high: float, *, log: bool, whole: bool = False) -> None:
    """Put a few readable ticks on an axis that shows low to high."""
    axis.set_minor_formatter(NullFormatter())
    if log and high / low >= 100:
        axis.set_major_locator(LogLocator(numticks=6))
    elif log and high / low >= 8:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
    else:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=whole))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
