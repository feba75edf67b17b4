"""Parts of panels: the axes of parameters and of scores, and how trials are drawn on them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hpo.reports import style
from hpo.reports.axes import position
from hpo.reports.style import compact, cut, plain
from hpo.space import Axis, Choice, Int
from hpo.study import Stage
from hpo.summary import Summary
from hpo.trial import Trial, TrialState

BAR = 0.62  # height that trials take in a range, where two stages are 1 apart
_MARKERS = {"completed": "o", "diverged": "x", "pruned": "v", "failed": "|"}
_AREA = 20.0  # of a mark, in square points
_STAR: dict[str, Any] = {
    "marker": "*",
    "markersize": 12,
    "markerfacecolor": style.PALETTE[5],
    "markeredgecolor": "white",
    "linestyle": "",
}
_BAND: dict[str, Any] = {"color": style.PALETTE[4], "alpha": 0.25, "linewidth": 0}


@dataclass(frozen=True)
class ValueScale:
    """How scores are drawn.

    Args:
        accuracy: Whether they are shares of examples, from 0 to 1.
        log: Whether they are drawn in logarithms, because they differ by orders of magnitude.
        low: The lowest that has a place on the axis.
        high: The highest.
        beyond: How many have no place on it.
    """

    accuracy: bool
    log: bool
    low: float
    high: float
    beyond: int

    @staticmethod
    def of(summary: Summary, values: Any) -> ValueScale:
        """Choose the scale for scores, or for the steps of a curve."""
        metric = summary.study.definition.metric
        low, high = float(min(values)), float(max(values))
        named = re.search(r"(^|_)acc(uracy)?(_|$)", metric) is not None
        if named and low >= 0 and high <= 1:
            return ValueScale(True, False, low, high, 0)
        if low > 0 and high / low > 100:
            return ValueScale(False, True, low, high, 0)
        # A few trials that blew up would press all others onto one line. Good ones stay.
        lower, upper = np.quantile(values, (0.25, 0.75))
        reach = 10 * (upper - lower)
        if reach > 0 and summary.study.definition.direction == "maximize":
            low = min(v for v in values if v >= lower - reach)
        elif reach > 0:
            high = max(v for v in values if v <= upper + reach)
        return ValueScale(False, False, low, high, sum(v < low or v > high for v in values))

    def draw(self, ax: Axes) -> None:
        """Make it the y axis of a panel."""
        if self.log:
            ax.set_yscale("log")
            style.write_ticks(ax.yaxis, self.low, self.high, log=True)
        elif self.beyond:
            margin = 0.08 * (self.high - self.low)
            ax.set_ylim(self.low - margin, self.high + margin)

    def place(self, trial: Trial) -> float | None:
        """Return the height of a trial; beside the edge, if it lies beyond."""
        if trial.value is None:
            return None
        margin = 0.05 * (self.high - self.low) if self.beyond else 0.0
        return min(max(trial.value, self.low - margin), self.high + margin)

    @property
    def note(self) -> str:
        """What a reader must know, if anything."""
        if self.beyond == 1:
            return "1 trial lies far beyond the axis and is drawn at its edge."
        many = f"{self.beyond} trials lie far beyond the axis and are drawn at its edge."
        return many if self.beyond else ""


def stage_colours(summary: Summary) -> dict[int, Any]:
    """Return a colour for each stage, by its number."""
    numbers = [stage.number for stage in summary.stages]
    if len(numbers) <= len(style.PALETTE):
        return dict(zip(numbers, style.PALETTE, strict=False))
    ramp = matplotlib.colormaps["viridis"]
    return {number: ramp(i / len(numbers)) for i, number in enumerate(numbers)}


def kind_of(trial: Trial) -> str | None:
    """Return how a trial ended, None if it has not."""
    if not trial.state.counted:
        return None
    if trial.state is TrialState.COMPLETE:
        return "diverged" if trial.diverged else "completed"
    return "pruned" if trial.state is TrialState.PRUNED else "failed"


def draw_trials(
    ax: Axes,
    trials: Sequence[Trial],
    x: Callable[[Trial], float],
    y: Callable[[Trial], Any],
    colour: Callable[[Trial], Any],
) -> None:
    """Draw trials by how they ended; one without a y stands at the foot of the panel."""
    groups: dict[tuple[str, bool], list[Trial]] = {}
    for trial in trials:
        kind = kind_of(trial)
        if kind is not None:
            groups.setdefault((kind, y(trial) is None), []).append(trial)
    for (kind, at_foot), group in groups.items():
        colours = [colour(trial) for trial in group]
        filled = {"color": colours}
        hollow = {"facecolors": "none", "edgecolors": colours}
        ax.scatter(
            [x(trial) for trial in group],
            [0.02 if at_foot else y(trial) for trial in group],
            marker=_MARKERS[kind],
            s=_AREA,
            linewidths=0 if kind == "completed" else 1.1,
            alpha=0.85,
            transform=ax.get_xaxis_transform() if at_foot else ax.transData,
            **(hollow if kind == "pruned" else filled),
        )


def draw_star(
    ax: Axes,
    summary: Summary,
    trials: Iterable[Trial],
    x: Callable[[Trial], float],
    y: Callable[[Trial], Any],
) -> None:
    """Put a star on the recommended trial of the study, if it is among the given ones.

    Where scores are heights, it stands at what the setting is expected to reach.
    """
    best = summary.best()
    for trial in trials:
        if best is not None and (trial.stage, trial.number) == (best.stage, best.trial):
            ax.plot(x(trial), y(replace(trial, value=best.mean)), zorder=4, **_STAR)


def band(ax: Axes, summary: Summary) -> None:
    """Shade the standard error of what the recommended setting is expected to reach."""
    best = summary.best()
    if best is not None and best.se is not None:
        ax.axhspan(best.mean - best.se, best.mean + best.se, zorder=0.5, **_BAND)


def mark_keys(trials: Iterable[Trial], completed: str = "completed") -> list[Artist]:
    """Return the legend of the kinds of trials that there are."""
    there = {kind_of(trial) for trial in trials}
    labels = {kind: completed if kind == "completed" else kind for kind in _MARKERS}
    return [
        Line2D(
            [],
            [],
            linestyle="",
            color=style.MUTED,
            marker=_MARKERS[kind],
            markersize=math.sqrt(_AREA),
            markerfacecolor="none" if kind == "pruned" else style.MUTED,
            label=label,
        )
        for kind, label in labels.items()
        if kind in there
    ]


def star_key(label: str = "recommended") -> Artist:
    """Return the legend of the star."""
    return Line2D([], [], label=label, **_STAR)


def band_key(summary: Summary) -> list[Artist]:
    """Return the legend of the band, if there is one."""
    best = summary.best()
    if best is None or best.se is None:
        return []
    return [Patch(label="recommended ± standard error", **_BAND)]


def value_colours(summary: Summary, values: Sequence[float]) -> ScalarMappable | None:
    """Return the colours of scores, darker for better ones; the worst tenth share one.

    None if there is only one score, which needs no scale.
    """
    if len(set(values)) < 2:
        return None
    maximize = summary.study.definition.direction == "maximize"
    low, high = np.quantile(values, (0.1, 1) if maximize else (0, 0.9))
    norm = LogNorm if ValueScale.of(summary, [low, high]).log else Normalize
    return ScalarMappable(norm(low, high), "viridis_r" if maximize else "viridis")


def draw_colour_bar(
    figure: Figure, grid: Sequence[Axes], scale: ScalarMappable, label: str
) -> None:
    """Draw the legend of the colours beside a grid of panels."""
    aspect = figure.get_figheight() / 0.15  # so that it is as slender beside one row as beside four
    bar = figure.colorbar(scale, ax=grid, aspect=aspect, fraction=0.02, pad=0.01)
    bar.set_label(label)
    low, high = scale.get_clim()
    assert low is not None
    assert high is not None
    style.write_ticks(bar.ax.yaxis, low, high, log=isinstance(scale.norm, LogNorm))


def size_of_grid(panels: int, height: float) -> tuple[float, float]:
    """Return width and height of the panels of all parameters together, in inches."""
    columns = min(panels, 3)
    return 0.4 + (3.9 if columns > 1 else 6.5) * columns, 0.2 + height * math.ceil(panels / 3)


def grid_of_panels(figure: Figure, count: int, *, share_values: bool) -> list[Axes]:
    """Return a panel for each parameter, three a row."""
    grid = figure.subplots(math.ceil(count / 3), min(count, 3), sharey=share_values, squeeze=False)
    for ax in grid.flat[count:]:
        ax.remove()
    return list(grid.flat[:count])


def draw_parameter(ax: Axes, name: str, axis: Axis) -> None:
    """Make a panel's x axis the parameter's."""
    conditions = [
        f"{cut(parent, 16)} = {' or '.join(compact(value, 10) for value in values)}"
        for parent, values in (axis.when or {}).items()
    ]
    label = cut(name, 40) + (f" (if {', '.join(conditions)})" if conditions else "")
    ax.set_xlabel(plain(label, 64))
    if isinstance(axis, Choice):
        labels = [compact(choice, 14) for choice in axis.choices]
        crowded = (max(map(len, labels)) + 2) * len(labels) > style.letters(3.4)
        turned: dict[str, Any] = {"rotation": 30, "horizontalalignment": "right"} if crowded else {}
        ax.set_xticks(range(len(labels)), [plain(label) for label in labels], **turned)
        ax.set_xlim(-0.5, len(labels) - 0.5)
        return
    low, high = float(axis.low), float(axis.high)
    if axis.log:
        ax.set_xscale("log")
        margin = (high / low) ** 0.04
        ax.set_xlim(low / margin, high * margin)
    else:
        margin = 0.04 * (high - low)
        ax.set_xlim(low - margin, high + margin)
    style.write_ticks(ax.xaxis, low, high, log=axis.log, whole=isinstance(axis, Int))


def draw_range(ax: Axes, row: float, stage: Stage, name: str, widest_axis: Axis) -> str:
    """Draw the range of one stage and return its label."""
    label = f"stage {stage.number}"
    axis = stage.space.axes.get(name)
    if not stage.searches:
        return f"{label}\n{stage.kind}"
    bar: dict[str, Any] = {"height": BAR + 0.14, "color": style.PALE, "zorder": 0.5}
    if axis is None:
        return f"{label}\nnot searched"
    if isinstance(axis, Choice):
        for choice in axis.choices:
            ax.barh(row, 0.9, left=position(widest_axis, choice) - 0.45, **bar)
        return label
    ax.barh(row, axis.high - axis.low, left=axis.low, **bar)
    return f"{label}\n{style.edge(axis.low)} … {style.edge(axis.high)}"


def place_on(name: str, axis: Axis, trial: Trial) -> float:
    """Return where a trial stands on the axis of a parameter."""
    at = position(axis, trial.params[name])
    if isinstance(axis, Choice):
        # Spread over the width of the choice: the golden ratio fills it evenly from the start.
        at += 0.6 * ((trial.number * 0.618034) % 1 - 0.5)
    return at
