"""Six optimizers on f = x²/20 + y², a valley that is far longer than it is wide (section 6.1).

The book starts at (-7, 2) and draws 30 places; its text is about SGD, Momentum, AdaGrad and Adam.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core import optimizer
from hpo.finding import Finding
from hpo.objective import Run
from studies.ch06.measures import first_stage

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

START = (-7.0, 2.0)
LEARNING_RATES = {
    "sgd": 0.95,
    "momentum": 0.1,
    "adagrad": 1.5,
    "adam": 0.3,
    "rmsprop": 0.1,
    "nesterov": 0.1,
}
FIRST_STEPS = {
    # By hand from the gradient (x/10, 2y) = (-0.7, 4) at the start:
    "sgd": (-7 + 0.95 * 0.7, 2 - 0.95 * 4),
    "momentum": (-7 + 0.1 * 0.7, 2 - 0.1 * 4),
    "adagrad": (-7 + 1.5, 2 - 1.5),  # g/√g² = ±1
    "adam": (-7 + 0.3, 2 - 0.3),  # the corrected averages are g and g²: ±1 again
    "rmsprop": (-7 + 0.1 / 0.01**0.5, 2 - 0.1 / 0.01**0.5),  # g/√(0.01 g²) = ±10
    "nesterov": (-7 + 1.9 * 0.1 * 0.7, 2 - 1.9 * 0.1 * 4),  # (1 + μ) times a step of SGD
}


def train(params: Mapping[str, Any], run: Run) -> float:
    """Walk down the valley, and report each place."""
    rule = optimizer(params["optimizer"], LEARNING_RATES[params["optimizer"]])
    place = {"x": np.array(START[0]), "y": np.array(START[1])}
    for step in range(params["steps"]):
        x, y = float(place["x"]), float(place["y"])
        run.report(step, x=x, y=y, f=height(x, y))
        rule.update(place, {"x": np.array(x / 10), "y": np.array(2 * y)})
    return float(height(x, y))


def height(x: Any, y: Any) -> Any:
    """Return f = x²/20 + y²."""
    return x**2 / 20 + y**2


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Compare the zigzags, and the first steps with those by hand."""
    paths = _paths(trials, curves)
    turns = {name: int((np.diff(np.sign(path[:, 1])) != 0).sum()) for name, path in paths.items()}
    others = {name: count for name, count in turns.items() if name != "sgd"}
    off = {name: float(np.abs(path[1] - FIRST_STEPS[name]).max()) for name, path in paths.items()}
    return [
        Finding(
            "SGD zigzags across the valley; Momentum, AdaGrad and Adam do so much less",
            f"y changes its sign {turns['sgd']} times in SGD's {len(paths['sgd']) - 1} steps; "
            + ", ".join(f"{name} {count}" for name, count in others.items()),
            holds=turns["sgd"] > 20 and max(others.values()) <= 4,
        ),
        Finding(
            "the first step of each is the one that its formula gives by hand",
            f"largest difference {max(off.values()):.1e} (the hand leaves out ε = 1e-07)",
            holds=max(off.values()) < 1e-5,
        ),
    ]


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the gradient, the path of each optimizer on the contour lines, and y by step."""
    from studies.ch06 import drawing

    paths = _paths(trials, curves)
    styles = drawing.colours(paths)
    sheet, (field, *panels, zigzag) = drawing.sheet(
        "Six ways down f = x²/20 + y²", 4, 2, panel=(3.6, 2.2)
    )
    x, y = np.meshgrid(np.arange(-10, 10.1, 2), np.arange(-5, 5.1, 1))
    field.quiver(x, y, -x / 10, -2 * y, color=drawing.MUTED, width=0.005)
    field.set_title("downhill: minus the gradient")
    x, y = np.meshgrid(np.linspace(-10, 10, 200), np.linspace(-10, 10, 200))
    for ax, (name, path) in zip(panels, paths.items(), strict=True):
        ax.contour(x, y, height(x, y), levels=np.arange(0.5, 8, 1), colors=drawing.PALE)
        ax.plot(*path.T, marker="o", markersize=2.5, **{**styles[name], "linestyle": "-"})
        ax.plot(0, 0, "+", color=drawing.INK)
        ax.set_title(f"{name}, lr {LEARNING_RATES[name]}")
    for ax in (field, *panels):
        ax.set(xlim=(-10, 10), ylim=(-5, 5), xlabel="x", ylabel="y")
        ax.grid(False)
    for name in ("sgd", "momentum", "adam"):
        zigzag.plot(paths[name][:, 1], label=name, **styles[name])
    zigzag.set(title="three ways across the valley", xlabel="step", ylabel="y")
    zigzag.legend()
    return sheet


def _paths(trials: pd.DataFrame, curves: pd.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    """Return the places (steps + 1, 2) of each optimizer."""
    steps = curves.groupby("trial")
    return {
        name: steps.get_group(trial)[["x", "y"]].to_numpy()
        for name, trial in zip(trials["params_optimizer"], trials["trial"], strict=True)
    }
