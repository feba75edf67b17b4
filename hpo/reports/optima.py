"""Below the range of a stage: where the optimum can be, and the next range that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hpo.narrowing.ruler import Numeric, at, cell
from hpo.reports import style
from hpo.reports.axes import position
from hpo.space import Axis, Choice, Scalar
from hpo.summary import Summary

# Heights below the middle of a bar, where a bar and what is below it take 1.5.
PITCH = 1.5
_FOOT, _HILL, _NEXT = 0.81, 0.36, 0.92

_OPTIMA: dict[str, Any] = {"color": style.BLUE, "alpha": 0.5, "linewidth": 0.7}
_NEXT_RANGE: dict[str, Any] = {
    "color": style.INK,
    "linewidth": 1.1,
    "marker": "|",
    "markersize": 6,
    "markeredgewidth": 1.1,
    "solid_capstyle": "butt",
}


@dataclass(frozen=True)
class Decided:
    """What the posterior saw and decided on one parameter of a stage.

    Args:
        stage: Number of the stage that it was about.
        name: The parameter.
        old: Its axis in that stage.
        shares: Of the drawn optima, in equal parts of a range or for each choice.
        hull: The lowest and the highest optimum; None for a choice.
        following: The ends of the next range, or the choices that remain; several where stages
            branch, none where the parameter has no place any more.
    """

    stage: int
    name: str
    old: Axis
    shares: Sequence[float]
    hull: tuple[float, float] | None
    following: list[Sequence[Scalar]]


def decisions(summary: Summary) -> list[Decided]:
    """Return what is known of the optima; the book's rule, and older versions, stored none."""
    axes = {stage.number: stage.space.axes for stage in summary.stages}
    found: dict[tuple[int, str], Decided] = {}
    for stage in summary.searches:
        decided = {} if stage.evidence is None else stage.evidence["axes"]
        for name, axis in decided.items():
            assert stage.parent is not None
            shares, hull = _optima(axis["numbers"])
            if shares:
                new = Decided(stage.parent, name, axes[stage.parent][name], shares, hull, [])
                about = found.setdefault((stage.parent, name), new)
                about.following.extend([] if axis["new"] is None else [axis["new"]])
    return list(found.values())


def _optima(numbers: Mapping[str, Any]) -> tuple[list[float], tuple[float, float] | None]:
    if "choices" in numbers:
        return [choice["share"] for choice in numbers["choices"]], None
    if "optima" in numbers:
        low, high = numbers["hull"]
        return numbers["optima"], (low, high)
    return [], None


def draw(ax: Axes, bar: float, decided: Decided, widest: Axis) -> None:
    """Draw the optima as a hill below a bar, and the next range below that.

    Args:
        ax: The panel of the parameter.
        bar: The height of the middle of the bar.
        decided: What was decided.
        widest: The axis of the panel.
    """
    foot, old = bar + _FOOT, decided.old
    hill = [foot - _HILL * share / max(decided.shares) for share in decided.shares]
    ends: list[Sequence[Any]] = decided.following
    if isinstance(old, Choice):
        assert isinstance(widest, Choice)
        for choice, top in zip(old.choices, hill, strict=True):
            ax.stairs([top], _around(widest, choice), baseline=foot, fill=True, **_OPTIMA)
        ends = [_around(widest, choice) for kept in ends for choice in kept]
    else:
        assert decided.hull is not None
        parts = len(hill)
        low, high = _reach(old, decided.hull, 1 / parts)
        edges = [min(max(at(old, i / parts), low), high) for i in range(parts + 1)]
        ax.stairs(hill, edges, baseline=foot, fill=True, **_OPTIMA)
        # One optimum of three hundred makes no hill, and yet the range must hold it.
        ax.plot([low, high], [foot, foot], color=style.BLUE, linewidth=1.5)
    for low_high in ends:
        ax.plot(low_high, [bar + _NEXT] * 2, **_NEXT_RANGE)


def _reach(axis: Numeric, hull: tuple[float, float], least: float) -> tuple[float, float]:
    """Return from where to where the optima reach, wide enough to be seen.

    The optimum of a discrete axis fills its cell.
    """
    low, high = cell(axis, hull[0])[0], cell(axis, hull[1])[1]
    missing = max(least - (high - low), 0.0)
    low, high = at(axis, low - missing / 2), at(axis, high + missing / 2)
    return max(low, axis.low), min(high, axis.high)


def _around(widest: Choice, choice: Scalar) -> list[float]:
    """Return the ends of the bar of a choice."""
    place = position(widest, choice)
    return [place - 0.45, place + 0.45]


def keys(decided: Sequence[Decided]) -> list[Artist]:
    """Return the legend, if there is anything to explain."""
    if not decided:
        return []
    return [
        Patch(label="where the optimum can be", **_OPTIMA),
        Line2D([], [], label="the next range", **_NEXT_RANGE),
    ]
