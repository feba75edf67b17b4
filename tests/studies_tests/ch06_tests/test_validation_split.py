"""The optimism of a choice, and what would be found if there were none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from studies.ch06 import validation_split as study

NAME = "validation-split"


def test_what_the_book_says_holds(experiment) -> None:
    assert experiment(NAME).findings[0].holds


def test_with_one_setting_there_is_nothing_to_choose(experiment) -> None:
    found = experiment(NAME)
    one = found.trials.groupby("seed").head(1)
    with pytest.raises(ValueError, match="with a single setting there is nothing to choose"):
        study.finding(one, found.curves[found.curves["trial"].isin(one["trial"])])


def test_it_is_not_found_where_all_images_say_the_same(experiment) -> None:
    found = experiment(NAME)
    mean = found.curves.groupby("trial")["val_accuracy"].transform("mean")
    same = study.finding(found.trials, found.curves.assign(val_accuracy=mean))
    few, half, better = (finding.holds for finding in same)
    assert (few, half, better) == (False, True, False)


@pytest.mark.parametrize(("noise", "holds"), [(0.01, (False, True)), (0.3, (True, False))])
def test_a_point_of_optimism_is_told_from_less(
    noise: float, holds: tuple[bool, bool], experiment
) -> None:
    """What the portions say beside the settings' worth is replaced by noise of a known size."""
    found = experiment(NAME)
    rng = np.random.default_rng(0)
    mean = found.curves.groupby("trial")["val_accuracy"].transform("mean")
    noisy = found.curves.assign(val_accuracy=mean + noise * rng.standard_normal(len(mean)))
    few, half, _ = study.finding(found.trials, noisy)
    assert (few.holds, half.holds) == holds


def portions(**seeds: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two settings: one good in five portions of ten and bad in the others, one even."""
    accuracies = [1.0] * 5 + [0.2] * 5, [0.5] * 10
    trials = pd.DataFrame(
        [(2 * row + each, seed) for row, seed in enumerate(seeds.values()) for each in (0, 1)],
        columns=["trial", "seed"],
    )
    curves = pd.DataFrame(
        [
            (trial, step, score, 20)
            for trial in trials["trial"]
            for step, score in enumerate(accuracies[trial % 2])
        ],
        columns=["trial", "step", "val_accuracy", "images"],
    )
    return trials, curves


def test_a_choice_is_made_in_one_half_and_checked_in_the_other() -> None:
    chosen = study.choices(*portions(first=7), np.random.default_rng(0))
    assert list(chosen["optimism"]) == pytest.approx(list(chosen["chosen"] - chosen["independent"]))
    whole = chosen.query("images == 100")
    assert len(whole) == 2 * study.HALVINGS
    for _, choice in whole.iterrows():
        if choice["chosen"] == 0.5:
            assert choice["independent"] == 0.5
        else:  # what is good in one half is bad in the other: their mean is 0.6
            assert choice["chosen"] > 0.5
            assert choice["chosen"] + choice["independent"] == pytest.approx(1.2)


def test_the_order_of_the_images_decides_nothing() -> None:
    """Halves in the order of the file would be the good portions and the bad ones."""
    whole = study.choices(*portions(first=7), np.random.default_rng(0)).query("images == 100")
    assert whole["chosen"].nunique() > 2
    assert whole["chosen"].mean() < 0.75


def test_all_seeds_are_halved_alike() -> None:
    both = study.choices(*portions(first=7, second=8), np.random.default_rng(0))
    first, second = (each.drop(columns="seed") for _, each in both.groupby("seed"))
    assert first.to_numpy().tolist() == second.to_numpy().tolist()


def test_the_figure_shows_what_the_settings_seem_and_what_they_are(experiment) -> None:
    found = experiment(NAME)
    rng = np.random.default_rng(study.HALVING_SEED)
    means = study.choices(found.trials, found.curves, rng).groupby("images").mean()
    accuracies, optimism = found.figure().axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in accuracies.lines}
    assert drawn == {
        "on the images it was chosen with": list(means["chosen"]),
        "on images that had no say": list(means["independent"]),
    }
    *seeds, zero = optimism.lines
    assert len(seeds) == found.trials["seed"].nunique()
    of_all = np.mean([line.get_ydata() for line in seeds], axis=0)
    assert of_all == pytest.approx(100 * means["optimism"].to_numpy())
    assert list(zero.get_ydata()) == [0, 0]
