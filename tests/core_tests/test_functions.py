from __future__ import annotations

import math

import numpy as np
import pytest

import core
from core import accuracy, cross_entropy, log_softmax, sigmoid, softmax


def test_sigmoid_is_exact_and_never_overflows() -> None:
    x = np.array([-1e4, -80.0, -1.0, 0.0, 1.0, 80.0, 1e4])
    y = sigmoid(x)
    assert y[0] == 0
    assert y[-1] == 1
    assert y[3] == 0.5
    np.testing.assert_allclose(y[1], math.exp(-80), rtol=1e-12)  # not rounded to 0
    np.testing.assert_allclose(y[2], 1 / (1 + math.e), rtol=1e-15)
    assert sigmoid(x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("shape", [(4,), (5, 4), (3, 5, 4), (2, 3, 5, 4)], ids=str)
def test_softmax_and_its_logarithm(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    expected = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(softmax(x), expected, rtol=1e-12)
    np.testing.assert_allclose(log_softmax(x), np.log(expected), rtol=1e-12)
    np.testing.assert_allclose(softmax(x + 1e4), expected, rtol=1e-9)
    assert softmax(x.astype(np.float32)).dtype == np.float32
    assert log_softmax(x.astype(np.float32)).dtype == np.float32


def test_arguments_are_not_modified() -> None:
    x = np.random.default_rng(0).standard_normal((5, 4))
    before = x.copy()
    for f in (sigmoid, softmax, log_softmax):
        f(x)
        np.testing.assert_array_equal(x, before)


def test_cross_entropy_by_hand() -> None:
    scores = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]))
    loss = cross_entropy(scores, np.array([1, 0]))
    np.testing.assert_allclose(loss, -(math.log(0.75) + math.log(0.5)) / 2)
    assert loss.shape == ()
    # Where softmax rounds to 0, the loss is still the distance of the scores.
    np.testing.assert_allclose(cross_entropy(np.array([[0.0, 1000.0]]), np.array([0])), 1000)


def test_accuracy_by_hand() -> None:
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    labels = np.array([1, 0, 0, 0])
    assert accuracy(scores, labels) == 0.75
    both = accuracy(np.stack([scores, -scores]), labels)
    np.testing.assert_array_equal(both, [0.75, 0.25])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3), "must be integers"),
        (np.zeros(4, int), "must be integers of shape"),
        (np.zeros((3, 2), int), "must be integers of shape"),
        (np.array([0, 1, 2]), r"must be in 0\.\.1, got 0\.\.2"),
        (np.array([0, 1, -1]), r"must be in 0\.\.1, got -1\.\.1"),
    ],
)
def test_wrong_labels_are_refused(labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cross_entropy(np.zeros((3, 2)), labels)


def test_public_names_are_complete_and_exist() -> None:
    assert len(core.__all__) == len(set(core.__all__))
    public = {
        name
        for name, value in vars(core).items()
        if getattr(value, "__module__", "").startswith("core.")
    }
    assert public == set(core.__all__)
