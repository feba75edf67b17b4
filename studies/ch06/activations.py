"""What arrives in five layers whose weights were only drawn (sections 6.2.2 and 6.2.3).

The book draws the histograms of one network of each kind. Here there are several of each, all
with the same inputs and, before they are scaled, the same weights; the histograms show all of
them. As in the book, those of ReLU end at 1, and what is larger is not shown. What is lumpy in the
last layers of sigmoid is that each unit says nearly the same to every input: each network has 100
values.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from core import Layer, ReLU, Sigmoid, Tanh, initializer
from core.functions import FloatArray
from hpo.finding import Finding
from hpo.objective import Run
from studies.ch06.measures import first_stage, spread, spreads

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ACTIVATIONS: dict[str, tuple[type[Layer], float, tuple[float, float]]] = {
    # the layer, its largest derivative, and what a histogram shows of its outputs
    "sigmoid": (Sigmoid, 0.25, (0, 1)),
    "tanh": (Tanh, 1, (-1, 1)),
    "relu": (ReLU, 1, (0, 1)),
}
BINS = [f"bin_{number:02}" for number in range(1, 31)]
SATURATED = 0.1
"""An output is saturated where the derivative is below this share of the largest one."""

BELL = 0.05
"""So near to a normal distribution counts as a bell, see `off_bell`."""


def train(params: Mapping[str, Any], run: Run) -> float:
    """Send normally distributed inputs through the layers, and report what each gives."""
    name, init = params["network"].split()
    kind, steepest, limits = ACTIVATIONS[name]
    activation = kind()
    draw = initializer(init if init in ("xavier", "he") else float(init))
    width = params["width"]
    rng = np.random.default_rng(run.seed)
    x: FloatArray = rng.standard_normal((params["examples"], width))
    for layer in range(1, params["layers"] + 1):
        x = activation.forward(x @ draw(rng, (width, width), np.float64), training=True)
        slope = activation.backward(np.ones_like(x))
        counts, _ = np.histogram(x, len(BINS), limits)
        run.report(
            layer,
            mean=float(x.mean()),
            std=float(x.std()),
            saturated=float((slope < SATURATED * steepest).mean()),
            off_bell=off_bell(x),
            **dict(zip(BINS, map(float, counts / x.size), strict=True)),
        )
    return float(x.std())


def off_bell(x: FloatArray) -> float:
    """Return how far numbers are from a normal distribution of their mean and deviation.

    It is the largest difference of the two cumulative distributions, at every hundredth of the
    numbers (nearly Kolmogorov and Smirnov's): 0 for a bell, whatever its width.
    """
    bell = NormalDist(float(x.mean()), float(x.std()))
    shares = np.linspace(0.01, 0.99, 99)
    expected = np.array([bell.cdf(quantile) for quantile in np.quantile(x, shares)])
    return float(np.abs(expected - shares).max())


@first_stage
def finding(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Look for saturation, collapse and a healthy spread, in every network drawn."""
    mean, std, saturated, off = (
        _by_layer(trials, curves, metric) for metric in ("mean", "std", "saturated", "off_bell")
    )
    kept = std.groupby("seed").last() / std.groupby("seed").first()
    off = off.groupby("seed").last()
    return [
        Finding(
            "sigmoid with a standard deviation of 1: the outputs pile up at 0 and 1, where the "
            "derivative vanishes",
            f"share of saturated outputs, over all layers: {spread(saturated['sigmoid 1'])}",
            holds=bool((saturated["sigmoid 1"] > 0.5).all()),
        ),
        Finding(
            "sigmoid with 0.01: the outputs pile up at 0.5, so that many units say the same",
            f"over all layers: mean {spread(mean['sigmoid 0.01'])}, standard deviation "
            f"{spread(std['sigmoid 0.01'])}",
            holds=bool(
                ((mean["sigmoid 0.01"] - 0.5).abs() < 0.05).all()
                and (std["sigmoid 0.01"] < 0.05).all()
            ),
        ),
        Finding(
            "sigmoid with Xavier: spread wider, and not saturated",
            "standard deviation of the outputs, over all layers: "
            f"{spreads(std[['sigmoid 0.01', 'sigmoid xavier']])}; share of saturated outputs "
            f"{spread(saturated['sigmoid xavier'])}",
            holds=bool(
                (std["sigmoid xavier"] > std["sigmoid 0.01"]).all()
                and (saturated["sigmoid xavier"] < 0.05).all()
            ),
        ),
        Finding(
            "tanh with Xavier: in the last layer less distorted than sigmoid, a bell around 0",
            f"mean of the outputs, over all layers, {spread(mean['tanh xavier'])}; distance of "
            "the last layer's distribution from a bell "
            f"{spreads(off[['sigmoid xavier', 'tanh xavier']])}; tanh's standard deviation there "
            f"as a multiple of the first layer's {spread(kept['tanh xavier'])}",
            holds=bool(
                (mean["tanh xavier"].abs() < 0.05).all()
                and (off["tanh xavier"] < off["sigmoid xavier"]).all()
                and (off["tanh xavier"] < BELL).all()
            ),
        ),
        Finding(
            "ReLU with 0.01: next to nothing arrives",
            "standard deviation in the last layer as a multiple of the first's "
            f"{spread(kept['relu 0.01'], 5)}",
            holds=bool((kept["relu 0.01"] < 0.01).all()),
        ),
        Finding(
            "ReLU with Xavier: the outputs shrink from layer to layer; with He they keep their "
            "spread",
            "standard deviation in the last layer as a multiple of the first's "
            f"{spreads(kept[['relu xavier', 'relu he']])}",
            holds=bool((kept["relu xavier"] < 0.5).all() and kept["relu he"].between(0.5, 2).all()),
        ),
    ]


@first_stage
def figure(trials: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Draw the histograms of the outputs: a row per network, a column per layer."""
    from studies.ch06 import drawing

    shares = curves.groupby([_networks(trials, curves), "step"], sort=False)[BINS].mean()
    networks = list(trials["params_network"].unique())
    layers = list(curves["step"].unique())
    sheet, panels = drawing.sheet(
        "What arrives in each layer", len(networks), len(layers), panel=(1.7, 1.1), sharey=True
    )
    styles = drawing.colours(ACTIVATIONS)
    cells = ((network, layer) for network in networks for layer in layers)
    for ax, (network, layer) in zip(panels, cells, strict=True):
        name, init = network.split()
        low, high = ACTIVATIONS[name][2]
        ax.stairs(
            100 * shares.loc[(network, layer)],
            np.linspace(low, high, len(BINS) + 1),
            fill=True,
            color=styles[name]["color"],
        )
        ax.set(xlim=(low, high), ylim=(0, 15))
        ax.set_xticks([low, (low + high) / 2, high])
        if layer == layers[0]:
            ax.set_ylabel(f"{name}\n{init}", rotation=0, ha="right", va="center")
    for ax, layer in zip(panels, layers, strict=False):
        ax.set_title(f"layer {layer}")
    sheet.supxlabel("output of a unit", size=8)
    sheet.supylabel("share of the outputs in %, cut off at 15", size=8)
    return sheet


def _by_layer(trials: pd.DataFrame, curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric with a row per seed and layer, and a column per network."""
    rows = curves.assign(network=_networks(trials, curves)).merge(trials[["trial", "seed"]])
    return rows.pivot(index=["seed", "step"], columns="network", values=metric)


def _networks(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.Series[str]:
    """Return which network each step is of."""
    return curves["trial"].map(trials.set_index("trial")["params_network"])
