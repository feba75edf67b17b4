"""The figures of every study.

They take what `hpo.show` returns (`learning_curves` also what `hpo.curves` returns) and give a
matplotlib `Figure`, which the caller may change, show or save.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hpo.reports import optima, panels, style
from hpo.reports.axes import widest
from hpo.reports.importance import importances
from hpo.reports.style import NothingToDraw, compact, cut, look, plain
from hpo.space import Choice
from hpo.study import Stage
from hpo.summary import Summary
from hpo.trial import Trial, TrialState

if TYPE_CHECKING:
    import pandas as pd

_TOP, _COLUMNS = 20, 5  # figure 6-24 of the book


@look()
def learning_curves(summary: Summary, curves: pd.DataFrame) -> Figure:
    """Draw the curves of the best 20 trials side by side: figure 6-24 of the book.

    The study's metric is solid; if it is `val_…` and there is a `train_…` like it, that is dashed.

    Args:
        summary: The study.
        curves: Its steps, as `hpo.curves` returns them.

    Raises:
        NothingToDraw: None of the trials reported the metric.
    """
    metric = summary.study.definition.metric
    lines: dict[str, dict[str, Any]] = {metric: {"color": style.BLUE, "linestyle": "-"}}
    if metric.startswith("val_") and (training := f"train_{metric[4:]}") in curves:
        lines[training] = {"color": style.ORANGE, "linestyle": "--"}
    best = summary.top(count=_TOP)
    steps = {place: frame for place, frame in curves.groupby(["stage", "trial"])}
    shown = [steps[t.stage, t.number] for t in best if (t.stage, t.number) in steps]
    if metric not in curves or not any(frame[metric].notna().any() for frame in shown):
        raise NothingToDraw(f"no completed trial reported {metric} at a step")
    if all(frame[metric].count() <= 1 for frame in shown):
        raise NothingToDraw(f"{metric} was reported at one step of each trial: no curve")
    values = np.concatenate([frame[name].dropna() for frame in shown for name in lines])
    scale = panels.ValueScale.of(summary, values)

    columns = min(_COLUMNS, len(best))
    rows = math.ceil(len(best) / columns)
    figure = style.sheet(
        summary,
        max(2.5 * columns, 5) + 0.3,
        1.95 * rows + 0.4,
        f"learning curves of the best {len(best)}",
        legend=[
            *(Line2D([], [], label=plain(name), **line) for name, line in lines.items()),
            *panels.band_key(summary),
        ],
    )
    grid = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    telling = list(importances(summary)) or list(widest(summary))
    for place, (ax, trial) in enumerate(zip(grid, best, strict=False), start=1):
        frame = steps.get((trial.stage, trial.number), curves[:0])
        for name, line in lines.items():
            curve = frame[["step", name]].dropna()
            dot = "o" if len(curve) == 1 else None  # a single step makes no line
            # A curve at 0 or 1 is drawn in its full width.
            clip = not scale.accuracy
            ax.plot(curve["step"], curve[name], marker=dot, markersize=3, clip_on=clip, **line)
        if frame.empty:
            ax.text(0.5, 0.5, "no steps", transform=ax.transAxes, ha="center", color=style.MUTED)
        panels.band(ax, summary)
        _title_panel(ax, place, trial, _settings(trial, telling, style.letters(2.15)))
        # A panel with no other under it has the numbers of its steps.
        ax.tick_params(labelbottom=place > len(best) - columns)
    for ax in grid[len(best) :]:
        ax.remove()
    grid[0].xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    steps_seen = np.concatenate([frame["step"] for frame in shown])
    if steps_seen.min() == steps_seen.max():
        grid[0].set_xlim(steps_seen[0] - 1, steps_seen[0] + 1)
    scale.draw(grid[0])
    if scale.accuracy:
        grid[0].set_ylim(0, 1)
    figure.supxlabel("step", size=8)
    figure.supylabel(plain(metric), size=8)
    return figure


@look()
def history(summary: Summary) -> Figure:
    """Draw the score of each trial in the order of the trials, and the best so far.

    Raises:
        NothingToDraw: No trial has a score.
    """
    scale, trials = _value_scale(summary), _all_trials(summary)
    width = 10.0
    figure = style.sheet(
        summary,
        width,
        4.0,
        "every trial in its order",
        note=scale.note,
        legend=[
            *panels.mark_keys(trials),
            Line2D([], [], color=style.INK, label="best so far"),
            panels.star_key(),
            *panels.band_key(summary),
        ],
    )
    ax = figure.subplots()
    ax.grid(False, axis="x")
    colours = panels.stage_colours(summary)
    counts = [_count(summary, stage) for stage in summary.stages]
    ends = np.cumsum(counts)
    first = {s.number: end - n for s, end, n in zip(summary.stages, ends, counts, strict=True)}

    def order(trial: Trial) -> float:
        return float(first[trial.stage] + trial.number)

    for row, (stage, count) in enumerate(zip(summary.stages, counts, strict=True)):
        start = first[stage.number]
        if row % 2 == 0:
            ax.axvspan(start - 0.5, start + count - 0.5, color=style.PAPER, zorder=0)
        texts = (f"stage {stage.number} · {stage.kind}", f"stage {stage.number}", f"{stage.number}")
        room = count / ends[-1] * (width - 1) * 10  # a letter is a tenth of an inch
        ax.text(
            start + (count - 1) / 2,
            1.01,
            next((text for text in texts if len(text) < room), ""),
            transform=ax.get_xaxis_transform(),
            horizontalalignment="center",
            weight="bold",
        )
    panels.draw_trials(ax, trials, order, scale.place, lambda t: colours[t.stage])
    panels.draw_star(ax, summary, trials, order, scale.place)
    searched = [t for stage in summary.searches for t in summary.of(stage)]
    done = [t for t in searched if t.state is TrialState.COMPLETE]
    scores = [(order(t), t.value) for t in done if t.value is not None]
    if scores:
        better = np.maximum if summary.study.definition.direction == "maximize" else np.minimum
        at, reached = np.array(scores).T
        reached = better.accumulate(reached)
        ax.plot(
            [*at, ends[-1] - 0.5],
            [*reached, reached[-1]],
            color=style.INK,
            drawstyle="steps-post",
            linewidth=1,
        )
    panels.band(ax, summary)
    ax.set_xlim(-1, ends[-1])
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
    ax.set_xlabel("trials, counted through the stages")
    ax.set_ylabel(plain(summary.study.definition.metric))
    scale.draw(ax)
    return figure


@look()
def ranges(summary: Summary) -> Figure:
    """Draw the range of each parameter, stage by stage, with the trials as dots.

    Below the range of a stage that another follows from: where the optimum can be.
    """
    axes, stages, trials = widest(summary), summary.stages, _all_trials(summary)
    best, decided = summary.best(), optima.decisions(summary)
    pitch = optima.PITCH if decided else 1.0
    lowest = pitch * (len(stages) - 1)
    figure = style.sheet(
        summary,
        *panels.size_of_grid(len(axes), 1.2 + 0.5 * lowest),
        "the ranges, stage by stage",
        note="In each bar the trials of the stage run from top to bottom.",
        legend=[
            Patch(color=style.PALE, label="range"),
            *panels.mark_keys(trials, "completed (darker is better)"),
            *([panels.star_key()] if best else []),
            *optima.keys(decided),
        ],
    )
    # Diverged trials are grey: their floor would take up the whole scale.
    completed = [t.value for t in trials if panels.kind_of(t) == "completed"]
    scale = panels.value_colours(summary, [value for value in completed if value is not None])
    rows = {stage.number: pitch * row for row, stage in enumerate(stages)}
    counts = {stage.number: _count(summary, stage) for stage in stages}

    def height(trial: Trial) -> float:
        return rows[trial.stage] + panels.BAR * ((trial.number + 0.5) / counts[trial.stage] - 0.5)

    def colour(trial: Trial) -> Any:
        if scale is None or trial.value is None or panels.kind_of(trial) != "completed":
            return style.MUTED
        return scale.to_rgba(np.array(trial.value))

    grid = panels.grid_of_panels(figure, len(axes), share_values=False)
    for ax, (name, axis) in zip(grid, axes.items(), strict=True):
        panels.draw_parameter(ax, name, axis)
        ax.grid(False, axis="y")
        bars = list(rows.values())
        labels = [panels.draw_range(ax, *on, name, axis) for on in zip(bars, stages, strict=True)]
        ax.set_yticks(bars, labels)
        ax.set_ylim(lowest + 0.5, -0.5)
        for each in decided:
            if each.name == name:
                optima.draw(ax, rows[each.stage], each, axis)
        mine = [trial for trial in trials if name in trial.params]
        place = partial(panels.place_on, name, axis)
        panels.draw_trials(ax, mine, place, height, colour)
        panels.draw_star(ax, summary, mine, place, height)
    if scale is not None:
        panels.draw_colour_bar(figure, grid, scale, plain(summary.study.definition.metric))
    return figure


@look()
def slices(summary: Summary) -> Figure:
    """Draw the score against each parameter.

    Raises:
        NothingToDraw: No trial has a score.
    """
    scale = _value_scale(summary)
    axes, trials, last = widest(summary), _all_trials(summary), summary.searches[-1]
    colours = panels.stage_colours(summary)
    figure = style.sheet(
        summary,
        *panels.size_of_grid(len(axes), 2.5),
        "score against each parameter",
        note=scale.note,
        legend=[
            *(Patch(color=colour, label=f"stage {n}") for n, colour in colours.items()),
            *panels.mark_keys(trials),
            panels.star_key(),
            *panels.band_key(summary),
            Line2D([], [], color=style.INK, linestyle=":", label=f"range of stage {last.number}"),
        ],
    )
    grid = panels.grid_of_panels(figure, len(axes), share_values=True)
    for ax, (name, axis) in zip(grid, axes.items(), strict=True):
        panels.draw_parameter(ax, name, axis)
        mine = [trial for trial in trials if name in trial.params]
        place = partial(panels.place_on, name, axis)
        panels.draw_trials(ax, mine, place, scale.place, lambda t: colours[t.stage])
        panels.draw_star(ax, summary, mine, place, scale.place)
        panels.band(ax, summary)
        now = last.space.axes.get(name)
        if now is not None and not isinstance(now, Choice):
            for edge in (now.low, now.high):
                ax.axvline(edge, color=style.INK, linestyle=":", linewidth=1)
    scale.draw(grid[0])
    figure.supylabel(plain(summary.study.definition.metric), size=8)
    return figure


@look()
def importance(summary: Summary) -> Figure:
    """Draw how much each parameter matters.

    Raises:
        NothingToDraw: It cannot be told.
    """
    shares = importances(summary)
    if not shares:
        raise NothingToDraw("it takes two parameters and ten completed trials that differ")
    figure = style.sheet(
        summary,
        7.0,
        0.6 + 0.3 * len(shares),
        "importance of the parameters",
        note="Share in what sets the best trials apart from all trials (PED-ANOVA).",
    )
    ax = figure.subplots()
    ax.grid(False, axis="y")
    # By place, because two long names may be cut to the same.
    bars = ax.barh(range(len(shares)), list(shares.values()), 0.65, color=style.BLUE)
    ax.bar_label(bars, [f"{share:.2f}" for share in shares.values()], padding=3)
    ax.set_yticks(range(len(shares)), [plain(name) for name in shares])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.08 * max(shares.values()))
    ax.set_xlabel("share")
    return figure


def _title_panel(ax: Axes, place: int, trial: Trial, settings: Sequence[str]) -> None:
    room = 5 + 10 * len(settings)  # points
    ax.set_title(f"Best-{place}: {compact(trial.value)}", loc="left", pad=room)
    ended = f", diverged at {trial.diverged_at}" if trial.diverged else ""
    note = f"trial {trial.stage}/{trial.number}{ended}"
    ax.set_title(note, loc="right", pad=room, size=style.SMALL, color=style.MUTED)
    ax.annotate(
        "\n".join(settings),
        (0, 1),
        (0, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        size=style.SMALL,
    )


def _settings(trial: Trial, telling: Sequence[str], room: int) -> list[str]:
    """Return the settings that matter most: at most four, as many as fit into two lines."""
    lines: list[str] = []
    for name in [name for name in telling if name in trial.params][:4]:
        setting = f"{cut(name, 24)} {compact(trial.params[name], room - 26)}"
        fitting = [i for i, line in enumerate(lines) if len(line) + len(setting) + 2 <= room]
        if fitting:
            lines[fitting[0]] += f", {setting}"
        elif len(lines) < 2:
            lines.append(setting)
    return [plain(line, room) for line in lines]


def _all_trials(summary: Summary) -> list[Trial]:
    return [trial for stage in summary.stages for trial in summary.of(stage)]


def _count(summary: Summary, stage: Stage) -> int:
    """Return how many places the trials of a stage take; at least one, so that it can be seen."""
    return max((trial.number for trial in summary.of(stage)), default=0) + 1


def _value_scale(summary: Summary) -> panels.ValueScale:
    values = [t.value for t in _all_trials(summary) if t.state.counted and t.value is not None]
    if not values:
        raise NothingToDraw("no trial has a score")
    return panels.ValueScale.of(summary, values)
