"""What the chapter's figures share, against numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from studies.ch06 import drawing

STEPS = 30


def replicates(*levels: float) -> pd.DataFrame:
    """Return trials that stay at a level from the first step to the last."""
    return pd.DataFrame(
        [
            {"trial": trial, "step": step, "train_loss": level, "train_accuracy": level}
            for trial, level in enumerate(levels)
            for step in range(1, STEPS + 1)
        ]
    )


def test_smoothing_keeps_a_level_and_takes_noise_away() -> None:
    assert drawing.smooth(np.full(STEPS, 3.0)) == pytest.approx(np.full(STEPS, 3.0))
    noise = np.random.default_rng(0).standard_normal(1000)
    smooth = drawing.smooth(noise)
    assert len(smooth) == len(noise)
    assert smooth.std() < noise.std() / 2
    step = drawing.smooth(np.repeat([0.0, 1.0], 50))
    assert step[49] == pytest.approx(1 - step[50])


@pytest.mark.parametrize("steps", [1, 2, 5, 11])
def test_a_curve_of_any_length_can_be_smoothed(steps: int) -> None:
    assert drawing.smooth(np.full(steps, 3.0)) == pytest.approx(np.full(steps, 3.0))


def test_losses_are_the_means_of_the_replicates() -> None:
    trials = pd.DataFrame({"trial": range(4), "params_rule": ["a", "a", "b", "b"]})
    _, (ax,) = drawing.sheet("losses", 1, 1)
    drawing.losses(ax, trials, replicates(1, 2, 5, 7), "rule")
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert drawn["a"] == pytest.approx(np.full(STEPS, 1.5))
    assert drawn["b"] == pytest.approx(np.full(STEPS, 6.0))


@pytest.mark.parametrize(("contenders", "steps"), [(8, STEPS), (2, 15)])
def test_losses_of_many_contenders_or_few_steps_are_drawn(contenders: int, steps: int) -> None:
    names = [f"rule {number}" for number in range(contenders)]
    trials = pd.DataFrame({"trial": range(contenders), "params_rule": names})
    sheet, (ax,) = drawing.sheet("losses", 1, 1)
    drawing.losses(ax, trials, replicates(*range(contenders)).query("step <= @steps"), "rule")
    assert [line.get_label() for line in ax.lines] == names
    sheet.draw_without_rendering()


def test_a_band_is_the_mean_and_the_whole_range() -> None:
    _, (ax,) = drawing.sheet("band", 1, 1)
    drawing.band(ax, replicates(1, 2, 6), "train_loss", color="red")
    (line,), (band,) = ax.lines, ax.collections
    assert list(line.get_xdata()) == list(range(1, STEPS + 1))
    assert line.get_ydata() == pytest.approx(np.full(STEPS, 3.0))
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1, 6)


def test_accuracies_are_told_apart() -> None:
    _, (ax,) = drawing.sheet("accuracies", 1, 1)
    drawing.accuracies(ax, replicates(0.9).assign(val_accuracy=0.6))
    drawn = {line.get_label(): line.get_ydata()[0] for line in ax.lines}
    assert drawn == {"training images": 0.9, "held-out images": 0.6}
