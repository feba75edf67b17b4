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
