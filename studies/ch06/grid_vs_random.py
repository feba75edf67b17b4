"""Why random search covers a parameter that matters better than a grid (section 6.5.1).

The book takes the advice from Bergstra and Bengio, "Random search for hyper-parameter
optimization" (JMLR 13, 2012), whose figure 1 this is: a score that depends on one parameter of
two. Which of them it will be is not known before the search, so a grid spends its points on both.
The points are drawn by the samplers of `hpo` itself, whose grid goes from end to end of each axis,
and tried in a random order; where the optimum lies differs by seed. Points in the middle of their
cells would serve a grid better than points on the borders. Random ones beat that grid, too: mean of
the best score with 9 points 0.83 against 0.68 (on the borders 0.50), with 25 points 0.96 against
0.86 (0.79).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.finding import Finding
from hpo.objective import Run
from hpo.sampling import Request, suggest
from hpo.space import Float, Space
from studies.ch06.measures import at_end, first_stage, spread

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPACE = Space({"important": Float(0.0, 1.0), "idle": Float(0.0, 1.0)})
WIDTH = 0.1
"""Standard deviation of the score's bump, as a share of the important axis."""


def train(params: Mapping[str, Any], run: Run) -> float:
    """Search once with so many points, and report each; the best score is returned."""
    rng = np.random.default_rng(run.seed)
    optimum = float(rng.random())
    tried: set[float] = set()
    best = 0.0
    for step, number in enumerate(rng.permutation(params["points"]), start=1):
        request = Request(
            SPACE,
            seed=run.seed,
            stage=1,
            setting=int(number),
            settings=params["points"],
            direction="maximize",
        )
        point = suggest(params["search"], request, [])
        tried.add(point["important"])
        best = max(best, score(point["important"], optimum))
        run.report(step, **point, optimum=optimum, distinct=len(tried), best=best)
    return best


def score(important: Any, optimum: float) -> Any:
    """Return the score of a point, 1 at the optimum; the idle axis plays no part."""
    return np.exp(-(((important - optimum) / WIDTH) ** 2) / 2)


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Compare how many values of the important axis were tried, and what was found."""
    found = []
    for points, searches in trials.groupby("params_points"):
        distinct = at_end(searches, curves, "distinct", "search")
        best = at_end(searches, curves, "best", "search")
        gain = best["random"] - best["grid"]
        error = float(gain.std() / len(gain) ** 0.5)
        found.append(
            Finding(
                f"{points} random points cover the important axis better than a grid of {points}",
                f"different values of it: grid {spread(distinct['grid'], 0)}, random "
                f"{spread(distinct['random'], 0)}; mean of the best score (1 is the optimum): "
                f"grid {best['grid'].mean():.3f}, random {best['random'].mean():.3f}, difference "
                f"{gain.mean():.3f} ± {error:.3f} (standard error), random ahead in "
                f"{(gain > 0).mean():.0%} of {len(gain)} searches",
                holds=bool(
                    (distinct["random"] > distinct["grid"]).all() and gain.mean() > 2 * error
                ),
            )
        )
    return found


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the points of one search of each kind, and the best score by points tried."""
    from studies.ch06 import drawing

    searches = trials[["trial", "seed", "params_search", "params_points"]]
    steps = curves.merge(searches)
    styles = drawing.colours(searches["params_search"].unique())
    sizes = searches["params_points"].unique()
    sheet, panels = drawing.sheet(
        "One important and one idle parameter", len(sizes), 3, panel=(2.9, 2.7)
    )
    for row, points in enumerate(sizes):
        *maps, race = panels[3 * row : 3 * row + 3]
        same = steps[steps["params_points"] == points]
        for ax, (kind, style) in zip(maps, styles.items(), strict=True):
            of_kind = same[same["params_search"] == kind]
            one = of_kind[of_kind["seed"] == same["seed"].iloc[0]]
            _map(ax, one, style["color"])
            ax.set_title(f"{kind}: {one['important'].nunique()} values in {points} points")
            mean = of_kind.groupby("step")["best"].mean()
            race.plot(mean.index, mean, drawstyle="steps-post", label=kind, **style)
        race.set(xlabel="points tried", ylabel="best score so far", ylim=(0, 1.02))
        race.set_title(f"mean of {same['seed'].nunique()} searches")
        race.legend(loc="lower right")
    return sheet


def _map(ax: Axes, points: pd.DataFrame, colour: str) -> None:
    """Draw the points of a search, and above them the score that each of them sees."""
    from studies.ch06 import drawing

    optimum = points["optimum"].iloc[0]
    floor, height = 1.1, 0.3

    def shown(important: Any) -> Any:
        return floor + height * score(important, optimum)

    x = np.linspace(0, 1, 300)
    ax.plot(x, shown(x), color=drawing.INK, linewidth=1)
    ax.vlines(points["important"], 0, floor, color=drawing.PALE)
    ax.vlines(points["important"], floor, shown(points["important"]), color=colour)
    ax.plot(points["important"], points["idle"], "o", color=colour, markersize=4, clip_on=False)
    ax.set(xlabel="important", ylabel="idle", xlim=(0, 1), ylim=(0, floor + height + 0.02))
    ax.set_yticks([0, 0.5, 1])
    ax.grid(False)
