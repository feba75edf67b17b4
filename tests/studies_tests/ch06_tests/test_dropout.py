"""Dropout, its two scalings, and what would be found if it had no effect."""

from __future__ import annotations

import numpy as np
import pytest

from core import MLP
from core.layers import Layer
from studies import splits
from studies.ch06 import dropout as study

NAME = "dropout"
SPLIT = splits.load("digits", samples=100, validation="held-out")


def test_what_the_book_says_holds(experiment) -> None:
    """Scaled as in the book; how much is left of it with the other scaling is for it to say."""
    gap, by_heart, _, _, same_network, *_ = experiment(NAME).findings
    assert [gap.holds, by_heart.holds, same_network.holds] == [True, True, True]


def test_it_is_not_found_where_dropout_changes_nothing(experiment) -> None:
    found = experiment(NAME)
    same = study.finding(found.trials, found.as_if_all("dropout", were=0, by="scaling"))
    assert [finding.holds for finding in same][:4] == [False] * 4


def test_the_scalings_are_found_to_agree_only_where_they_do(experiment) -> None:
    found = experiment(NAME)
    alike = found.as_if_all("scaling", were="training", by="dropout")
    alike = alike.assign(
        mask_activation=1.0,
        mask_accuracy=alike["unmasked_accuracy"],
        converted_accuracy=alike["converted_accuracy"].fillna(alike["val_accuracy"]),
    )
    agree = study.finding(found.trials, alike)[4:]
    assert [finding.holds for finding in agree] == [True] * 3
    books = alike["trial"].isin(found.trials.query("params_scaling == 'inference'")["trial"])
    apart = alike.assign(
        mask_activation=1.5,
        val_accuracy=alike["val_accuracy"] - 0.1 * books,
        converted_accuracy=alike["val_accuracy"] - 0.1,
    )
    assert not any(finding.holds for finding in study.finding(found.trials, apart)[4:])


def test_where_nothing_is_dropped_the_scalings_train_alike(experiment) -> None:
    found = experiment(NAME)
    steps = found.curves.merge(found.trials.query("params_dropout == 0")[["trial", "seed"]])
    different = steps.groupby(["seed", "step"])[["train_loss", "val_accuracy"]].nunique()
    assert (different == 1).all(axis=None)


def test_the_scalings_are_one_network_with_other_weights() -> None:
    ours = network(50, 50, dropout=0.2)
    books = study.converted(ours, 0.8)
    np.testing.assert_allclose(books.predict(SPLIT.x_val), ours.predict(SPLIT.x_val), atol=1e-5)


@pytest.mark.parametrize("scaling", ["training", "inference"])
def test_inference_does_what_training_does_on_average(scaling: str) -> None:
    """Exactly so behind one layer; behind several it is near, for ReLU is not linear."""
    scaled = network(50, dropout=0.2)
    if scaling == "inference":
        study.scale_in_inference(scaled, 0.8)
    found = study.inference_and_masks(scaled, SPLIT)
    assert found["mask_activation"] == pytest.approx(1, abs=0.02)


def test_without_any_scaling_it_would_not() -> None:
    unscaled = network(50, dropout=0.2)
    study.scale_in_inference(unscaled, 0.8)

    class InferenceAsItIs(Layer):
        def __init__(self, books: study.ScaledInInference) -> None:
            super().__init__()
            self.books = books

        def forward(self, x, *, training):
            return self.books.forward(x, training=True) if training else x

        def backward(self, dout):
            return self.books.backward(dout)

    unscaled.layers[:] = [
        InferenceAsItIs(layer) if isinstance(layer, study.ScaledInInference) else layer
        for layer in unscaled.layers
    ]
    found = study.inference_and_masks(unscaled, SPLIT)
    assert found["mask_activation"] == pytest.approx(0.8, abs=0.02)


def network(*hidden: int, dropout: float) -> MLP:
    return MLP((64, *hidden, 10), dropout=dropout, rng=np.random.default_rng(0))


def test_the_figure_shows_each_ratio_and_scaling_under_its_name(experiment) -> None:
    found = experiment(NAME)
    steps = found.curves.merge(found.trials[["trial", "params_scaling", "params_dropout"]])
    means = steps.groupby(["params_scaling", "params_dropout", "step"]).mean(numeric_only=True)
    panels = {ax.get_title(): ax for ax in found.figure().axes}
    assert len(panels) == 6
    for (scaling, ratio), of_both in means.groupby(["params_scaling", "params_dropout"]):
        ax = panels[f"dropout {ratio:g}, {study.SCALINGS[scaling]}"]
        drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
        np.testing.assert_allclose(drawn["training images"], of_both["train_accuracy"])
        np.testing.assert_allclose(drawn["held-out images"], of_both["val_accuracy"])


@pytest.mark.parametrize("scaling", study.SCALINGS)
def test_what_is_said_of_all_is_not_said_without_one(scaling: str, experiment) -> None:
    found = experiment(NAME)
    alike = found.as_if_all("scaling", were="training", by="dropout")
    alike = alike.assign(
        mask_activation=1.0,
        mask_accuracy=alike["unmasked_accuracy"],
        converted_accuracy=alike["converted_accuracy"].fillna(alike["val_accuracy"]),
    )
    lost = found.trials.query("params_scaling == @scaling and params_dropout > 0")["trial"].iloc[0]
    trials = found.trials.assign(diverged=found.trials["trial"] == lost)
    same_network, on_average, equally_good = study.finding(trials, alike)[4:]
    assert same_network.holds == (scaling == "inference")  # it is the others that are converted
    assert not on_average.holds
    assert not equally_good.holds
    assert "1 of 3 without a result" in on_average.measured


@pytest.mark.parametrize(("off", "holds"), [(0.05, True), (0.15, False)])
def test_one_mask_may_be_off_where_the_average_is_not(off: float, holds: bool, experiment) -> None:
    """One of three replicates; the other two agree exactly."""
    found = experiment(NAME)
    alike = found.curves.assign(mask_accuracy=found.curves["unmasked_accuracy"])
    first = found.trials["seed"] == found.trials["seed"].iloc[0]
    apart = 1 + 3 * off * alike["trial"].isin(found.trials[first]["trial"])
    on_average = study.finding(found.trials, alike.assign(mask_activation=apart))[5]
    assert on_average.holds == holds


@pytest.mark.parametrize(("off", "holds"), [(0.01, True), (-0.01, True), (0.03, False)])
def test_nor_may_the_accuracy_be_off_on_average(off: float, holds: bool, experiment) -> None:
    found = experiment(NAME)
    apart = found.curves.assign(
        mask_activation=1.0, mask_accuracy=found.curves["unmasked_accuracy"] + off
    )
    assert study.finding(found.trials, apart)[5].holds == holds
